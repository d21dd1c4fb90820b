"""Metrics for Prometheus, read from the ledger when asked for: every process gives the same answer.

Counters come from the ledger's counters, gauges from its indexes. No label is a job id: all
are accounts, policies and endpoints of the settings, or words of fixed sets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from worker.execution import endpoints
from worker.execution.app_context import AppContext
from worker.ledger import counters
from worker.ledger.counters import BOUNDS_MS, Counters
from worker.ledger.parking import ParkedKind
from worker.ledger.records import AccountStatus
from worker.ledger.redis_read import read_redis
from worker.model.erasure import Verdict
from worker.model.errors import OtherSchema, SettingsError, Unreachable
from worker.model.states import Cause, Evidence, Outcome, State
from worker.services import parked_messages, retention, status, webhooks
from worker.services.damage import put_right
from worker.services.labels import GATES
from worker.services.status import Overview

PREFIX: Final = "avatar_eraser_"

_WITHOUT_DETAIL: Final = (
    *("deleted", "cancelled", "discarded", "restored", "replayed", "replay_cancelled"),
    *("released", "came_back", "gone_again"),
)
# All counted events, so that each series exists from the start and its first increase is visible.
EVENTS: Final = (
    *(("deletion.requested", how) for how in ("new", "merged", "again", "done")),
    *(("deletion.gone", evidence.value) for evidence in Evidence),
    *(("deletion.died", cause.value) for cause in Cause),
    *(("deletion.held", why) for why in ("job", "user", "user_unknown")),
    *(("deletion.lost", who) for who in ("worker_gone", "nobody_blamed")),
    *(("deletion.moved", way) for way in ("in", "out")),
    *((f"deletion.{name}", "") for name in (*_WITHOUT_DETAIL, "stale_result", "archived", "forgotten", "damaged")),
)


@dataclass(frozen=True, slots=True)
class _Account:
    """One account at one moment."""

    name: str
    now: AccountStatus
    dead: Mapping[str, int]  # by cause
    counted: Counters


class Metrics:
    """The collector for `prometheus_client`. While Redis is unreachable there is only one metric, which says so."""

    def __init__(self, app: AppContext) -> None:
        self._running = app

    def collect(self) -> Iterable[Metric]:
        try:
            return [_up(True), *put_right(self._running, lambda app: list(families(app)))]
        except (Unreachable, OtherSchema):
            return [_up(False)]


def registry(app: AppContext) -> CollectorRegistry:
    """For the servers of `prometheus_client`, which support a selection of metrics (`?name[]=`)."""
    made = CollectorRegistry(support_collectors_without_names=True)
    made.register(Metrics(app))
    return made


def exposition(app: AppContext, accept: str = "") -> tuple[str, bytes]:
    """The content type and the page; `accept`: the header of that name, for OpenMetrics. Never raises `Unreachable`."""
    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(Metrics(app))


def families(app: AppContext) -> Iterator[Metric]:
    """All metrics except `avatar_eraser_up`. Raises `Unreachable`."""
    view = status.look(app)
    every = [_read(app, account) for account in view.accounts]
    yield from _standing(every)
    yield from _counted(every)
    yield from _whole(app, view)
    yield from _schedules(app)
    yield from _webhooks(app)


def _read(app: AppContext, now: AccountStatus) -> _Account:
    name, dead = now.gate.account, Counter[str]()
    groups, in_none = app.bulk_queries(name).groups()
    for group in groups:
        dead[group.cause] += group.count
    if in_none:
        dead["unknown"] += in_none
    return _Account(name, now, dead, counters.read(app.redis, app.keys.account(name)))


def _standing(every: list[_Account]) -> Iterator[Metric]:
    """The ledger's contents, by account."""
    lanes = [(a, lane) for a in every for lane in a.now.due]
    states = ((a.name, state, a.now.states[state]) for a in every for state in State)
    yield _gauge("deletions", "Deletions of jobs by state.", ["account", "state"], states)
    parts = ((a.name, state, a.now.parts.get(state, 0)) for a in every for state in State)
    yield _gauge("parts", "Deletions of what jobs left behind by state.", ["account", "state"], parts)
    erasures = ((a.name, verdict, a.now.erasures.get(verdict, 0)) for a in every for verdict in Verdict)
    text = "What became of all that deleted jobs left behind, by verdict."
    yield _gauge("erasures", text, ["account", "verdict"], erasures)
    due = ((a.name, lane, a.now.due[lane]) for a, lane in lanes)
    yield _gauge("due_deletions", "Pending deletions that are due now, by lane.", ["account", "lane"], due)
    text = "How long the oldest due deletion has been due, by lane; 0: none is due."
    ages = ((a.name, lane, a.now.oldest_due_by_lane.get(lane, 0)) for a, lane in lanes)
    yield _gauge("oldest_due_age_seconds", text, ["account", "lane"], ages)
    dead = ((a.name, cause, a.dead.get(cause, 0)) for a in every for cause in _all(Cause, a.dead))
    yield _gauge("dead_letters", "Deletions that need a person, by cause.", ["account", "cause"], dead)
    damaged = ((a.name, a.now.damaged) for a in every)
    yield _gauge("damaged_entries", "Damaged entries of the ledger that were set aside.", ["account"], damaged)
    back = ((a.name, a.now.came_back) for a in every)
    yield _gauge("came_back_jobs", "Deleted jobs that MetaStudio has again.", ["account"], back)
    gates = ((a.name, gate, a.now.gate.gate == gate) for a in every for gate in GATES)
    yield _gauge("gate", "1 for the state that the account's gate is in, 0 for all others.", ["account", "gate"], gates)
    rates = ((a.name, a.now.gate.rate) for a in every)
    yield _gauge("rate_calls_per_second", "DELETE calls per second that the account's gate allows.", ["account"], rates)


