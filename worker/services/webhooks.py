"""Webhooks for people and programs: how endpoints stand, the delivery log, and sending again."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.config.tables import nearest
from worker.config.webhooks import TEST, Endpoint, EventType
from worker.execution import endpoints
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.deliveries import Deliveries, Delivery, DeliveryState, EndpointCounts
from worker.model.errors import SettingsError, UsageError
from worker.services import json_form
from worker.services.act import Approval, Plan
from worker.webhooks.message import body
from worker.webhooks.sender import Result, Sender
from worker.webhooks.signing import Secrets

TOTALS = ("made", "delivered", "failed", "dead")


@dataclass(frozen=True, slots=True)
class EndpointView:
    """One endpoint over all accounts. endpoint: None if there is none any more. problem: with its secrets."""

    name: str
    endpoint: Endpoint | None
    waiting: int
    dead: int
    oldest_s: float | None
    totals: Mapping[str, int]
    problem: str = ""

    @property
    def where(self) -> str:
        """Who has it, and whether it is on."""
        if self.endpoint is None:
            return "-"
        return ("ledger" if self.endpoint.kept else "TOML") + ("" if self.endpoint.on else ", disabled")

    def as_json(self) -> dict[str, Any]:
        one = self.endpoint
        return {
            "endpoint": self.name,
            "configured": one is not None,
            "url": one.shown if one else None,
            "events": list(one.events) if one else None,
            "projects": list(one.projects) or None if one else None,
            "secrets": len(one.secret_files) + len(one.secret_envs) + len(one.secret_ids) if one else None,
            "in_ledger": one.kept if one else None,
            "on": one.on if one else None,
            "problem": self.problem or None,
            "waiting": self.waiting,
            "dead": self.dead,
            "oldest_waiting_s": None if self.oldest_s is None else round(self.oldest_s, 1),
            "totals": {name: self.totals.get(name, 0) for name in TOTALS},
        }


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries. Times in ms since 1970, of when each ended or, while it waits, was made."""

    endpoint: str | None = None
    state: DeliveryState | None = None
    event: str | None = None
    ids: Sequence[str] = ()
    since: float | None = None

    def passes(self, one: Delivery) -> bool:
        return (
            self.endpoint in (None, one.endpoint)
            and self.state in (None, one.state)
            and self.event in (None, one.event)
            and (not self.ids or one.id in self.ids)
            and (self.since is None or (one.ended_at or one.at) >= self.since)
        )


def named(app: AppContext, name: str) -> Endpoint:
    """The endpoint of that name. Raises `UsageError`."""
    if name in app.settings.webhooks:  # whether Redis answers or not
        return app.settings.webhooks[name]
    known = endpoints.known(app)
    if name not in known:
        there = f"; there are: {', '.join(known)}" if known else "; make one with: eraser webhooks add NAME URL"
        raise UsageError(f"there is no endpoint {name[:40]!r}{nearest(name, known)}{there}")
    return known[name]


def counts(app: AppContext) -> list[EndpointCounts]:
    """By account and endpoint. Raises `Unreachable`."""
    return [one for name in app.known_accounts() for one in _of(app, name).counts(app.queries(name).now_ms())]


def overview(app: AppContext) -> list[EndpointView]:
    """Every endpoint, then those that are no more and have deliveries that wait."""
    known = endpoints.known(app)
    by_name: dict[str, list[EndpointCounts]] = {name: [] for name in known}
    for one in counts(app):
        if one.endpoint in by_name or one.waiting:
            by_name.setdefault(one.endpoint, []).append(one)
    return [_view(app, name, known.get(name), found) for name, found in by_name.items()]


def _view(app: AppContext, name: str, endpoint: Endpoint | None, found: Sequence[EndpointCounts]) -> EndpointView:
    totals = {what: sum(one.totals.get(what, 0) for one in found) for what in TOTALS}
    oldest = max((one.oldest_ms for one in found if one.oldest_ms is not None), default=None)
    waiting, dead = sum(one.waiting for one in found), sum(one.dead for one in found)
    problem = why_unsigned(app, endpoint) if endpoint else ""
    return EndpointView(name, endpoint, waiting, dead, None if oldest is None else oldest / 1000, totals, problem)


def why_unsigned(app: AppContext, endpoint: Endpoint) -> str:
    """Why its messages cannot be signed by this process; empty: they can."""
    try:
        Secrets(endpoint, app.environ).keys()
    except SettingsError as error:
        return str(error)
    return ""


def newest(app: AppContext, wanted: DeliveryFilter) -> Iterator[Delivery]:
    """The deliveries of all accounts that are kept and match, the newest first. Raises `Unreachable`."""
    logs = (_of(app, account).newest() for account in app.known_accounts())
    return filter(wanted.passes, heapq.merge(*logs, key=lambda one: one.place, reverse=True))


def as_json(one: Delivery) -> dict[str, Any]:
    """One delivery for programs, with the data of its message."""
    fields = json_form.as_json(one, but=("place", "about", "event"), type="event")
    return fields | {"data": json.loads(body(one.event, one.account, one.at, one.about))["data"]}


# -- sending -----------------------------------------------------------------------------------------------------------


def test(app: AppContext, endpoint: Endpoint) -> Result:
    """Send a message of type `webhook.test` from here, now. It is in no delivery log. Raises `SettingsError`."""
    now = app.now().timestamp()
    message = body(TEST, next(iter(app.settings.accounts)), now * 1000, {"endpoint": endpoint.name})
    return Sender(endpoint, app.environ, app.settings.network).send(f"msg_test_{now * 1000:.0f}", message, lambda: now)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Deliveries of one endpoint that are to be sent again, by account."""

    endpoint: str
    by_account: Mapping[str, list[str]]
    named: bool  # by their ids
    unknown: Sequence[str] = field(default=())

    @property
    def number(self) -> int:
        return sum(map(len, self.by_account.values()))

    def plan(self) -> Plan:
        return Plan(
            f"send deliveries to {self.endpoint} again",
            {"deliveries, with the ids that they had": self.number},
            fields={"endpoint": self.endpoint, "plan": True, "count": self.number},
        )


def choose(
    app: AppContext, endpoint: Endpoint, ids: Sequence[str], wanted: Iterable[DeliveryState], since: float | None
) -> Chosen:
    """Those of these ids; without ids those in these states, that ended since then."""
    found: dict[str, list[str]] = {}
    known: set[str] = set()
    states = (*DeliveryState,) if ids else tuple(wanted)
    for one in newest(app, DeliveryFilter(endpoint.name, ids=ids, since=None if ids else since)):
        if one.state in states:
            found.setdefault(one.account, []).append(one.id)
            known.add(one.id)
    return Chosen(endpoint.name, found, bool(ids), [id for id in ids if id not in known])


def replay(app: AppContext, chosen: Chosen, approval: Approval) -> dict[str, str]:
    """Send them again. Returns what became of each: `replayed`, `waiting` (it is on its way anyway) or `unknown`."""
    approval.check(chosen.number, "message")
    results = dict.fromkeys(chosen.unknown, "unknown")
    action = approval.action(chosen.endpoint, count=chosen.number)
    for account, ids in chosen.by_account.items():
        results |= deliveries.replay(app.ledger(account), chosen.endpoint, ids, **approval.who(action))
    return results


def _of(app: AppContext, account: str) -> Deliveries:
    app.check_schema()
    return Deliveries(app.redis, account, app.keys)


EVENTS = tuple(EventType)
