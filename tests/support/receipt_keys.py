"""Keys that sign receipts, and their public halves, as files in PEM."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from worker.receipts.signature import Signer, Verifier

Keys = tuple[Signer, Verifier]


def new_keys(folder: Path, name: str) -> Keys:
    """`NAME.key` and `NAME.pub`, as openssl writes them."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Signer.load(private), Verifier.load(public)
