"""HTTPS for the simulator: a CA and a certificate of it, made anew at each start. No key outlives the process."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from worker.model.errors import UsageError

_FIRST_LINE: Final = "# The CA of an avatar-eraser simulator, made when it started. Trust it nowhere else.\n"
_KEY_USAGES: Final = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_VALID_FOR: Final = timedelta(days=365)
_EARLIER: Final = timedelta(days=1)  # clocks differ


def server_context(ca_file: Path, host: str) -> ssl.SSLContext:
    """What serves HTTPS under the names of this machine and `host`; writes the CA's certificate into `ca_file`."""
    ca_pem, certificate_pem, key_pem = _issue(["localhost", socket.gethostname(), "127.0.0.1", "::1", host])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:  # Python loads a key from a file only
        chain = Path(directory, "chain.pem")
        chain.touch(0o600)
        chain.write_bytes(key_pem + certificate_pem)
        context.load_cert_chain(chain)
    _write(ca_file, _FIRST_LINE + ca_pem.decode())
    return context


def _write(path: Path, text: str) -> None:
    """In one step: whoever reads it meanwhile gets the old one or the new one."""
    if path.exists() and not path.read_bytes().startswith(_FIRST_LINE.encode()):
        raise UsageError(f"{path} is a file of something else: name another one for the CA's certificate")
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _issue(names: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """The CA's certificate, the server's, and the server's key, in PEM. The CA's key is dropped."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def name(of: str) -> Any:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"avatar-eraser simulator{of}")])

    def certificate(subject: Any, public_key: Any, usage: str, *, ca: bool = False) -> Any:
        usages = dict.fromkeys(_KEY_USAGES, False) | {usage: True}
        return (
            x509.CertificateBuilder(name(" CA"), subject, public_key, x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + _VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(x509.KeyUsage(**usages), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )

    authority = certificate(name(" CA"), ca_key.public_key(), "key_cert_sign", ca=True)
    server = (
        certificate(name(""), key.public_key(), "digital_signature")
        .add_extension(x509.SubjectAlternativeName([_general_name(x509, one) for one in dict.fromkeys(names)]), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    )
    ca_pem, server_pem = (each.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM) for each in (authority, server))
    return ca_pem, server_pem, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _general_name(x509: Any, name: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
