"""Signed notes, checkpoints and cosignatures in the formats of C2SP (c2sp.org/signed-note, tlog-checkpoint,
tlog-cosignature), with Ed25519.

    avatar-eraser/default/2026-11-21                 origin: an account's day, which is a log of its own, and closed
    1042                                             its receipts
    <base64 of the root of their Merkle tree>

    — avatar-eraser/default/2026-11-21 <base64>      the signature of the receipts' key
    — witness.example/w1 <base64>                    a witness: it knows of no other checkpoint of this origin
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from worker.receipts.signature import Signer, Verifier

ED25519: Final = b"\1"  # types of signatures
COSIGNATURE: Final = b"\4"
_MOST = 16  # signatures that a note may have
_LONGEST = 64 * 1024  # of a note
_DASH = "— "


class BadNote(ValueError):
    """It is no note, no checkpoint, or not signed by the key that was given. Its text says which."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it is written. Nothing in it is true before a signature of it was verified."""

    text: str  # with its last end of line
    signatures: tuple[tuple[str, bytes, bytes], ...]  # name, key id, signature

    @classmethod
    def read(cls, written: str) -> Note:
        """Raises `BadNote`."""
        text, blank, lines = written.rpartition("\n\n")
        signatures = lines.removesuffix("\n").split("\n")
        plain = all(character >= " " or character == "\n" for character in written)
        if not blank or not written.endswith("\n") or not plain or len(written) > _LONGEST:
            raise BadNote("it is no signed note")
        if not 0 < len(signatures) <= _MOST:
            raise BadNote(f"it has {len(signatures)} signatures")
        return cls(f"{text}\n", tuple(map(_signature, signatures)))

    def signed_by(self, name: str, key: Verifier) -> None:
        """Raises `BadNote` unless that key signed it under that name."""
        signature = self._of(name, key_id(name, ED25519, key.public))
        if not key.valid(self.text.encode(), signature):
            raise BadNote(f"the signature of {name} does not match the key {key.fingerprint}")

    def cosigned_by(self, name: str, key: Verifier) -> int:
        """When a witness cosigned it, in seconds since 1970. Raises `BadNote` if it did not."""
        signature = self._of(name, key_id(name, COSIGNATURE, key.public))
        at = int.from_bytes(signature[:8])
        if len(signature) != 72 or not key.valid(_cosigned(self.text, at), signature[8:]):
            raise BadNote(f"the cosignature of {name} does not match the key {key.fingerprint}")
        return at

    def _of(self, name: str, id_: bytes) -> bytes:
        found = [signature for other, id_of, signature in self.signatures if (other, id_of) == (name, id_)]
        if len(found) != 1:
            raise BadNote(f"that key has not signed it as {name}" if not found else f"{name} signed it twice")
        return found[0]


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """Which key signs under a name."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def vkey(name: str, kind: bytes, public: bytes) -> str:
    """A public key as other programs for notes read it."""
    return f"{name}+{key_id(name, kind, public).hex()}+{base64.b64encode(kind + public).decode()}"


def origin_of(account: str, day: str) -> str:
    """The name of the log that an account's day is."""
    return f"avatar-eraser/{account}/{day}"


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """A checkpoint without signatures."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def checkpoint(text: str) -> tuple[str, int, bytes]:
    """The origin, the size and the root of a checkpoint that is written as ours are. Raises `BadNote`."""
    try:
        origin, size, root = text.removesuffix("\n").split("\n")
        found = origin, int(size), base64.b64decode(root, validate=True)
        if checkpoint_text(*found) != text or found[1] < 0 or len(found[2]) != hashlib.sha256().digest_size:
            raise ValueError
    except ValueError:
        raise BadNote("it is no checkpoint") from None
    return found


def signed(text: str, name: str, signer: Signer) -> str:
    """A note with the signature of a key."""
    return f"{text}\n{_line(name, key_id(name, ED25519, signer.public), signer.raw(text.encode()))}"


def cosigned(note: str, name: str, signer: Signer, at_s: int) -> str:
    """A note with the cosignature of a witness added."""
    text = Note.read(note).text
    signature = at_s.to_bytes(8) + signer.raw(_cosigned(text, at_s))
    return note + _line(name, key_id(name, COSIGNATURE, signer.public), signature)


def good_name(name: str) -> bool:
    """Whether a key may have this name."""
    return bool(name) and not any(character.isspace() or character in "+" or character < " " for character in name)


def _cosigned(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def _line(name: str, id_: bytes, signature: bytes) -> str:
    return f"{_DASH}{name} {base64.b64encode(id_ + signature).decode()}\n"


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, blank, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    if not line.startswith(_DASH) or not blank or not good_name(name) or len(raw) < 5:
        raise BadNote("a line of it is no signature")
    return name, raw[:4], raw[4:]
