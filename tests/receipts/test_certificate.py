"""A certificate is verified with nothing but itself and the public key, and every change of it is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.receipts.test_commitments import all_texts
from tests.receipts.test_notes import ORIGIN, WITNESS
from tests.receipts.test_tlog_proof import LEAVES, proof_of
from tests.receipts.test_verify import chained, receipt
from tests.support.receipt_keys import Keys
from worker.ledger.schema.states import VERSION
from worker.receipts import notes
from worker.receipts.certificate import NotGenuine, made, verify
from worker.receipts.chain import sealed
from worker.receipts.commitments import redact
from worker.receipts.signature import Signer
from worker.receipts.tlog_proof import TlogProof


def line_of(receipt: dict[str, Any]) -> dict[str, Any]:
    return chained([receipt])[0]


def proven(line: dict[str, Any], signer: Signer) -> TlogProof:
    leaves = [*LEAVES[:6], bytes.fromhex(line["hash"]), *LEAVES[6:]]
    return proof_of(6, signer, leaves)


@pytest.fixture
def line() -> dict[str, Any]:
    return line_of(all_texts())


def test_a_signed_one_is_verified_with_the_key(line: dict[str, Any], log: Keys) -> None:
    found = verify(made(line, signer=log[0], proof=None), key=log[1])
    assert (found.receipt, found.by_key, found.origin) == (line, True, None)
    assert not verify(made(line, signer=None, proof=None)).by_key


def test_one_with_a_proof_needs_no_other_signature(line: dict[str, Any], log: Keys) -> None:
    found = verify(made(line, signer=None, proof=proven(line, log[0])), key=log[1])
    assert (found.by_key, found.origin, found.size) == (True, ORIGIN, 12)


def test_a_witness_counts_only_where_it_was_named(line: dict[str, Any], log: Keys, witness: Keys) -> None:
    proof = proven(line, log[0])
    cosigned = TlogProof(proof.index, proof.hashes, notes.cosigned(proof.note, WITNESS, witness[0], 1_700_000_000))
    good = made(line, signer=log[0], proof=cosigned)
    assert verify(good, key=log[1], witnesses={WITNESS: witness[1]}).witnesses == {WITNESS: 1_700_000_000}
    assert verify(good, key=log[1]).witnesses == {}
    for one in (made(line, signer=log[0], proof=proof), made(line, signer=log[0], proof=None)):
        with pytest.raises(NotGenuine, match=r"has not signed it|no checkpoint that a witness"):
            verify(one, key=log[1], witnesses={WITNESS: witness[1]})


def test_a_redacted_one_verifies(line: dict[str, Any], log: Keys) -> None:
    proof = proven(line, log[0])
    without = redact(line, lambda place, text: True)
    assert verify(made(without, signer=log[0], proof=proof), key=log[1]).receipt["reason"] is None
    assert made(without, signer=log[0], proof=proof)["signature"] == made(line, signer=log[0], proof=proof)["signature"]


@pytest.mark.parametrize("lie", ["state", "reason", "claim", "n", "rehashed", "prev", "more", "less"])
def test_no_word_of_its_receipt_can_be_altered(line: dict[str, Any], log: Keys, lie: str) -> None:
    good = made(line, signer=log[0], proof=proven(line, log[0]))
    wrong: dict[str, dict[str, Any]] = {
        "state": line | {"state": "gone"},
        "reason": line | {"reason": "T-9"},
        "claim": line | {"claims": [line["claims"][0] | {"reason": "T-9"}, line["claims"][1]]},
        "n": line | {"n": 3},
        "rehashed": sealed(line | {"state": "gone"}),
        "prev": sealed(line | {"prev": "0" * 64}),
        "more": line | {"more": 1},
        "less": {name: value for name, value in line.items() if name != "related"},
    }
    with pytest.raises(NotGenuine):
        verify(good | {"receipt": wrong[lie]}, key=log[1])


@pytest.mark.parametrize("lie", ["another key", "no signature", "half a signature", "another proof", "kind", "newer"])
def test_nothing_around_its_receipt_can_be_altered(line: dict[str, Any], log: Keys, witness: Keys, lie: str) -> None:
    good = made(line, signer=log[0], proof=None)
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "another key": ({"signature": witness[0].sign(b"x")}, "does not match the key"),
        "no signature": ({"signature": None}, "not signed"),
        "half a signature": ({"signature": {"value": "x"}}, "altered"),
        "another proof": ({"proof": str(proof_of(3, log[0]))}, "does not lead from this receipt"),
        "kind": ({"proof": 1}, "altered"),
        "newer": ({"v": VERSION + 2}, f"a program of schema version {VERSION + 2} wrote it"),
    }
    lies, why = wrong[lie]
    with pytest.raises(NotGenuine, match=why):
        verify(good | lies, key=log[1])


def test_a_checkpoint_of_another_account_or_of_another_key_proves_nothing(
    line: dict[str, Any], log: Keys, witness: Keys
) -> None:
    theirs = made(line, signer=None, proof=proven(line, witness[0]))
    assert verify(theirs), "consistent within itself"
    with pytest.raises(NotGenuine, match="that key has not signed it"):
        verify(theirs, key=log[1])
    other = line_of(receipt(2, account="other"))
    with pytest.raises(NotGenuine, match="another account's log"):
        verify(made(other, signer=log[0], proof=proven(other, log[0])), key=log[1])


def test_one_of_version_1_has_no_commitments(log: Keys) -> None:
    old = {name: value for name, value in all_texts().items() if name not in ("salts", "commitments")} | {"v": 1}
    assert verify(made(line_of(old), signer=log[0], proof=None), key=log[1]).receipt["reason"] == "T-3"


@pytest.mark.parametrize("garbage", [{}, {"kind": "avatar-eraser certificate"}, {"v": 10**30}])
def test_garbage_is_no_error_of_ours(garbage: dict[str, Any]) -> None:
    with pytest.raises(NotGenuine):
        verify(garbage)
