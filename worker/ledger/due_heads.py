"""What is next in each of very many accounts, in three round trips: two commands for an account with nothing at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes_of

_HOLDS = (Key.HOLD_ENDS, Key.OWNER_UNKNOWN)


@dataclass(frozen=True, slots=True)
class DueHeads:
    """Redis times, ms since 1970; None: there is nothing of the kind."""

    work: float | None  # when the next deletion is due, the next lease ends, or a replay goes on
    hold: float | None  # when time alone frees the next thing on hold


def due_heads(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> dict[str, DueHeads]:
    """The heads of those accounts that have any. Raises `Unreachable` when Redis does not answer."""
    every = list(accounts)
    work = (*indexes_of("pending"), Key.RUNNING, Key.REPLAYS_FEEDING)
    pipe = client.pipeline(transaction=False)
    for account in every:
        pipe.exists(*(keys.account(account) + index for index in (*work, *_HOLDS)))
    some = [account for account, keys in zip(every, read_redis(pipe.execute), strict=True) if keys]
    pipe = client.pipeline(transaction=False)
    for account in some:
        for index in (*work, *_HOLDS):
            pipe.zrangebyscore(keys.account(account) + index, "-inf", "(+inf", start=0, num=1, withscores=True)
    found = iter(read_redis(pipe.execute, raise_on_error=False) if some else [])
    return {account: DueHeads(_first(found, work), _first(found, _HOLDS)) for account in some}


def _first(found: Any, indexes: tuple[str, ...]) -> float | None:
    return min((score for _ in indexes for score in _scores(next(found))), default=None)


def _scores(response: Any) -> list[float]:
    if isinstance(response, redis.RedisError):  # somebody spoilt it: the moves that look at the account put it right
        return [0.0]
    return [score for _, score in response]
