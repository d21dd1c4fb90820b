"""What is next in each of very many accounts, in three round trips: one command for an account with nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import queues_of
from worker.model.target import JOB, KINDS

_HOLDS = (Key.HOLD_ENDS, Key.OWNER_UNKNOWN)


@dataclass(frozen=True, slots=True)
class DueHeads:
    """Redis times, ms since 1970; None: there is nothing of the kind."""

    work: float | None  # when the next deletion is due, the next lease ends, or a replay goes on
    hold: float | None  # when time alone frees the next thing on hold


def due_heads(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> dict[str, DueHeads]:
    """The heads of those accounts that have any. Raises `Unreachable` when Redis does not answer."""
    every = list(accounts)
    work = (*queues_of(JOB), Key.RUNNING, Key.REPLAYS_FEEDING)
    rarely = (*(queue for kind in KINDS if kind != JOB for queue in queues_of(kind)), Key.ERASURES)
    some = _that_have(client, keys, every, (*work, *rarely, *_HOLDS))
    more = {*_that_have(client, keys, some, rarely)}
    indexes_of = {account: (*work, *(rarely if account in more else ())) for account in some}
    pipe = client.pipeline(transaction=False)
    for account, indexes in indexes_of.items():
        for index in (*indexes, *_HOLDS):
            pipe.zrangebyscore(keys.account(account) + index, "-inf", "(+inf", start=0, num=1, withscores=True)
    found = iter(read_redis(pipe.execute, raise_on_error=False) if some else [])
    return {account: DueHeads(_first(found, indexes), _first(found, _HOLDS)) for account, indexes in indexes_of.items()}


def _that_have(client: redis.Redis, keys: Keys, accounts: list[str], names: Iterable[str]) -> list[str]:
    """Those of the accounts that have any of these keys."""
    pipe = client.pipeline(transaction=False)
    for account in accounts:
        pipe.exists(*(keys.account(account) + name for name in names))
    there = read_redis(pipe.execute) if accounts else []
    return [account for account, number in zip(accounts, there, strict=True) if number]


def _first(found: Any, indexes: tuple[str, ...]) -> float | None:
    return min((score for _ in indexes for score in _scores(next(found))), default=None)


def _scores(response: Any) -> list[float]:
    if isinstance(response, redis.RedisError):  # somebody spoilt it: the moves that look at the account put it right
        return [0.0]
    return [score for _, score in response]
