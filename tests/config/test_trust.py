"""ERASER_CA_BUNDLE: what is read at start, and what is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from worker.config.settings import Settings
from worker.config.trust import CA_BUNDLE, trust
from worker.model.errors import SettingsError

PEM = trustme.CA().cert_pem.bytes()


def load(bundle: Path) -> Settings:
    return Settings.load({CA_BUNDLE: str(bundle)})


def test_certificates_are_read_whatever_stands_between_them(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes("# 公司的 CA\n".encode() + PEM + b"# another\n" + trustme.CA().cert_pem.bytes())
    settings = load(bundle)
    assert settings.ca_bundle == bundle
    assert trust(bundle).current().cert_store_stats()["x509"] == 2
    assert (CA_BUNDLE, str(bundle), "environment") in settings.describe()


def test_without_it_the_public_cas_are_trusted() -> None:
    settings = Settings.load({})
    assert settings.ca_bundle is None
    assert (CA_BUNDLE, "not set: the public CAs are trusted", "default") in settings.describe()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot read"),
        (b"", "has no certificate"),
        (b"-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----\n", "has no certificate"),
        (b"\x30\x82\x01\x00", "is not UTF-8"),
        (PEM[: len(PEM) // 2], "has a certificate that cannot be read"),
        (PEM + PEM.replace(b"M", b"?", 40), "has a certificate that cannot be read"),
    ],
    ids=["absent", "empty", "a key", "DER", "half", "the second is damaged"],
)
def test_what_is_no_bundle_is_refused_at_start(tmp_path: Path, content: bytes | None, why: str) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(SettingsError, match=why) as refused:
        load(bundle)
    assert refused.value.name == CA_BUNDLE
    assert str(bundle) in str(refused.value)
