"""App users under another name: holds are kept by a keyed hash, so that no dump shows who is on hold.

The key is a random secret of the installation and lives in the same Redis, one for all accounts, so that holds and
deletions of a project that moves to another account still mean the same app users. Whoever may read everything there
can test a guess against it. It keeps app users out of plain sight and out of copies of the holds; it is no secret from
Redis.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import redis

from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key

NOBODY: Final = "-"  # the job was created without an app user
BELIEVED_S: Final = 5.0  # a Redis in the place of one that was lost has another key: the old one meets no hold


class Pseudonyms:
    """Hashes app users of one account, and knows in which projects there are some. Thread-safe; asks Redis for the key
    every few seconds."""

    def __init__(
        self, client: redis.Redis, account: str, keys: Keys = OURS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._name = keys.app_users
        self._projects = keys.account(account) + Key.USER_PROJECTS
        self._clock = clock
        self._known: tuple[bytes, float] | None = None  # the key, and until when it is believed

    def hashed(self, app_user: str | None) -> str:
        """32 hexadecimal digits, or `-` for a job without an app user. Raises `Unreachable`."""
        if not app_user:
            return NOBODY
        text = app_user.encode(errors="surrogatepass")  # MetaStudio's list may hold anything
        return hmac.new(self._key(), text, hashlib.sha256).hexdigest()[:32]

    def fingerprint(self) -> str:
        """Which key Redis has now, without saying more of it. Raises `Unreachable`."""
        self._known = None
        return hashlib.sha256(self._key()).hexdigest()[:16]

    def known_in(self, project_id: str) -> bool:
        """Whether jobs of the project belong to app users, as far as a list showed. Raises `Unreachable`."""
        return bool(read_redis(self._client.sismember, self._projects, project_id))

    def note_in(self, project_id: str) -> None:
        """A list showed one. Raises `Unreachable`."""
        read_redis(self._client.sadd, self._projects, project_id)

    def _key(self) -> bytes:
        known, now = self._known, self._clock()
        if known is None or now >= known[1]:
            self._known = known = self._read(), now + BELIEVED_S
        return known[0]

    def _read(self) -> bytes:
        key: Any = read_redis(self._client.get, self._name)
        if key is None:
            read_redis(self._client.set, self._name, secrets.token_hex(32), nx=True)
            key = read_redis(self._client.get, self._name)
        return bytes(key)
