"""Which accounts can be acted on now: of a cluster a part may be away, or on its way to another server."""

from __future__ import annotations

from collections.abc import Iterable

import redis

from worker.ledger.cluster import Cluster
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_errors import is_away


def reachable(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> set[str]:
    """Those whose server takes writes. All of them where there is one server, or nothing was amiss for some seconds.

    Asked by a write that changes nothing, of the name by which scripts know an account: no such key is ever there, so
    a slot that is being moved refuses both in the same way.
    """
    every = list(accounts)
    if not isinstance(client, Cluster) or client.is_whole:
        return set(every)
    pipe = client.pipeline(transaction=False)
    for account in every:
        pipe.zrem(keys.account(account), "-")
    answers = zip(every, pipe.execute(raise_on_error=False), strict=True)
    return {account for account, one in answers if not (isinstance(one, redis.RedisError) and is_away(one))}
