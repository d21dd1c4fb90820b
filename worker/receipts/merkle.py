"""The Merkle tree of some receipts (RFC 9162, section 2.1): its root, and the proof that a leaf is in it. Pure.

    leaf = SHA-256(0x00 | the receipt's hash, 32 bytes)          node = SHA-256(0x01 | left | right)

A proof has one hash for each level, so that one receipt is shown to be among a million without showing another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256().digest()  # the root of no leaves


def leaf(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A tree that grows leaf by leaf and keeps only what its root needs: one hash for each full subtree."""

    def __init__(self) -> None:
        self.size = 0
        self._full: list[bytes] = []  # roots of full subtrees, the largest first

    def add(self, data: bytes) -> None:
        """Add a leaf."""
        made, rest = leaf(data), self.size
        while rest & 1:
            made, rest = _node(self._full.pop(), made), rest >> 1
        self._full.append(made)
        self.size += 1

    @property
    def root(self) -> bytes:
        if not self._full:
            return EMPTY
        made = self._full[-1]
        for left in reversed(self._full[:-1]):
            made = _node(left, made)
        return made


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes from the leaf's sibling up to the child of the root; `leaves`: the data of all of them."""
    level, proof = [leaf(data) for data in leaves], []
    while len(level) > 1:
        if (sibling := index ^ 1) < len(level):
            proof.append(level[sibling])
        above = [_node(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = [*above, *level[len(above) * 2 :]]  # the last one without a sibling goes up as it is
        index >>= 1
    return proof


def root_of_proof(data: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (RFC 9162, section 2.1.3.2). Raises `ValueError` for one of another length."""
    if not 0 <= index < size:
        raise ValueError("no such leaf in a tree of this size")
    made, last, rest = leaf(data), size - 1, list(proof)
    while last:
        if index & 1 or index < last:
            if not rest:
                raise ValueError("the proof is too short")
            sibling = rest.pop(0)
            made = _node(sibling, made) if index & 1 else _node(made, sibling)
        index, last = index >> 1, last >> 1
    if rest:
        raise ValueError("the proof is too long")
    return made
