"""What a user of Redis may run, asked before a move: one that is refused in the middle keeps what it wrote so far."""

from __future__ import annotations

from collections.abc import Iterable

import redis
from redis.exceptions import NoPermissionError, ResponseError

from worker.ledger import scripts
from worker.ledger.connection import server_of
from worker.ledger.redis_errors import is_away, is_forbidden

_UNKNOWN = "acl_check_cmd"  # in what a server says that has no such function


def refused(client: redis.Redis, key: str, commands: Iterable[str]) -> list[str] | None:
    """The commands that this user may not run on this key; None: servers before Redis 7, and some managed ones, cannot
    say. Raises redis-py's errors: "not now" is no answer. `NoPermissionError`: not even scripts are allowed.
    """
    try:
        found = scripts.load("may").run(client, key, *sorted(commands))
    except ResponseError as error:
        if is_forbidden(error):
            raise NoPermissionError("EVAL is refused") from None
        if is_away(error) or _UNKNOWN not in str(error):
            raise
        return None
    return None if found is None else [name.decode() for name in found]


def rule(commands: Iterable[str]) -> str:
    """What ACL SETUSER has to be told, to allow them."""
    return " ".join(f"+{name.lower()}" for name in sorted(commands))


class Rights:
    """What this process's user was found to be allowed, by the server that is used now. Thread-safe."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client, self._key = client, key
        self._server: object = None
        self._allowed: frozenset[str] = frozenset()

    def require(self, commands: frozenset[str]) -> None:
        """Raises `NoPermissionError` unless all are allowed, and what `refused` raises. Asks once for each."""
        one = server_of(self._client, self._key)
        server = one, getattr(one.connection_pool, "master_address", None)  # whom Sentinels named
        if server != self._server:
            self.forget()
            self._server = server
        if new := commands - self._allowed:
            if missing := refused(self._client, self._key, new):
                raise NoPermissionError(f"allow: {rule(missing)}")
            self._allowed |= new

    def forget(self, error: redis.RedisError | None = None) -> None:
        """After an error of a connection or server another one may answer next: a replica that was promoted, say, whose
        users are its own."""
        if error is None or not is_forbidden(error):
            self._allowed = frozenset()
