"""Receipts in envelopes that other programs know, signed with the same key. Pure.

DSSE     one JSON object: an in-toto Statement v1 whose subject is what was deleted and whose predicate is the receipt
SSHSIG   a signature of a whole file, as `ssh-keygen -Y verify` reads it
"""

from __future__ import annotations

import base64
import json
import textwrap
from typing import Any, Final

from worker.receipts.canonical import canonical
from worker.receipts.receipt import target_of
from worker.receipts.signature import Signer

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "urn:avatar-eraser:receipt:v2"
PAYLOAD: Final = "application/vnd.in-toto+json"
NAMESPACE: Final = "file"  # what `ssh-keygen -Y verify -n` has to name
_SSH_KEY: Final = b"ssh-ed25519"
_SSH_HASH: Final = b"sha512"


def dsse(line: dict[str, Any], signer: Signer) -> str:
    """The envelope of one receipt, as one line of JSON."""
    subject = {"name": str(target_of(line)), "digest": {"sha256": line["hash"]}}
    statement = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": line}
    payload = canonical(statement)
    signature = {"keyid": signer.fingerprint, "sig": _base64(signer.raw(_to_sign(payload)))}
    envelope = {"payload": _base64(payload), "payloadType": PAYLOAD, "signatures": [signature]}
    return json.dumps(envelope, separators=(",", ":"))


def _to_sign(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def sshsig(digest: bytes, signer: Signer) -> str:
    """The signature of a file, by its SHA-512."""
    about = _string(NAMESPACE.encode()) + _string(b"") + _string(_SSH_HASH)
    signature = _string(_SSH_KEY) + _string(signer.raw(b"SSHSIG" + about + _string(digest)))
    public = _string(_SSH_KEY) + _string(signer.public)
    blob = b"SSHSIG" + (1).to_bytes(4) + _string(public) + about + _string(signature)
    lines = textwrap.wrap(_base64(blob), 70)
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----"]) + "\n"


def ssh_public(signer: Signer) -> str:
    """The public key as OpenSSH writes it."""
    return f"{_SSH_KEY.decode()} {_base64(_string(_SSH_KEY) + _string(signer.public))}"


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
