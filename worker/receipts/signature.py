"""Ed25519 signatures of a head. The library is imported only when it is needed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from worker.config import known_secrets
from worker.model.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

T = TypeVar("T")

SETTING = "ERASER_RECEIPT_KEY_FILE"
_MAKE = "make one: openssl genpkey -algorithm ed25519 -out receipts.key"


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A private key."""

    _key: Ed25519PrivateKey
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Read a private key in PEM. Raises `SettingsError`, which never quotes the file."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        refuse = partial(SettingsError, SETTING)

        def loaded(pem: bytes) -> object:
            lines = pem.decode("ascii", "replace").splitlines()
            known_secrets.add(str(path), *(line.strip() for line in lines if not line.startswith("-----")))
            return load_pem_private_key(pem, password=None)

        key = _load(path, loaded, refuse)
        if key is None:
            raise refuse(f"{path} is not an unencrypted private key in PEM; {_MAKE}")
        if not isinstance(key, Ed25519PrivateKey):
            raise refuse(f"{path} is not an Ed25519 key; {_MAKE}")
        return cls(key, _fingerprint(key.public_key()))

    def sign(self, statement: bytes) -> dict[str, Any]:
        """The signature for a trailer."""
        value = base64.b64encode(self.raw(statement)).decode()
        return {"algorithm": "Ed25519", "key": self.fingerprint, "value": value}

    def raw(self, statement: bytes) -> bytes:
        """The signature alone, 64 bytes."""
        return self._key.sign(statement)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    @property
    def verifier(self) -> Verifier:
        """The public key, to verify with."""
        return Verifier(self._key.public_key(), self.fingerprint)


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key."""

    _key: Ed25519PublicKey
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Verifier:
        """Read a public key in PEM. Raises `UsageError`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = _load(path, load_pem_public_key, lambda why: UsageError(f"--key: {why}"))
        if not isinstance(key, Ed25519PublicKey):
            how = "openssl pkey -in receipts.key -pubout -out receipts.pub"
            raise UsageError(f"--key: {path} is not a public Ed25519 key in PEM; to get it from a private key: {how}")
        return cls(key, _fingerprint(key))

    def why_not(self, statement: bytes, signature: dict[str, Any] | None) -> str | None:
        """Why the signature is not valid for the statement, or None if it is."""
        if signature is None:
            return "not signed: the signature was removed, or the export was made without ERASER_RECEIPT_KEY_FILE"
        try:
            raw = base64.b64decode(str(signature.get("value")), validate=True)
        except ValueError:
            raw = b""
        if not self.valid(statement, raw):
            theirs = str(signature.get("key"))[:60]
            other = f" (it names the key {theirs})" if theirs != self.fingerprint else ""
            return f"its signature does not match the key {self.fingerprint}{other}"
        return None

    def valid(self, statement: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, statement)
        except InvalidSignature:
            return False
        return True

    @property
    def public(self) -> bytes:
        """The key itself, 32 bytes."""
        return self._key.public_bytes_raw()


def _load(path: Path, load: Callable[[bytes], T], refuse: Callable[[str], UsageError]) -> T | None:
    """The key of a file; None if there is none in it."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise refuse(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        return None


def _fingerprint(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
