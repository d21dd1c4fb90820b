"""What a user of Redis may run, asked before a move: one that is refused in the middle keeps what it wrote so far."""

from __future__ import annotations

from collections.abc import Iterable

import redis
from redis.exceptions import NoPermissionError, ResponseError

from worker.ledger import scripts
from worker.ledger.redis_errors import is_forbidden


def refused(client: redis.Redis, key: str, commands: Iterable[str]) -> list[str] | None:
    """The commands that this user may not run on this key; None: servers before Redis 7, and some managed ones, cannot
    say. Raises redis-py's errors, `NoPermissionError` where not even scripts are allowed.
    """
    try:
        return [name.decode() for name in scripts.load("may").run(client, key, *sorted(commands))]
    except ResponseError as error:
        if not is_forbidden(error):
            return None
        raise NoPermissionError("EVAL is refused") from None


def rule(commands: Iterable[str]) -> str:
    """What ACL SETUSER has to be told, to allow them."""
    return " ".join(f"+{name.lower()}" for name in sorted(commands))


class Rights:
    """What this process's user was found to be allowed. Thread-safe."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client, self._key = client, key
        self._allowed: frozenset[str] = frozenset()

    def require(self, commands: frozenset[str]) -> None:
        """Raises `NoPermissionError` unless all are allowed, and what `refused` raises. Asks once for each."""
        if new := commands - self._allowed:
            if missing := refused(self._client, self._key, new):
                raise NoPermissionError(f"allow: {rule(missing)}")
            self._allowed |= new
