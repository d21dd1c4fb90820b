"""The tree is RFC 9162's: the same roots and proofs as the definition says, and as other programs make."""

from __future__ import annotations

import hashlib

import pytest

from worker.receipts.merkle import EMPTY, Tree, inclusion_proof, leaf, root_of_proof

# the leaves and the roots that implementations of Certificate Transparency test with
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES += [bytes.fromhex("606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def root(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for data in leaves:
        tree.add(data)
    return tree.root


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaf(leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


def path_by_definition(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path_by_definition(m, leaves[:k]), by_definition(leaves[k:])]
    return [*path_by_definition(m - k, leaves[k:]), by_definition(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_that_other_programs_make(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_no_leaves_have_a_root() -> None:
    assert root([]) == EMPTY == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 8, 9, 31, 32, 33, 70])
def test_each_leaf_has_a_proof_that_leads_to_the_root(size: int) -> None:
    leaves = [bytes([n]) * 32 for n in range(size)]
    top = root(leaves)
    assert top == by_definition(leaves)
    for index, data in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        assert proof == path_by_definition(index, leaves)
        assert root_of_proof(data, index, size, proof) == top
        assert root_of_proof(b"another", index, size, proof) != top
        if size > 1:
            assert root_of_proof(data, index, size, [bytes(32), *proof[1:]]) != top


def test_a_proof_of_another_length_or_another_leaf_is_refused() -> None:
    leaves = [bytes([n]) for n in range(7)]
    proof = inclusion_proof(leaves, 3)
    with pytest.raises(ValueError, match="too short"):
        root_of_proof(leaves[3], 3, 7, proof[:-1])
    with pytest.raises(ValueError, match="too long"):
        root_of_proof(leaves[3], 3, 7, [*proof, proof[0]])
    for index, size in ((7, 7), (-1, 7), (0, 0)):
        with pytest.raises(ValueError, match="no such leaf"):
            root_of_proof(leaves[0], index, size, [])
    assert root_of_proof(leaves[3], 2, 7, proof) != root(leaves), "the index is part of what is proven"
