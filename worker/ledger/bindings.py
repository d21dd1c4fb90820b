"""Which MetaStudio each account of a ledger belongs to: kept since its first use by the first move that named one.

A process whose settings name another address acts on nothing there (see `lua/_once.lua`): jobs of production do not
exist at a staging's MetaStudio, so each of them would look like one that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import redis

from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis

KEY, FIELDS = "account", ("endpoint", "since")


@dataclass(frozen=True, slots=True)
class Binding:
    """An account's address, and since when it has it (ms since 1970, Redis's clock)."""

    endpoint: str
    since: float


def bindings(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> dict[str, Binding]:
    """The binding of each account that has one, in one round trip. Raises `Unreachable` when Redis does not answer."""
    names = list(accounts)
    pipe = client.pipeline(transaction=False)
    for account in names:
        pipe.hmget(keys.account(account) + KEY, FIELDS)
    found = zip(names, map(binding, read_redis(pipe.execute)), strict=True)
    return {name: one for name, one in found if one is not None}


def binding(values: Sequence[bytes | None]) -> Binding | None:
    """What `FIELDS` of an account's `KEY` say."""
    endpoint, since = values
    return Binding(endpoint.decode(), float(since or 0)) if endpoint else None
