"""The audit of one account: what operators did, by whom, when and why; one entry an act (see `lua/_audit.lua`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from worker.ledger import values
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.values import Shape
from worker.model.shares import batches
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
    http_request_id: str | None  # of the API or the console
    results: dict[str, int]  # what became of each, in numbers


_ENTRY = Shape(AuditEntry, action="act", reason="why", http_request_id="http", job=None, results=None)


class AuditLog(AccountReader):
    """Reads one account's audit. Raises `Unreachable` when Redis does not answer."""

    def newest(self, *, since: float | None = None, until: float | None = None) -> Iterator[AuditEntry]:
        """Every entry between two moments (ms since 1970), the newest first."""
        # ids first, entries later: paging by rank would tell some twice when new ones come meanwhile
        most, least = until if until is not None else "+inf", since if since is not None else "-inf"
        ids: Any = read_redis(partial(self._client.zrange, self._p + Key.AUDIT, most, least, desc=True, byscore=True))
        for page in batches(values.names(ids), _PAGE):
            for name, fields in self._hashes(Key.AUDIT_ENTRY, page):  # unless its time was over meanwhile
                job = Target.parse(fields["job"]) if "job" in fields else None
                counts = {key[2:]: values.whole(many) for key, many in sorted(fields.items()) if key.startswith("n:")}
                yield _ENTRY.read(fields, id=name, account=self.account, job=job, results=counts)
