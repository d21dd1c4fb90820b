"""Metrics for Prometheus, read from the ledger when asked for: every process gives the same answer.

Counters come from the ledger's counters, gauges from its indexes. No label is a job id: all
are accounts and policies of the settings, or words of fixed sets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from worker.execution.app_context import AppContext
from worker.ledger import counters
from worker.ledger.counters import BOUNDS_MS, Counters
from worker.ledger.parking import ParkedKind
from worker.ledger.records import AccountStatus
from worker.ledger.redis_read import info, read_redis
from worker.model.errors import SettingsError, Unreachable
from worker.model.states import Cause, Evidence, Outcome, State
from worker.services import accounts as identity
from worker.services import parked_messages, project_moves, retention, status
from worker.services.damage import put_right
from worker.services.labels import GATES

PREFIX: Final = "avatar_eraser_"

# All counted events, so that each series exists from the start and its first increase is visible.
EVENTS: Final = (
    *(("deletion.requested", how) for how in ("new", "merged", "again", "done")),
    ("deletion.deleted", ""),
    *(("deletion.gone", evidence.value) for evidence in Evidence),
    *(("deletion.died", cause.value) for cause in Cause),
    ("deletion.cancelled", ""),
    ("deletion.discarded", ""),
    ("deletion.restored", ""),
    ("deletion.replayed", ""),
    ("deletion.replay_cancelled", ""),
    *(("deletion.held", why) for why in ("job", "user", "user_unknown")),
    ("deletion.released", ""),
    *(("deletion.lost", who) for who in ("worker_gone", "nobody_blamed")),
    *(("deletion.moved", way) for way in ("in", "out")),
    ("deletion.stale_result", ""),
    ("deletion.forgotten", ""),
    ("deletion.damaged", ""),
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
        except Unreachable:
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
    every = [_read(app, name) for name in app.settings.accounts]
    yield from _standing(every)
    yield from _gates(every)
    yield from _counted(every)
    yield from _messages(app)
    yield from _settings(app, every)
    yield from _workers(app)
    yield from _schedules(app)
    yield from _redis(app)


def _read(app: AppContext, account: str) -> _Account:
    dead: Counter[str] = Counter()
    groups, in_none = app.bulk_queries(account).groups()
    for group in groups:
        dead[group.cause] += group.count
    if in_none:
        dead["unknown"] += in_none
    counted = counters.read(app.redis, app.keys.account(account))
    return _Account(account, app.queries(account).status(), dead, counted)


# -- the ledger's contents --------------------------------------------------------------------------------------------


def _standing(every: list[_Account]) -> Iterator[Metric]:
    deletions = _gauge("deletions", "Deletions by state.", "account", "state")
    due = _gauge("due_deletions", "Pending deletions that are due now, by lane.", "account", "lane")
    oldest = _gauge(
        "oldest_due_age_seconds",
        "How long the oldest due deletion has been due, by lane; 0: none is due.",
        "account",
        "lane",
    )
    dead = _gauge("dead_letters", "Deletions that need a person, by cause.", "account", "cause")
    damaged = _gauge("damaged_entries", "Damaged entries of the ledger that were set aside.", "account")
    for account in every:
        for state in State:
            deletions.add_metric([account.name, state.value], account.now.states[state])
        for lane, number in account.now.due.items():
            due.add_metric([account.name, lane], number)
            oldest.add_metric([account.name, lane], account.now.oldest_due_by_lane.get(lane, 0))
        for cause in _all(Cause, account.dead):
            dead.add_metric([account.name, cause], account.dead.get(cause, 0))
        damaged.add_metric([account.name], account.now.damaged)
    yield from (deletions, due, oldest, dead, damaged)


def _gates(every: list[_Account]) -> Iterator[Metric]:
    gates = _gauge("gate", "1 for the state that the account's gate is in, 0 for all others.", "account", "gate")
    rate = _gauge("rate_calls_per_second", "DELETE calls per second that the account's gate allows.", "account")
    for account in every:
        for name in GATES:
            gates.add_metric([account.name, name], float(account.now.gate.gate == name))
        rate.add_metric([account.name], account.now.gate.rate)
    yield from (gates, rate)


# -- counted events ---------------------------------------------------------------------------------------------------


def _counted(every: list[_Account]) -> Iterator[Metric]:
    events = _counter("events", "What happened to deletions, by event and detail.", "account", "event", "detail")
    attempts = _counter("attempts", "DELETE calls whose answer was recorded, by outcome.", "account", "outcome")
    calls = HistogramMetricFamily(
        f"{PREFIX}call_seconds", "How long DELETE calls took, by outcome.", labels=["account", "outcome"]
    )
    wakeups = _counter("wakeups", "Wake-ups sent because work was due.", "account")
    for account in every:
        counted = account.counted
        for event, detail in _all(EVENTS, counted.events):
            events.add_metric([account.name, event, detail], counted.events.get((event, detail), 0))
        for outcome in _all(Outcome, counted.calls):
            made = counted.calls.get(outcome)
            attempts.add_metric([account.name, outcome], made.number if made else 0)
            if made:
                calls.add_metric([account.name, outcome], _buckets(made.by_bound), made.ms / 1000)
        wakeups.add_metric([account.name], counted.wakeups)
    yield from (events, attempts, calls, wakeups)


def _buckets(by_bound: dict[float, int]) -> list[tuple[str, float]]:
    """Cumulative, in seconds, as Prometheus needs them."""
    bounds = [*BOUNDS_MS, math.inf]
    sums = accumulate(by_bound.get(bound, 0) for bound in bounds)
    return [
        ("+Inf" if bound == math.inf else str(bound / 1000), total) for bound, total in zip(bounds, sums, strict=True)
    ]


# -- parked messages ------------------------------ ------------------------------------------------------------------


def _messages(app: AppContext) -> Iterator[Metric]:
    kept = _gauge("parked_messages", "Messages that could not be recorded, by why.", "kind")
    counts = parked_messages.by_kind(parked_messages.parking(app).groups())
    for kind in ParkedKind:
        kept.add_metric([kind.value], counts.get(kind, 0))
    yield kept


# -- settings against ledger ------------------------------------------------------------------------------------------


def _settings(app: AppContext, every: list[_Account]) -> Iterator[Metric]:
    seen = identity.seen(app, (account.now for account in every))
    wrong = sum(one.elsewhere is not None for one in seen)
    yield _gauge(
        "accounts_elsewhere",
        "Accounts whose ledger belongs to a MetaStudio that the settings do not name.",
        value=wrong,
    )
    gone = len(identity.abandoned(app))
    yield _gauge("accounts_gone", "Accounts that are gone from the settings and not empty.", value=gone)
    strays = len(project_moves.strays(app))
    yield _gauge(
        "projects_elsewhere", "Projects stored under an account that the settings do not give them to.", value=strays
    )


# -- workers and dispatcher---------------------------------------------------------------------------------------------


def _workers(app: AppContext) -> Iterator[Metric]:
    at_work = [worker for worker in status.workers(app)[1] if not worker.silent]
    yield _gauge("workers", "Workers seen in the last 30 seconds.", value=len(at_work))
    threads = sum(worker.threads or 0 for worker in at_work)
    yield _gauge("worker_threads", "Calls that these workers can make at the same time.", value=threads)
    rings = read_redis(app.redis.exists, app.keys.dispatcher)
    yield _gauge("dispatcher", "1 while a worker's dispatcher looks for due work.", value=rings)


def _schedules(app: AppContext) -> Iterator[Metric]:
    stopped = _gauge("sweep_stopped", "1 if the policy's last run was stopped by a safety rule.", "account", "policy")
    stands = _gauge("schedule_stopped", "1 while there are schedules but no scheduled runs.")
    try:
        policies = retention.upcoming(app)
    except SettingsError:
        stands.add_metric([], 1)
    else:
        for one in policies:
            stopped.add_metric([one.account, one.policy.name], float(bool(one.last and one.last.stopped_by)))
        scheduled = any(one.next for one in policies)
        stands.add_metric([], float(scheduled and retention.standstill(app) is not None))
    yield from (stopped, stands)


def _redis(app: AppContext) -> Iterator[Metric]:
    memory = read_redis(info, app.redis, "memory")
    if not memory:  # forbidden
        return
    yield _gauge("redis_memory_bytes", "Memory that Redis uses.", value=memory["used_memory"])
    most = memory.get("maxmemory", 0)
    yield _gauge("redis_memory_limit_bytes", "Redis's maxmemory; 0: no limit is set.", value=most)


# -- forms ------------------------------------------------------------------------------------------------------------


def _up(responses: bool) -> Metric:
    return _gauge(
        "up", "1 while the ledger's Redis answers; everything else is missing where it is 0.", value=responses
    )


def _gauge(name: str, text: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value, labels=None if value is not None else labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _all(known: Iterable[Any], found: Iterable[Any]) -> list[Any]:
    """The known ones and those that were found, each once."""
    return list(dict.fromkeys([*known, *found]))
