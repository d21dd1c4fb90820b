"""The status: every account's counts and gate, the workers, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import BEAT_S, AppContext
from worker.ledger.connection import servers_of
from worker.ledger.deletions import FULL_SHARE
from worker.ledger.parking import Group
from worker.ledger.records import AccountStatus
from worker.ledger.redis_read import info, read_redis
from worker.ledger.replays import ReplayState
from worker.model.erasure import LEFT, Verdict
from worker.model.errors import OtherEndpoint
from worker.model.states import State
from worker.services import accounts as identity
from worker.services import json_form, labels, parked_messages, project_moves, retention, webhooks
from worker.services import replay as replay_service
from worker.services.clocks import why_apart
from worker.services.damage import put_right
from worker.services.project_moves import Stray
from worker.services.redis_ping import no_writes
from worker.services.replay import ReplayProgress
from worker.services.times import span
from worker.services.workers import WorkerStatus, hanging, workers

START = "celery -A worker worker"
MISSED_S = 3 * BEAT_S  # seconds without a heartbeat: so many are not lost by accident


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do next, and the command for it."""

    why: str
    command: str
    about: str  # workers, redis, clocks, settings, memory, damage, back, gate, parked, replay, dead, webhooks …
    which: str = ""  # of several: the replay's id, or the endpoint's name


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment. `now` in ms since 1970, Redis's clock."""

    now: float
    accounts: tuple[AccountStatus, ...]
    workers: tuple[WorkerStatus, ...]
    alarms: tuple[retention.Alarm, ...] = ()
    replays: tuple[ReplayProgress, ...] = ()  # running ones, or those that stopped by themselves recently
    parked: tuple[Group, ...] = ()  # messages that could not be recorded
    endpoints: tuple[webhooks.EndpointView, ...] = ()  # of webhooks
    elsewhere: tuple[OtherEndpoint, ...] = ()  # accounts that belong to another MetaStudio than the settings say
    strays: tuple[Stray, ...] = ()  # projects stored under another account than the settings say
    abandoned: tuple[identity.AccountOverview, ...] = ()  # accounts that are missing from the settings and not empty
    used_bytes: int = 0  # of Redis's memory; 0: it does not say
    limit_bytes: int = 0  # its maxmemory; 0: no limit is set, or it does not say
    no_writes: str = ""  # why Redis answers but accepts no writes; empty: it accepts them

    @property
    def clocks(self) -> str | None:
        """How the clocks of Redis and of running workers differ; None: they agree."""
        return why_apart((worker.host or worker.worker, worker.clock_s) for worker in self.workers if not worker.silent)

    @property
    def not_archived(self) -> list[tuple[str, str, str]]:
        """Running workers that cannot archive receipts, each with an account, and why."""
        at_work = (worker for worker in self.workers if not worker.silent)
        return [(worker.worker, name, why) for worker in at_work for name, why in worker.not_archived.items()]

    @property
    def full(self) -> float:
        """The share of its maxmemory that Redis uses; 0: no limit, or not known."""
        return _full(self.used_bytes, self.limit_bytes)

    @property
    def states(self) -> dict[State, int]:
        """Of jobs."""
        return {state: sum(account.states[state] for account in self.accounts) for state in State}

    @property
    def parts(self) -> dict[State, int]:
        """The same of what jobs left behind, and of other kinds."""
        return _sums(State, (account.parts for account in self.accounts))

    @property
    def erasures(self) -> dict[str, int]:
        """How many have each verdict."""
        return _sums(Verdict, (account.erasures for account in self.accounts))

    @property
    def every(self) -> dict[State, int]:
        """Deletions of all kinds."""
        return {state: number + self.parts.get(state, 0) for state, number in self.states.items()}

    @property
    def oldest_due_s(self) -> float | None:
        return max((a.oldest_due_s for a in self.accounts if a.oldest_due_s is not None), default=None)

    @property
    def damaged(self) -> int:
        return sum(account.damaged for account in self.accounts)

    @property
    def came_back(self) -> int:
        return sum(account.came_back for account in self.accounts)

    @property
    def due(self) -> int:
        return sum(sum(account.due.values()) for account in self.accounts)

    @property
    def at_work(self) -> int:
        """Workers with a recent heartbeat."""
        return sum(not worker.silent for worker in self.workers)

    @property
    def threads(self) -> int:
        """Calls that these can make at the same time."""
        return sum(worker.threads or 0 for worker in self.workers if not worker.silent)

    @property
    def heartbeat_age_s(self) -> float:
        """How long ago the last heartbeat of any worker was; infinite without one."""
        return min((worker.heartbeat_age_s for worker in self.workers), default=math.inf)


