"""ERASER_CA_BUNDLE: the CAs that certificates of MetaStudio and IAM must come from, instead of the public ones.

Instead of them, as with curl's --cacert and REQUESTS_CA_BUNDLE, so that an installation can trust its own CA alone. A
file with both trusts both.
"""

from __future__ import annotations

import ssl
from functools import cache, partial
from pathlib import Path
from typing import Final

from worker.config.files import path_named
from worker.config.watched_file import WatchedFile
from worker.model.errors import SettingsError

CA_BUNDLE: Final = "ERASER_CA_BUNDLE"
_REFUSE: Final = partial(SettingsError, CA_BUNDLE)
_PEM: Final = "-----BEGIN CERTIFICATE-----"


@cache  # hundreds of accounts share one: otherwise each would load and keep the certificates
def trust(path: Path) -> WatchedFile[ssl.SSLContext]:
    """What verifies a server by the CAs in this file; read again when the file changes."""
    parse = partial(_context, path)
    return WatchedFile(path, parse, _REFUSE, keep=True, what="file of CA certificates")


def check_ca_bundle(text: str, name: str) -> Path:
    path = path_named(text, name)
    trust(path).current()
    return path


def _context(path: Path, pem: str) -> ssl.SSLContext:
    if _PEM not in pem:
        raise _REFUSE(f"{path} has no certificate: expected one or more in PEM form, which begin with {_PEM}")
    try:
        # comments between certificates may be in any language, and OpenSSL takes ASCII only
        return ssl.create_default_context(cadata=pem.encode("ascii", "replace").decode())
    except ssl.SSLError:
        raise _REFUSE(f"{path} has a certificate that cannot be read: copy it anew, whole, in PEM form") from None
