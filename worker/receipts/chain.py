"""The chain: each receipt names the hash of the one before it, so that nothing can be altered or left out unseen. Pure.

    hash = SHA-256 of the line without its hash, as JSON with sorted keys and no blanks, in UTF-8

Anybody can compute that without us: `jq -cS 'del(.hash)' | tr -d '\\n' | sha256sum` of one line.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def genesis(account: str) -> str:
    """What the first receipt of an account names as the hash before it."""
    return hashlib.sha256(f"avatar-eraser: receipts of account {account}".encode()).hexdigest()


def canonical(values: dict[str, Any]) -> bytes:
    """The one form in which values are hashed and signed."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def linked(receipt: dict[str, Any], prev: str) -> dict[str, Any]:
    """The receipt as the next one of its chain."""
    return sealed(receipt | {"prev": prev})


def sealed(line: dict[str, Any]) -> dict[str, Any]:
    """The line with its hash."""
    return line | {"hash": hash_of(line)}


def hash_of(line: dict[str, Any]) -> str:
    """What its hash has to be, whatever it says."""
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()
