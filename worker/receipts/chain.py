"""The chain: each receipt has the hash of the one before it, so that any change or gap is detected. Pure.

    hash = SHA-256 of the line in canonical form (RFC 8785), without its hash, and with commitments instead of texts

Anyone can compute it without avatar-eraser: see docs/proof.md.
"""

from __future__ import annotations

import hashlib
from typing import Any

from worker.receipts.canonical import canonical
from worker.receipts.commitments import hashed


def genesis(account: str) -> str:
    """The previous hash of an account's first receipt."""
    return hashlib.sha256(f"avatar-eraser: receipts of account {account}".encode()).hexdigest()


def linked(receipt: dict[str, Any], prev: str) -> dict[str, Any]:
    """The receipt linked to the chain."""
    return sealed(receipt | {"prev": prev})


def sealed(line: dict[str, Any]) -> dict[str, Any]:
    """The line with its hash."""
    return line | {"hash": hash_of(line)}


def hash_of(line: dict[str, Any]) -> str:
    """The hash that it must have, whatever it says."""
    return hashlib.sha256(canonical(hashed(line))).hexdigest()
