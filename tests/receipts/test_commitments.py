"""Who and why can be removed from a receipt without a change of its hash, and cannot be replaced."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.receipts.test_verify import BOTH, Raw, chained, fault, receipt, whole
from worker.receipts.commitments import COMMITTED, commitment, committed, redact, redacted_places
from worker.receipts.receipt import FIELDS
from worker.receipts.serialization import Form, read, written
from worker.receipts.verify import verify

SECRET = "0123456789abcdef" * 2


def all_texts() -> dict[str, Any]:
    claims = [
        {"requested_by": "ann", "reason": "T-1", "run": "r1", "policy": None},
        {"requested_by": None, "reason": "T-2", "run": None, "policy": "old"},
    ]
    texts = {"requested_by": "bob", "reason": "T-3", "finished_by": "ops-1", "finished_reason": "T-4"}
    return receipt(2, claims=claims, **texts)


def file_of(line: dict[str, Any], form: Form = Form.JSONL) -> Raw:
    return whole(form, chained([receipt(1), line, receipt(3)]))


def changed(raw: Raw, form: Form, index: int, line: dict[str, Any]) -> Raw:
    return [*raw[:index], f"{written(form, line)}\n".encode(), *raw[index + 1 :]]


def test_every_text_of_who_and_why_is_committed() -> None:
    assert {name for name in FIELDS if name.endswith(("_by", "reason"))} == set(COMMITTED)
    places = [*COMMITTED, "claims/0/requested_by", "claims/0/reason", "claims/1/reason"]
    line = all_texts()
    assert list(line["salts"]) == list(line["commitments"]) == places
    assert {len(salt) for salt in line["salts"].values()} == {32}, "128 bits"
    assert len(set(line["salts"].values())) == len(places), "one salt leads to no other text"


def test_a_commitment_can_be_computed_without_us() -> None:
    line = all_texts()
    text = json.dumps([line["salts"]["reason"], "reason", "T-3"], separators=(",", ":"))
    assert line["commitments"]["reason"] == hashlib.sha256(text.encode()).hexdigest()
    assert line["commitments"]["reason"] == commitment(line["salts"]["reason"], "reason", "T-3")


def test_the_secret_of_the_salts_is_not_in_the_receipt() -> None:
    line = committed(dict.fromkeys(FIELDS) | {"reason": "T-1", "claims": []}, SECRET)
    assert SECRET not in json.dumps(line)
    assert line["salts"] != committed(dict.fromkeys(FIELDS) | {"reason": "T-1", "claims": []}, SECRET[::-1])["salts"]


@BOTH
def test_a_text_is_redacted_and_hash_chain_and_trailer_are_what_they_were(form: Form) -> None:
    raw = file_of(all_texts(), form)
    index = 1 + (form is Form.CSV)
    line = read(form, raw[index][:-1].decode())
    without = redact(line, lambda place, text: text in ("T-1", "T-3"))
    assert redacted_places(without) == ["reason", "claims/0/reason"]
    assert (without["reason"], without["claims"][0]["reason"], without["requested_by"]) == (None, None, "bob")
    assert line["reason"] == "T-3", "the receipt that it was made of is as it was"
    after = changed(raw, form, index, without)
    assert after != raw
    assert b"T-3" not in b"".join(after)
    reading = verify(lambda: after)
    assert reading.trailer["head"] == verify(lambda: raw).trailer["head"]
    assert (reading.redacted, verify(lambda: raw).redacted) == (2, 0)


@BOTH
@pytest.mark.parametrize(
    "lie", [{"reason": "T-9"}, {"reason": None}, {"finished_by": None, "salts": {}}, {"salts": {}}, {"claims": []}]
)
def test_a_text_cannot_be_replaced_moved_or_taken_without_its_salt(form: Form, lie: dict[str, Any]) -> None:
    raw = file_of(all_texts(), form)
    index = 1 + (form is Form.CSV)
    line = read(form, raw[index][:-1].decode()) | lie
    assert fault(changed(raw, form, index, line)).line == index + 1


def test_a_text_cannot_be_added_where_there_was_none() -> None:
    raw = file_of(receipt(2))
    line = read(Form.JSONL, raw[1][:-1].decode())
    assert line["requested_by"] is None
    salt = "0" * 32
    for lie in ({"requested_by": "ann"}, {"requested_by": "ann", "salts": {"requested_by": salt, **line["salts"]}}):
        assert "requested_by has a text without a commitment" in str(fault(changed(raw, Form.JSONL, 1, line | lie)))
    whole_lie = {"requested_by": "ann", "salts": {"requested_by": salt, **line["salts"]}}
    whole_lie["commitments"] = {"requested_by": commitment(salt, "requested_by", "ann"), **line["commitments"]}
    assert "hash mismatch" in str(fault(changed(raw, Form.JSONL, 1, line | whole_lie)))


def test_the_order_of_the_commitments_is_the_only_one() -> None:
    raw = file_of(all_texts())
    line = read(Form.JSONL, raw[1][:-1].decode())
    turned = line | {"salts": dict(reversed(line["salts"].items()))}
    assert "commitments to what it does not have" in str(fault(changed(raw, Form.JSONL, 1, turned)))


def test_a_receipt_of_version_1_has_no_commitments_and_verifies() -> None:
    old = {name: value for name, value in receipt(2).items() if name not in ("salts", "commitments")} | {"v": 1}
    raw = whole(Form.JSONL, chained([receipt(1), old, receipt(3)]))
    assert verify(lambda: raw).summary.receipts == 3
    raw[1] = raw[1].replace(b"TICKET-1", b"TICKET-2")
    assert "hash mismatch" in str(fault(raw))
