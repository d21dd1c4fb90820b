"""A proof is written as c2sp.org/tlog-proof says, and leads from one receipt to the root of its day and to no other."""

from __future__ import annotations

import base64

import pytest

from tests.receipts.test_notes import ORIGIN
from tests.support.receipt_keys import Keys
from worker.receipts.merkle import Tree, inclusion_proof
from worker.receipts.notes import BadNote, checkpoint_text, signed
from worker.receipts.signature import Signer
from worker.receipts.tlog_proof import TlogProof

LEAVES = [bytes([n]) * 32 for n in range(11)]


def proof_of(index: int, signer: Signer, leaves: list[bytes] = LEAVES) -> TlogProof:
    tree = Tree()
    for data in leaves:
        tree.add(data)
    note = signed(checkpoint_text(ORIGIN, len(leaves), tree.root), ORIGIN, signer)
    return TlogProof(index, tuple(inclusion_proof(leaves, index)), note)


def test_it_is_written_as_the_specification_says(log: Keys) -> None:
    proof = proof_of(3, log[0])
    lines = str(proof).split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 3"]
    assert [base64.b64decode(line) for line in lines[2:6]] == inclusion_proof(LEAVES, 3)
    assert lines[6:9] == ["", ORIGIN, "11"]
    assert TlogProof.read(str(proof)) == proof


@pytest.mark.parametrize("index", range(11))
def test_it_leads_from_each_receipt_to_the_root(log: Keys, index: int) -> None:
    origin, size, note = TlogProof.read(str(proof_of(index, log[0]))).of_receipt(LEAVES[index].hex())
    note.signed_by(origin, log[1])
    assert (origin, size) == (ORIGIN, 11)
    with pytest.raises(BadNote, match="does not lead from this receipt"):
        proof_of(index, log[0]).of_receipt("ff" * 32)


def test_the_only_receipt_of_a_day_has_a_proof_without_hashes(log: Keys) -> None:
    proof = proof_of(0, log[0], LEAVES[:1])
    assert proof.hashes == ()
    assert TlogProof.read(str(proof)).of_receipt(LEAVES[0].hex())[1] == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 3", "index 03"),
        ("index 3", "index -3"),
        ("index 3\n", "extra YQ==\nindex 3\n"),
        ("index 3\n", "index 3\nYQ==\n"),
        ("index 3\n", "index 3\n!\n"),
        ("index 3\n", "index 3\n" + "A" * 43 + "=\n" * 70),
        ("\n\n", "\n"),
        ("c2sp.org", ""),
    ],
)
def test_any_other_form_is_refused(log: Keys, old: str, new: str) -> None:
    written = str(proof_of(3, log[0]))
    assert old in written
    with pytest.raises(BadNote):
        TlogProof.read(written.replace(old, new, 1)).of_receipt(LEAVES[3].hex())


@pytest.mark.parametrize(("old", "new"), [("index 3", "index 2"), ("\n11\n", "\n3\n"), ("\n11\n", "\n99\n")])
def test_index_and_size_are_part_of_what_is_proven(log: Keys, old: str, new: str) -> None:
    with pytest.raises(BadNote):
        TlogProof.read(str(proof_of(3, log[0])).replace(old, new, 1)).of_receipt(LEAVES[3].hex())