def _counted(every: list[_Account]) -> Iterator[Metric]:
    """Counted events, by account."""
    happened = ((a.name, *one, a.counted.events.get(one, 0)) for a in every for one in _all(EVENTS, a.counted.events))
    text = "What happened to deletions, by event and detail."
    yield _filled(CounterMetricFamily, "events", text, ["account", "event", "detail"], happened)
    outcomes = [(a.name, out, a.counted.calls.get(out)) for a in every for out in _all(Outcome, a.counted.calls)]
    made = ((name, outcome, calls.number if calls else 0) for name, outcome, calls in outcomes)
    text = "DELETE calls whose answer was recorded, by outcome."
    yield _filled(CounterMetricFamily, "attempts", text, ["account", "outcome"], made)
    took = ((name, outcome, _buckets(calls.by_bound), calls.ms / 1000) for name, outcome, calls in outcomes if calls)
    text = "How long DELETE calls took, by outcome."
    yield _filled(HistogramMetricFamily, "call_seconds", text, ["account", "outcome"], took, values=2)
    wakeups = ((a.name, a.counted.wakeups) for a in every)
    yield _filled(CounterMetricFamily, "wakeups", "Wake-ups sent because work was due.", ["account"], wakeups)


def _buckets(by_bound: dict[float, int]) -> list[tuple[str, float]]:
    """Cumulative, in seconds, as Prometheus needs them."""
    names = [*(str(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
    return list(zip(names, accumulate(by_bound.get(bound, 0) for bound in (*BOUNDS_MS, math.inf)), strict=True))


def _whole(app: AppContext, view: Overview) -> Iterator[Metric]:
    """Parked messages, settings against the ledger, workers, and Redis."""
    counts = parked_messages.by_kind(view.parked)
    kinds = ((kind, counts.get(kind, 0)) for kind in ParkedKind)
    yield _gauge("parked_messages", "Messages that could not be recorded, by why.", ["kind"], kinds)
    text = "Accounts whose ledger belongs to a MetaStudio that the settings do not name."
    yield _one("accounts_elsewhere", text, len(view.elsewhere))
    yield _one("accounts_gone", "Accounts that are gone from the settings and not empty.", len(view.abandoned))
    text = "Projects stored under an account that the settings do not give them to."
    yield _one("projects_elsewhere", text, len(view.strays))
    yield _one("workers", "Workers seen in the last 30 seconds.", view.at_work)
    yield _one("worker_threads", "Calls that these workers can make at the same time.", view.threads)
    dispatcher = read_redis(app.redis.exists, app.keys.dispatcher)
    yield _one("dispatcher", "1 while a worker's dispatcher looks for due work.", dispatcher)
    if view.used_bytes:
        yield _one("redis_memory_bytes", "Memory that Redis uses.", view.used_bytes)
        yield _one("redis_memory_limit_bytes", "Redis's maxmemory; 0: no limit is set.", view.limit_bytes)


def _schedules(app: AppContext) -> Iterator[Metric]:
    try:
        policies = retention.upcoming(app)
    except SettingsError:
        policies, stopped = [], True
    else:
        stopped = any(one.next for one in policies) and retention.standstill(app) is not None
    sweeps = ((one.account, one.policy.name, bool(one.last and one.last.stopped_by)) for one in policies)
    text = "1 if the policy's last run was stopped by a safety rule."
    yield _gauge("sweep_stopped", text, ["account", "policy"], sweeps)
    yield _one("schedule_stopped", "1 while there are schedules but no scheduled runs.", stopped)


def _webhooks(app: AppContext) -> Iterator[Metric]:
    """Deliveries, by account and endpoint; also where nothing was sent yet."""
    found = {(one.account, one.endpoint): one for one in webhooks.counts(app)}
    every = _all(product(app.settings.accounts, endpoints.known(app)), found)
    labels = ["account", "endpoint"]
    waiting = ((*each, found[each].waiting if each in found else 0) for each in every)
    yield _gauge("webhook_messages_waiting", "Messages that no endpoint accepted yet.", labels, waiting)
    oldest = ((*each, (found[each].oldest_ms or 0) / 1000 if each in found else 0) for each in every)
    yield _gauge("webhook_oldest_waiting_seconds", "How long the oldest of them waits; 0: none.", labels, oldest)
    dead = ((*each, found[each].dead if each in found else 0) for each in every)
    yield _gauge("webhook_messages_dead", "Messages that were given up and not replayed.", labels, dead)
    totals = (
        (*each, what, found[each].totals.get(what, 0) if each in found else 0)
        for each in every
        for what in webhooks.TOTALS
    )
    text = "Messages made, delivered and given up, and attempts that failed."
    yield _filled(CounterMetricFamily, "webhook_messages", text, [*labels, "result"], totals)


# -- forms ------------------------------------------------------------------------------------------------------------


def _up(responses: bool) -> Metric:
    return _one("up", "1 while the ledger's Redis answers; everything else is missing where it is 0.", responses)


def _one(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return _gauge(name, text, [], [(value,)])


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    return _filled(GaugeMetricFamily, name, text, labels, rows)


def _filled(
    kind: Any, name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Any, ...]], *, values: int = 1
) -> Metric:
    """A family of metrics. Each row: the values of its labels, then what is measured."""
    family: Metric = kind(PREFIX + name, text, labels=labels)
    for row in rows:
        family.add_metric(row[:-values], *row[-values:])  # type: ignore[attr-defined]
    return family


def _all(known: Iterable[Any], found: Iterable[Any]) -> list[Any]:
    """The known ones and those that were found, each once."""
    return list(dict.fromkeys([*known, *found]))