def _sums(names: Any, counts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    every = list(counts)
    return {name: sum(each.get(name, 0) for each in every) for name in names}


def _memory(info: Mapping[str, Any]) -> tuple[int, int]:
    """What a server uses, and its maxmemory."""
    return int(info.get("used_memory") or 0), int(info.get("maxmemory") or 0)


def _full(used: int, limit: int) -> float:
    return used / limit if limit else 0.0


def _fullest(memory: tuple[int, int]) -> tuple[float, int]:
    return _full(*memory), memory[0]


def look(app: AppContext) -> Overview:
    """Read everything. Raises `Unreachable`."""
    return put_right(app, _look)


def _look(app: AppContext) -> Overview:
    accounts = tuple(app.queries(name).status() for name in app.settings.accounts)
    now, known = workers(app)
    used, limit = max((_memory(read_redis(info, one, "memory")) for one in servers_of(app.redis)), key=_fullest)
    return Overview(
        now=now,
        accounts=accounts,
        workers=known,
        alarms=tuple(retention.alarms(app)),
        replays=replay_service.current(app, now),
        parked=tuple(parked_messages.parking(app).groups()),
        endpoints=tuple(webhooks.overview(app)),
        elsewhere=tuple(error for one in identity.overviews(app, accounts) if (error := one.elsewhere)),
        strays=tuple(project_moves.strays(app)),
        abandoned=tuple(identity.abandoned(app)),
        used_bytes=used,
        limit_bytes=limit,
        no_writes=no_writes(app.redis, app.keys.workers),
    )


def as_json(view: Overview) -> dict[str, Any]:
    """The JSON form of the contract."""
    return {
        "states": view.states,
        "parts": view.parts,
        "erasures": view.erasures,
        "oldest_due_s": None if view.oldest_due_s is None else round(view.oldest_due_s, 3),
        "workers": [json_form.as_json(worker) | {"silent": worker.silent} for worker in view.workers],
        "accounts": [_account(account, view) for account in view.accounts],
        "damaged": view.damaged,
        "came_back": view.came_back,
        "parked": [parked_messages.as_json(group) for group in view.parked],
        "webhooks": [{"endpoint": one.name, "waiting": one.waiting, "dead": one.dead} for one in view.endpoints],
        "projects_elsewhere": [stray.as_json() for stray in view.strays],
        "accounts_gone": [gone.as_json() for gone in view.abandoned],
        "retention": [json_form.as_json(alarm) for alarm in view.alarms],
        "replays": [
            {"replay": one.which, "why": one.why, "command": one.command}
            for one in advice(view)
            if one.about == "replay"
        ],
    }


def _account(account: AccountStatus, view: Overview) -> dict[str, Any]:
    return json_form.as_json(account.gate, but=("skew_ms",)) | {
        "quotas": [json_form.as_json(one) | {"rate": round(one.rate, 3)} for one in account.gate.quotas],
        "closures": [json_form.as_json(one, but=("reason",)) for one in account.gate.closures],
        "endpoint": account.bound.endpoint if account.bound else None,
        "elsewhere": account.gate.account in {error.account for error in view.elsewhere},
    }


def advice(view: Overview) -> Iterator[Advice]:
    """The most urgent first; empty if all is well."""
    open_work = sum(view.every[state] for state in (State.PENDING, State.RUNNING))
    if open_work and not view.at_work:
        why = f"{labels.count(open_work, 'deletion')} waiting, but no worker is running{hanging(view.workers)}"
        yield Advice(why, START, "workers")
    if view.no_writes:
        why = f"Redis takes no writes; everything waits until it does: {labels.plain(view.no_writes)[:80]}"
        yield Advice(why, "eraser doctor", "redis")
    yield from _closed(view)
    if view.clocks:
        yield Advice(view.clocks, "eraser doctor", "clocks")
    for error in view.elsewhere:
        why = f"account {error.account} belongs to {error.bound}, these settings say {error.ours}: nothing is done here"
        yield Advice(why, "eraser accounts list", "settings")
    for stray in view.strays:
        yield Advice(str(stray), stray.command, "settings")
    for gone in view.abandoned:
        what = f"{labels.count(gone.deletions, 'deletion')} and {labels.count(gone.holds, 'hold')}"
        why = f"account {gone.account} is gone from the settings, and {what} are still there: no worker processes them"
        yield Advice(why, "eraser accounts list", "settings")
    if view.full > FULL_SHARE:
        why = f"Redis uses {view.full:.0%} of its maxmemory: nothing new is accepted above {FULL_SHARE:.0%}"
        yield Advice(why, "eraser doctor", "memory")
    if n := view.damaged:
        why = f"{labels.count(n, 'entry', 'entries')} of the ledger {'was' if n == 1 else 'were'} damaged and set aside"
        yield Advice(why, "eraser damaged list", "damage")
    if back := view.came_back:
        why = f"{labels.count(back, 'deleted job')} came back: MetaStudio has {'it' if back == 1 else 'them'} again"
        yield Advice(why, "eraser receipts back list", "back")
    if left := sum(view.erasures[verdict] for verdict in LEFT):
        why = f"{labels.count(left, 'deleted job')} left something behind: a model, a voice or both may still be there"
        yield Advice(why, "eraser related list --left", "related")
    for kind, number in parked_messages.by_kind(view.parked).items():
        yield Advice(f"{labels.count(number, 'message')} {parked_messages.WHY[kind]}", "eraser parked list", "parked")
    for worker, name, why in view.not_archived:
        what = f"{worker} cannot move receipts of {name} out of Redis: {labels.plain(why)[:80]}"
        yield Advice(what, "eraser doctor", "settings")
    for alarm in view.alarms:
        yield Advice(alarm.why, alarm.command, "retention")
    for replay in view.replays:
        yield Advice(_replay(replay), f"eraser replay status {replay.replay}", "replay", replay.replay)
    to_start = sum(replay.count("left") for replay in view.replays if not replay.ended)  # dead until then
    if (dead := view.every[State.DEAD] - to_start) > 0:
        why = f"{labels.count(dead, 'dead letter')} {'needs' if dead == 1 else 'need'} a person"
        yield Advice(why, "eraser dead groups", "dead")
    for name, n in ((one.name, one.dead) for one in view.endpoints if one.dead):
        why = f"{labels.count(n, 'message')} to webhook {name} {'was' if n == 1 else 'were'} given up"
        yield Advice(why, f"eraser webhooks deliveries {name} --state dead", "webhooks", name)


def _closed(view: Overview) -> Iterator[Advice]:
    """What stops calls: since when, which job showed it, who requested that, and when it is tried again."""
    for gate in (account.gate for account in view.accounts):
        which = f" --account {gate.account}" if len(view.accounts) > 1 else ""
        shut = gate.shut
        why = f"{gate.account} is {labels.closure(shut, view.now) if shut else labels.GATES.get(gate.gate, gate.gate)}"
        if gate.gate == "paused":
            yield Advice(why, f"eraser resume{which} --reason R", "gate")
        elif gate.gate in ("credentials", "misconfigured", "clock"):
            yield Advice(why, "eraser doctor", "gate")
        elif gate.gate == "outage" and shut:
            yield Advice(f"{why}; it opens by itself", "eraser status --watch", "gate")
        elif refused := sum(one.scope == "project" for one in gate.closures):
            why = f"MetaStudio refuses {labels.count(refused, 'project')} of {gate.account}"
            yield Advice(why, "eraser doctor", "gate")


def _replay(replay: ReplayProgress) -> str:
    """`a replay is running: 693 of 1,000 dead letters started`."""
    letters = labels.count(replay.count("total"), "dead letter")
    if replay.ended:
        return f"a replay of {letters} stopped: {replay.end_why}"
    how = "a replay is running" if replay.state is ReplayState.RUNNING else "a replay is being stopped"
    return f"{how}: {replay.count('fed'):,} of {letters} started"


def all_well(view: Overview) -> str:
    """The text if there is no advice."""
    states = view.every
    if not any(states.values()):
        return "No deletion has been requested yet. Start with: eraser request JOB_ID"
    if view.due or states[State.RUNNING]:
        message = f"last seen {span(view.heartbeat_age_s)} ago" if view.workers else "none has been seen yet"
        if view.heartbeat_age_s > MISSED_S:
            return f"No worker reports that it is working ({message}). If this persists, start one: {START}"
        return f"Nothing to do: {labels.count(view.at_work, 'worker')} at work, {message}."
    upcoming = [account.next_due_at for account in view.accounts if account.next_due_at is not None]
    if upcoming:
        soonest = span(max(0.0, min(upcoming) - view.now) / 1000)
        return f"Nothing to do: the next deletion is due in {soonest} (eraser list --state pending)."
    held = states[State.HELD]
    return "Nothing is waiting and nothing is dead." + (f" {labels.count(held, 'deletion')} on hold." if held else "")
