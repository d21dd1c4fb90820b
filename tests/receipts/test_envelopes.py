"""Other programs' own libraries verify the envelopes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from tests.receipts.test_commitments import all_texts
from tests.receipts.test_verify import chained
from tests.support.receipt_keys import Keys
from worker.receipts.chain import hash_of
from worker.receipts.envelopes import dsse


def theirs(keys: Keys) -> SSlibKey:
    signer, key = keys
    return SSlibKey(signer.fingerprint, "ed25519", "ed25519", {"public": key.public.hex()})


def test_securesystemslib_verifies_an_envelope_and_reads_the_receipt_in_it(log: Keys) -> None:
    (line,) = chained([all_texts()])
    envelope = Envelope.from_dict(json.loads(dsse(line, log[0])))
    assert list(envelope.verify([theirs(log)], 1)) == [log[0].fingerprint]
    statement: dict[str, Any] = json.loads(envelope.payload)
    assert (envelope.payload_type, statement["_type"]) == (
        "application/vnd.in-toto+json",
        "https://in-toto.io/Statement/v1",
    )
    assert statement["subject"] == [{"name": "p/job-2", "digest": {"sha256": line["hash"]}}]
    assert statement["predicateType"] == "urn:avatar-eraser:receipt:v2"
    assert hash_of(statement["predicate"]) == line["hash"]


def test_an_altered_envelope_and_another_key_are_refused(log: Keys, witness: Keys) -> None:
    (line,) = chained([all_texts()])
    envelope = Envelope.from_dict(json.loads(dsse(line, log[0])))
    envelope.payload = envelope.payload.replace(b"deleted", b"gone")
    with pytest.raises(VerificationError):
        envelope.verify([theirs(log)], 1)
    good = Envelope.from_dict(json.loads(dsse(line, log[0])))
    with pytest.raises(VerificationError):
        good.verify([theirs(witness)], 1)
