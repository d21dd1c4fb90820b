"""Deliveries of webhooks in one account: the moves that make, take and settle them, and what people see of them.

Events are written to the outbox by the moves that make them true (see `lua/_outbox.lua`). Each move here is atomic, and
a worker that dies with a delivery in hand loses it to the next one when its lease ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Unpack

import redis

from worker.ledger import values
from worker.ledger.audit_actions import ActionName, Who, explained
from worker.ledger.deletions import BATCH, Ledger
from worker.ledger.index_walk import Place
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.types import lean
from worker.model.shares import batches

log = logging.getLogger(__name__)

LEASE_S = 60.0  # longer than an attempt may take, name lookup included
EVENTS_AT_ONCE = 100
_PAGE = 500


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one endpoint wants. projects: None: of all; account: also what is about the account and no project."""

    name: str
    events: Iterable[str]
    projects: Iterable[str] | None
    account: bool = True

    def as_options(self) -> dict[str, Any]:
        chosen = None if self.projects is None else dict.fromkeys(self.projects, True)
        events = dict.fromkeys(self.events, True)
        return lean({"name": self.name, "events": events, "projects": chosen, "account": self.account})


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery that this worker has in hand."""

    id: str
    event: str
    at: float
    about: dict[str, Any]
    failed: int  # attempts of its budget that failed
    lease: int


@dataclass(frozen=True, slots=True)
class Head:
    """What there is to do in one account. events: in its outbox; recorded_until: until when they are written down (ms);
    due: by endpoint, when the next delivery is (ms).
    """

    events: bool
    recorded_until: float
    due: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. status: None without an answer."""

    at: float
    status: int | None
    ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as people see it. Times in ms since 1970."""

    place: Place  # in the log of all accounts
    id: str
    account: str
    endpoint: str
    event: str
    at: float
    state: DeliveryState
    next_at: float | None
    ended_at: float | None
    about: dict[str, Any]
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """The deliveries of one account to one endpoint."""

    account: str
    endpoint: str
    waiting: int
    dead: int  # now
    oldest_ms: float | None  # how long the oldest that waits has been waiting
    totals: dict[str, int]  # made, delivered, failed, dead: ever


def fan_out(ledger: Ledger, wanted: Iterable[Wanted]) -> int:
    """Make deliveries of the events in the outbox, and say that somebody does. Returns how many events there were."""
    options = {"most": EVENTS_AT_ONCE, "endpoints": [each.as_options() for each in wanted]}
    response = ledger.run_script("fan_out", options)
    for endpoint, many in response.get("dead", {}).items():
        about = {"account": ledger.account, "endpoint": endpoint, "count": many}
        log.warning("webhook.dead", extra=about | {"error": "too many wait: the oldest were given up"})
    return int(response["taken"])


def record(ledger: Ledger, event: str, about: Mapping[str, str]) -> None:
    """Write an event down that no move makes true, without another try: whoever calls this has done its work."""
    ledger.run_script("record_event", {"event": event, "about": about}, keep_trying=lambda: False)


def take(ledger: Ledger, endpoint: str, most: int) -> list[Taken]:
    """Deliveries that are due now, at most so many."""
    options = {"endpoint": endpoint, "most": most, "lease": LEASE_S * 1000}
    found = ledger.run_script("take_deliveries", options).get("taken", ())
    return [
        Taken(id, event, values.number(at) or 0.0, values.fields(about), int(failed), int(lease))
        for id, event, at, about, failed, lease in found
    ]


def settle(
    ledger: Ledger,
    endpoint: str,
    taken: Taken,
    *,
    status: int | None,
    ms: int,
    why: str,
    used: bool = True,
    delay_s: float | None = None,
) -> str:
    """Record one attempt. status 2xx: delivered; else it is due after `delay_s`, or given up. Returns its state."""
    ok = status is not None and 200 <= status < 300
    delay = None if delay_s is None else delay_s * 1000
    options = {"endpoint": endpoint, "id": taken.id, "lease": taken.lease, "ms": ms, "why": why, "used": used, "ok": ok}
    return str(ledger.run_script("settle_delivery", options | lean({"status": status, "delay": delay}))["state"])


def give_up(ledger: Ledger, endpoint: str, why: str, since_ms: float) -> None:
    """Give up all that have waited since then, or longer, for an endpoint that is no more."""
    while ledger.run_script("give_up_deliveries", {"endpoint": endpoint, "why": why, "since": since_ms})["given_up"]:
        pass


def replay(ledger: Ledger, endpoint: str, ids: Sequence[str], **who: Unpack[Who]) -> dict[str, str]:
    """Send deliveries that have ended again. Returns what became of each: `replayed`, `waiting` or `unknown`."""
    options = {"endpoint": endpoint} | explained(ActionName.WEBHOOKS_REPLAYED, who)
    found: dict[str, str] = {}
    for batch in batches(ids, BATCH):
        found |= zip(batch, ledger.run_script("replay_deliveries", options | {"ids": batch})["results"], strict=True)
    return found


def heads(client: redis.Redis, accounts: Iterable[str], endpoints: Sequence[str], keys: Keys = OURS) -> dict[str, Head]:
    """What there is to do in each account: two commands for one with nothing. Raises `Unreachable`.

    What cannot be read counts as something to do: the move that does it says what is wrong, or puts it aside.
    """
    every = list(accounts)
    pipe = client.pipeline(transaction=False)
    for account in every:
        p = keys.account(account)
        pipe.hget(p + Key.ACCOUNT, "outbox")
        pipe.exists(p + Key.OUTBOX, *(p + Key.DELIVERIES_DUE + name for name in endpoints))
    answers = read_redis(pipe.execute, raise_on_error=False) if every else []
    recorded = {account: values.number(until) or 0.0 for account, until in zip(every, answers[::2], strict=True)}
    some = [account for account, number in zip(every, answers[1::2], strict=True) if number]
    for account in some:
        p = keys.account(account)
        pipe.xlen(p + Key.OUTBOX)
        for name in endpoints:
            pipe.zrange(p + Key.DELIVERIES_DUE + name, 0, 0, withscores=True)
    rest = iter(read_redis(pipe.execute, raise_on_error=False) if some else [])
    found = {account: Head(False, recorded[account], {}) for account in every}
    for account in some:
        events = bool(next(rest))
        first = {name: next(rest) for name in endpoints}
        due = {
            name: 0.0 if isinstance(one, redis.RedisError) else float(one[0][1]) for name, one in first.items() if one
        }
        found[account] = Head(events, recorded[account], due)
    return found


class Deliveries(AccountReader):
    """What people see of one account's deliveries. Raises `Unreachable` when Redis does not answer."""

    def newest(self) -> Iterator[Delivery]:
        """All that are kept, the newest first."""
        for page in self._pages(Key.DELIVERIES):
            due = self._next(page)
            for name, fields in self._hashes(Key.DELIVERY, page):
                yield self._read(name, fields, due.get(name), page[name])

    def dead(self, endpoint: str) -> list[str]:
        """The ids of those that were given up, the oldest first."""
        return [id for page in self._pages(Key.DELIVERIES_DEAD + endpoint) for id in page][::-1]

    def _pages(self, index: str) -> Iterator[dict[str, float]]:
        """What stands in an index, and its score, the newest first. By score, not by rank: more come meanwhile."""
        most: float | str = "+inf"
        at_most: set[str] = set()  # those of this score that are on a page already
        while True:
            bounds: Any = {"desc": True, "byscore": True, "offset": 0, "num": _PAGE + len(at_most), "withscores": True}
            raw: Any = read_redis(partial(self._client.zrange, self._p + index, most, "-inf", **bounds))
            found = [(name, at) for (_, at), name in zip(raw, values.names(name for name, _ in raw), strict=True)]
            page = {name: at for name, at in found if name not in at_most}
            if not page:
                return
            yield page
            last = found[-1][1]
            at_most = {name for name, at in found if at == last} | (at_most if last == most else set())
            most = last

    def counts(self, now_ms: float) -> list[EndpointCounts]:
        """By endpoint, also of those that nobody has any more."""
        raw = values.texts(read_redis(self._client.hgetall, self._p + Key.DELIVERY_COUNTS))
        totals: dict[str, dict[str, int]] = {}
        for name, number in raw.items():
            endpoint, _, what = name.partition(" ")
            totals.setdefault(endpoint, {})[what] = values.whole(number)
        pipe = self._client.pipeline(transaction=False)
        for endpoint in totals:
            pipe.zcard(self._p + Key.DELIVERIES_DUE + endpoint)
            pipe.zcard(self._p + Key.DELIVERIES_DEAD + endpoint)
            pipe.zrange(self._p + Key.DELIVERIES_WAITING + endpoint, 0, 0, withscores=True)
        found = iter(read_redis(pipe.execute) if totals else [])
        counts = []
        for (endpoint, ever), waiting, dead, oldest in zip(totals.items(), found, found, found, strict=True):
            waits_ms = max(0.0, now_ms - oldest[0][1]) if oldest else None
            counts.append(EndpointCounts(self.account, endpoint, int(waiting), int(dead), waits_ms, ever))
        return counts

    def _next(self, names: Iterable[str]) -> Mapping[str, float | None]:
        every = list(names)
        pipe = self._client.pipeline(transaction=False)
        for name in every:
            endpoint, _, id = name.partition(":")
            pipe.zscore(self._p + Key.DELIVERIES_DUE + endpoint, id)
        return dict(zip(every, read_redis(pipe.execute) if every else (), strict=True))

    def _read(self, name: str, fields: Mapping[str, str], due: float | None, score: float) -> Delivery:
        endpoint, _, id = name.partition(":")
        state = DeliveryState(fields["state"]) if fields.get("state") in tuple(DeliveryState) else DeliveryState.WAITING
        attempts = [_attempt(line) for line in fields.get("lines", "").splitlines()]
        return Delivery(
            place=Place(score, self.account, "", name.encode()),
            id=id,
            account=self.account,
            endpoint=endpoint,
            event=fields.get("event", "?"),
            at=values.number(fields.get("at")) or 0.0,
            state=state,
            next_at=due if state is DeliveryState.WAITING else None,
            ended_at=values.number(fields.get("ended")),
            about=values.fields(fields.get("about")),
            attempts=attempts,
        )


def _attempt(line: str) -> Attempt:
    at, status, ms, why = (*line.split(" ", 3), "", "", "", "")[:4]
    return Attempt(values.number(at) or 0.0, values.whole(status) or None, values.whole(ms), why)
