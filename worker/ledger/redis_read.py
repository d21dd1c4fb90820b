"""Reading from Redis: what cannot be read becomes an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import redis

from worker.ledger import values
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_errors import is_away, is_forbidden, why_away
from worker.model.errors import EraserError, Unreachable


class WrongKind(EraserError):
    """Somebody wrote something else under a name of ours. The ledger's own moves put it aside and go on."""

    def __init__(self) -> None:
        super().__init__(
            "a key of the ledger has the wrong type, because another program wrote it: `eraser doctor` sets it aside; "
            "then try again"
        )


def read_redis(read: Any, *args: Any, **options: Any) -> Any:
    """Call one of redis-py's reading methods. Raises `Unreachable` when Redis does not answer, or not now."""
    try:
        return read(*args, **options)
    except redis.RedisError as error:
        if "WRONGTYPE" in str(error):
            raise WrongKind from None
        if not is_away(error):
            raise
        raise Unreachable(why_away(error)) from None


def scanned(scan: Iterator[Any]) -> Iterator[Any]:
    """What one of redis-py's scans finds. Raises what `read_redis` raises, in the middle of it, too."""
    while (found := read_redis(next, scan, None)) is not None:
        yield found


def info(client: redis.Redis, *section: str) -> dict[str, Any]:
    """What INFO says. Empty where Redis forbids it: an ACL counts it as dangerous, and no promise depends on it."""
    try:
        response: dict[str, Any] = client.info(*section)
    except redis.exceptions.ResponseError as error:
        if not is_forbidden(error):
            raise
        return {}
    return response


class AccountReader:
    """What reads one account's ledger. Raises `Unreachable` when Redis does not answer."""

    def __init__(self, client: redis.Redis, account: str, keys: Keys = OURS) -> None:
        self.account = account
        self._client = client
        self._keys = keys
        self._p = keys.account(account)

    def _hashes(self, family: str, names: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """What the hashes of these names say, in one round trip; nothing of those that are not there."""
        every = list(names)
        pipe = self._client.pipeline(transaction=False)
        for name in every:
            pipe.hgetall(f"{self._p}{family}{name}")
        for name, found in zip(every, read_redis(pipe.execute) if every else (), strict=True):
            if found:
                yield name, values.texts(found)
