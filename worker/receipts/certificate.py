"""The certificate of one receipt: itself, a signature of it, and once archived the proof that it is in its day's tree.

Nobody else's receipts are needed to verify it: only the certificate and the public key. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from worker.ledger.schema.states import VERSION
from worker.receipts.canonical import canonical
from worker.receipts.chain import hash_of
from worker.receipts.commitments import hashed, why_wrong
from worker.receipts.notes import BadNote, origin_of
from worker.receipts.serialization import Form, read, written
from worker.receipts.signature import Signer, Verifier
from worker.receipts.tlog_proof import TlogProof

KIND: Final = "avatar-eraser certificate"
_KINDS: Final = {"kind": str, "v": int, "receipt": dict, "signature": dict | None, "proof": str | None}
_SIGNATURE: Final = {"algorithm", "key", "value"}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class NotGenuine(Exception):
    """Why a certificate does not verify."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified. `by_key`: with the public key that was given; else it is only consistent within itself."""

    receipt: dict[str, Any]
    by_key: bool
    origin: str | None = None  # of the tree, if there is a proof
    size: int | None = None
    witnesses: dict[str, int] = field(default_factory=dict)  # name -> when it cosigned, in seconds since 1970


def made(line: dict[str, Any], *, signer: Signer | None, proof: TlogProof | None) -> dict[str, Any]:
    """The certificate of a receipt."""
    return {
        "kind": KIND,
        "v": VERSION,
        "receipt": line,
        "signature": signer.sign(statement(line)) if signer else None,
        "proof": str(proof) if proof else None,
    }


def statement(line: dict[str, Any]) -> bytes:
    """What is signed of a receipt: the same that its hash is of."""
    return canonical(hashed(line))


def verify(
    certificate: dict[str, Any], *, key: Verifier | None = None, witnesses: Mapping[str, Verifier] | None = None
) -> Verified:
    """Raises `NotGenuine`. witnesses: by name, those that must have cosigned the checkpoint."""
    version = certificate.get("v")
    if isinstance(version, int) and version > VERSION + 1:
        raise NotGenuine(
            f"a program of schema version {version} wrote it; this one has {VERSION}: see docs/upgrading.md"
        )
    if tuple(certificate) != tuple(_KINDS) or not all(isinstance(certificate[n], k) for n, k in _KINDS.items()):
        raise NotGenuine("altered: not a certificate as it is written")
    line, signature, proof = certificate["receipt"], certificate["signature"], certificate["proof"]
    _check_receipt(line)
    if signature is not None and set(signature) != _SIGNATURE:
        raise NotGenuine("altered: its signature is not as one is written")
    if key and signature and (why := key.why_not(statement(line), signature)):
        raise NotGenuine(why)
    if key and not signature and not proof:
        raise NotGenuine("not signed: it was made without ERASER_RECEIPT_KEY_FILE, or the signature was removed")
    if witnesses and not proof:
        raise NotGenuine("it has no checkpoint that a witness could have cosigned: its day was not archived yet")
    return _check_proof(Verified(line, key is not None), proof, key, witnesses or {})


def _check_receipt(line: dict[str, Any]) -> None:
    try:
        genuine = read(Form.JSONL, written(Form.JSONL, line)).get("hash") == hash_of(line)
    except (ValueError, KeyError, TypeError, RecursionError):
        genuine = False
    if not genuine or line.get("kind") is None or "prev" not in line:
        raise NotGenuine("altered: its receipt does not have the hash that it names")
    if "commitments" in line and (why := why_wrong(line)):
        raise NotGenuine(f"altered: {why}")


def _check_proof(
    found: Verified, proof: str | None, key: Verifier | None, witnesses: Mapping[str, Verifier]
) -> Verified:
    if proof is None:
        return found
    try:
        origin, size, note = TlogProof.read(proof).of_receipt(found.receipt["hash"])
        day = origin.rpartition("/")[2]
        if origin != origin_of(found.receipt["account"], day) or not _DAY.fullmatch(day):
            raise BadNote("its checkpoint is of another account's log")
        if key:
            note.signed_by(origin, key)
        cosigned = {name: note.cosigned_by(name, witness) for name, witness in witnesses.items()}
    except BadNote as error:
        raise NotGenuine(f"its proof: {error}") from None
    return Verified(found.receipt, found.by_key, origin, size, cosigned)
