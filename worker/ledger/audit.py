"""The audit of one account: what operators did, by whom, when and why; one entry an act (see `lua/_audit.lua`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from worker.ledger import values
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.model.target import Target

_PAGE = 500


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. Times in ms since 1970, Redis's clock."""

    id: str  # the same in every account that the act was about
    account: str
    action: str
    at: float
    last: float  # when its last part was done: acts of thousands are done 500 at a time
    by: str | None
    reason: str | None
    of: str | None  # what was named: groups, a policy
    run: str | None
    job: Target | None  # the first one
    user: str | None  # an app user's hash, see `worker.ledger.pseudonyms`
    cap: int | None  # what a person allowed above the cap
    results: dict[str, int]  # what became of each, in numbers


class AuditLog:
    """Reads one account's audit. Raises `Unreachable` when Redis does not answer."""

    def __init__(self, client: redis.Redis, account: str, keys: Keys = OURS) -> None:
        self.account = account
        self._client = client
        self._p = keys.account(account)

    def newest(self, *, since: float | None = None, until: float | None = None) -> Iterator[AuditEntry]:
        """Every entry between two moments (ms since 1970), the newest first."""
        # ids first, entries later: paging by rank would tell some twice when new ones come meanwhile
        most, least = until if until is not None else "+inf", since if since is not None else "-inf"
        ids: Any = read_redis(partial(self._client.zrange, self._p + Key.AUDIT, most, least, desc=True, byscore=True))
        for start in range(0, len(ids), _PAGE):
            page = [name.decode(errors="replace") for name in ids[start : start + _PAGE]]
            pipe = self._client.pipeline(transaction=False)
            for name in page:
                pipe.hgetall(f"{self._p}{Key.AUDIT_ENTRY}{name}")
            for name, fields in zip(page, read_redis(pipe.execute), strict=True):
                if fields:  # its time was over meanwhile
                    yield self._entry(name, values.texts(fields))

    def _entry(self, name: str, fields: dict[str, str]) -> AuditEntry:
        return AuditEntry(
            id=name,
            account=self.account,
            action=fields.get("act", "?"),
            at=values.number(fields.get("at")) or 0,
            last=values.number(fields.get("last")) or 0,
            by=fields.get("by"),
            reason=fields.get("why"),
            of=fields.get("of"),
            run=fields.get("run"),
            job=Target.parse(fields["job"]) if "job" in fields else None,
            user=fields.get("user"),
            cap=values.whole(fields["cap"]) if "cap" in fields else None,
            results={key[2:]: values.whole(number) for key, number in sorted(fields.items()) if key.startswith("n:")},
        )
