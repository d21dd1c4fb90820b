"""Signatures by the Standard Webhooks specification (standardwebhooks.com): HMAC-SHA256 of id, time and body.

Written here, and not by the `standardwebhooks` package: these are a few lines, and so the package can be the tests'
verifier that knows nothing of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping

from worker.config.toml import CONFIG
from worker.config.webhooks import KEY, KEY_PREFIX, LONGEST, SHORTEST, Endpoint, decoded
from worker.metastudio.credentials import secret_file, variable
from worker.model.errors import SettingsError


def new_secret() -> str:
    """A secret as people write it into a file."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str, where: str) -> bytes:
    """The key that a secret stands for. Raises `SettingsError`, which never repeats the secret."""
    if (key := decoded(secret.strip())) is None:
        raise SettingsError(
            CONFIG,
            f"{where}: expected {KEY_PREFIX} and {SHORTEST} to {LONGEST} bytes in base64, as "
            "`eraser webhooks secret` prints (the value is not shown)",
        )
    return key


def derived(key: bytes, secret_id: str) -> bytes:
    """The secret of an endpoint in the ledger. The ledger has its id only, which is worth nothing without the key."""
    return hmac.digest(key, f"secret {secret_id}".encode(), hashlib.sha256)


def mark(key: bytes) -> str:
    """Tells one key from another, and says no more of it."""
    return hmac.digest(key, b"mark", hashlib.sha256)[:8].hex()


class Secrets:
    """The secrets of one endpoint. A file is read again when it changes."""

    def __init__(
        self, endpoint: Endpoint, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        where = f"[webhooks.{endpoint.name}]"
        self._read = [
            *((f"{where} {path}", secret_file(path, CONFIG, clock)) for path in endpoint.secret_files),
            *((f"{where} {name}", variable(environ, name, clock)) for name in endpoint.secret_envs),
        ]
        self._endpoint = endpoint
        self._key = variable(environ, KEY, clock) if endpoint.kept else None

    def keys(self) -> list[bytes]:
        """The keys that sign now. Raises `SettingsError`."""
        keys = [key_of(read() or "", where) for where, read in self._read]
        if self._key:
            key = decoded((self._key() or "").strip())
            if key is None or mark(key) != self._endpoint.key_mark:
                why = "not set here" if key is None else "another one than that with which it was made"
                raise SettingsError(KEY, f"{why}: endpoint {self._endpoint.name} of the console cannot be signed")
            keys += [derived(key, id) for id in self._endpoint.secret_ids]
        return keys


def headers(keys: Iterable[bytes], id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; at: when it is sent, seconds since 1970."""
    signed = f"{id}.{at}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
