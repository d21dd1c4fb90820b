"""App users under another name: holds are kept by a keyed hash, so that no dump shows who is on hold.

The key is a random secret of the account and lives in the same Redis: whoever may read everything there can test a
guess against it. It keeps app users out of plain sight and out of copies of the holds; it is no secret from Redis.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

import redis

from worker.ledger.ask import ask

NOBODY: Final = "-"  # the job was created without an app user


class AppUsers:
    """Hashes app users of one account. Thread-safe; asks Redis once a process."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._name = f"{prefix}holds:key"
        self._key: bytes | None = None

    def hashed(self, app_user: str | None) -> str:
        """32 hexadecimal digits, or `-` for a job without an app user. Raises `Unreachable`."""
        if not app_user:
            return NOBODY
        if self._key is None:
            self._key = self._read()
        said = app_user.encode(errors="surrogatepass")  # MetaStudio's list may hold anything
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()[:32]

    def _read(self) -> bytes:
        ask(self._client.set, self._name, secrets.token_hex(32), nx=True)
        return bytes(ask(self._client.get, self._name))
