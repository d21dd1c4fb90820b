"""The chain: each receipt has the hash of the one before it, so that any change or gap is detected. Pure.

    hash = SHA-256 of the line without its hash, as JSON with sorted keys and no blanks, in UTF-8

Anyone can compute it without avatar-eraser: `jq -cS 'del(.hash)' | tr -d '\\n' | sha256sum` of one line.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any


def genesis(account: str) -> str:
    """The previous hash of an account's first receipt."""
    return hashlib.sha256(f"avatar-eraser: receipts of account {account}".encode()).hexdigest()


def canonical(values: dict[str, Any]) -> bytes:
    """The canonical form for hashing and signing."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def linked(receipt: dict[str, Any], prev: str) -> dict[str, Any]:
    """The receipt linked to the chain."""
    return sealed(receipt | {"prev": prev})


def sealed(line: dict[str, Any]) -> dict[str, Any]:
    """The line with its hash."""
    return line | {"hash": hash_of(line)}


def hash_of(line: dict[str, Any]) -> str:
    """The hash that it must have, whatever it says."""
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()
