"""Which MetaStudio each account of a ledger belongs to, and which version of the schema wrote it: kept since its first
use.

A process whose settings name another address acts on nothing there (see `lua/_once.lua`): jobs of production do not
exist at a staging's MetaStudio, so each of them would look like one that is gone. A process that does not know the
version does not touch it either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import redis

from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import VERSION
from worker.ledger.values import whole
from worker.model.errors import OtherSchema

KEY, FIELDS = Key.ACCOUNT, ("endpoint", "since", "schema")


@dataclass(frozen=True, slots=True)
class Binding:
    """An account's address, since when it has it (ms since 1970, Redis's clock), and the schema's version there."""

    endpoint: str | None  # None: nobody who calls MetaStudio has used it yet
    since: float
    version: int


def bindings(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> dict[str, Binding]:
    """The binding of each account that was used, in one round trip. Raises `Unreachable` when Redis does not answer."""
    names = list(accounts)
    pipe = client.pipeline(transaction=False)
    for account in names:
        pipe.hmget(keys.account(account) + KEY, FIELDS)
    found = zip(names, map(binding, read_redis(pipe.execute)), strict=True)
    return {name: one for name, one in found if one is not None}


def binding(fields: Sequence[bytes | None]) -> Binding | None:
    """What `FIELDS` of an account's `KEY` say."""
    endpoint, since, version = fields
    if endpoint is None and version is None:
        return None
    return Binding(endpoint.decode() if endpoint else None, float(since or 0), whole(version, 1))


def refuse_unknown(found: Mapping[str, Binding]) -> None:
    """Raise `OtherSchema` for an account with a version that this program does not know."""
    for account, bound in found.items():
        if abs(bound.version - VERSION) > 1:
            raise OtherSchema(f"account {account} of this ledger", stored=bound.version, ours=VERSION)
