"""The campaign over a Redis Cluster: primaries are killed and slots move while deletions of several accounts go on.

    python -m benchmarks.chaos --cluster [--kills 12] [--moves 6] [--seed N]

Three primaries with a replica each, an account on each, and a worker for all of them. What is counted: how long the
account of the killed server, or of the moved slot, stood still; whether those elsewhere lost any time, by their longest
silence and by their rate; and, against the simulator's log, what was accepted and lost, ended wrongly or was called
twice at once.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

from benchmarks.campaign import SETTINGS
from benchmarks.reckoning import end_of, may_end, overlapping
from tests.acceptance.fleet import OPEN, Fleet
from tests.support.redis_servers import ClusterSet, Server
from tests.support.waiting import wait_until
from worker.ledger.keys import OURS
from worker.ledger.records import Deletion
from worker.model.errors import EraserError
from worker.model.states import State

RATE, WORKERS, BATCH, BACKLOG = 20, 2, 10, 60
BEFORE_S = 1.0  # of an event all accounts were at work for that long
AROUND_S = 2.0  # what replication and the lease of a call may be behind, before and after an event
KILL, MOVE, ATOMIC = "kill -9 of a primary", "a slot moved key by key", "a slot moved atomically"


@dataclass
class Event:
    """One act, by this machine's monotonic clock, which the simulator's log has too."""

    kind: str
    account: str
    began: float
    ended: float = 0.0  # the account works again
    elsewhere: tuple[str, ...] = ()  # accounts on other servers
    silence: float = 0.0  # the longest time without a call of this account, around it…
    others: float = 0.0  # …and of any that lies on another server
    rates: tuple[float, float] = (0.0, 0.0)  # calls a second of one elsewhere, before it and until its end

    def covers(self, at: float) -> bool:
        return self.began - AROUND_S <= at <= self.ended + AROUND_S


@dataclass
class Slots:
    """One run."""

    fleet: Fleet
    cluster: ClusterSet
    accounts: list[str]
    chance: random.Random
    accepted: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    ended: int = 0  # processes
    _enough: threading.Event = field(default_factory=threading.Event)

    def run(self, kills: int, moves: int) -> None:
        workers = self.fleet.start_workers(WORKERS, "--concurrency", "8")
        producers = [threading.Thread(target=self._produce, args=(name,), daemon=True) for name in self.accounts]
        for producer in producers:
            producer.start()
        try:
            acts = [KILL] * kills + [MOVE, *([ATOMIC] if self.cluster.is_valkey_9() else [])] * moves
            self.chance.shuffle(acts)
            for kind in acts:
                for name in self.accounts:
                    self._works(name, by=20)
                event = Event(kind, self.chance.choice(self.accounts), time.monotonic())
                self.events.append(event)
                (self._kill if kind == KILL else self._move)(event)
                print(f"{kind}, {event.account}: works again after {event.ended - event.began:.2f} s", flush=True)
                self.cluster.wait_until_complete()
        finally:
            self._enough.set()
            for producer in producers:
                producer.join(60)
        for name in self.accounts:
            of_it = self.fleet.app.queries(name)
            self.fleet.wait(lambda of_it=of_it: not any(of_it.status().states[one] for one in OPEN), "all has ended")  # type: ignore[misc]
        self.ended = sum(not worker.alive for worker in workers)

    def _produce(self, name: str) -> None:
        """So many that some are always due. What is refused is not asked for again: it was not accepted."""
        for n in count():
            batch = self.fleet.plant(*(f"{name}-{n:04d}-{m}" for m in range(BATCH)), project=project_of(name))
            try:
                self.fleet.ask(*batch, project=project_of(name))
                self.accepted |= dict.fromkeys(batch, time.monotonic())
            except EraserError as error:
                self.refused[type(error).__name__] += 1
            while not self._enough.wait(0.2) and self._due(name) > BACKLOG:
                pass
            if self._enough.is_set():
                return

    def _due(self, name: str) -> int:
        try:
            return sum(self.fleet.app.queries(name).status().due.values())
        except EraserError:
            return BACKLOG + 1

    def _calls(self, name: str) -> int:
        peaks: Any = self.fleet.metastudio.calls()
        return sum(call["project"] == project_of(name) for call in peaks)

    def _works(self, name: str, *, by: int = 1) -> None:
        there = self._calls(name)
        self.fleet.wait(lambda: self._calls(name) >= there + by, f"{name} goes on", 120)

    def _owner(self, name: str) -> Server:
        return self.cluster.owner(OURS.account(name))

    def _look(self, event: Event) -> Server:
        """The account's server; which accounts lie elsewhere is noted."""
        where = {name: self._owner(name) for name in self.accounts}
        event.elsewhere = tuple(name for name, server in where.items() if server is not where[event.account])
        return where[event.account]

    def _kill(self, event: Event) -> None:
        old = self._look(event)
        old.kill()
        wait_until(lambda: self._owner(event.account) is not old, what="a replica took over")
        self._works(event.account)
        event.ended = time.monotonic()
        old.start()

    def _move(self, event: Event) -> None:
        source = self._look(event)
        primaries = [one for one in self.cluster.servers if one.info().get("role") == "master"]
        to = self.chance.choice([one for one in primaries if one is not source])
        if event.kind == ATOMIC:
            self.cluster.move(OURS.account(event.account), to)
        else:
            with self.cluster.moving(OURS.account(event.account), to) as carry:
                carry(20)
        self._works(event.account)
        event.ended = time.monotonic()


def project_of(account: str) -> str:
    return f"{account}project"


def reckon(run: Slots) -> dict[str, list[str]]:
    """What is wrong, and last what an asynchronous replica may cost."""
    found: dict[str, Deletion] = {}
    for name in run.accounts:
        queries = run.fleet.app.queries(name)
        found |= {d.ref.id: d for state in State for d in queries.each(state, history=True)}
    effects, calls = run.fleet.metastudio.effects(), run.fleet.metastudio.calls()
    deletes = sorted((call for call in calls if call["operation"] == "delete"), key=lambda call: call["started"])
    for event in run.events:
        event.silence = _silence(deletes, event, [event.account])
        event.others = max((_silence(deletes, event, [name]) for name in event.elsewhere), default=0.0)
        event.rates = (
            _rate(deletes, event, event.began - BEFORE_S, event.began),
            _rate(deletes, event, event.began, event.ended),
        )
    lost = sorted(job for job in run.accepted if job not in found)
    inside = lambda job: any(one.kind == KILL and one.covers(run.accepted[job]) for one in run.events)  # noqa: E731
    forgotten = [job for job, d in found.items() if d.state is State.GONE and job in effects]
    ends = [f"{job}: {end_of(d)}" for job, d in found.items() if not may_end(d, cancelled=False)]
    return {
        "lost outside a failover": [job for job in lost if not inside(job)],
        "ended wrongly": [line for line in ends if line.partition(":")[0] not in forgotten],
        "deleted, and not at MetaStudio": [
            j for j, d in found.items() if d.state is State.DELETED and j not in effects
        ],
        "two calls at once": overlapping(deletes),
        "gone, as the record of our call was lost": forgotten,
        "accepted and lost": lost,
    }


def _silence(deletes: list[dict[str, Any]], event: Event, accounts: list[str]) -> float:
    projects = {project_of(name) for name in accounts}
    at = [call["started"] for call in deletes if call["project"] in projects and event.covers(call["started"])]
    return max((later - before for before, later in pairwise(at)), default=float("inf"))


def _rate(deletes: list[dict[str, Any]], event: Event, since: float, until: float) -> float:
    """Of one account elsewhere."""
    projects = {project_of(name) for name in event.elsewhere}
    calls = sum(since <= float(call["started"]) < until for call in deletes if call["project"] in projects)
    return calls / (until - since) / max(1, len(projects))


def campaign(kills: int, moves: int, seed: int) -> int:
    began = time.monotonic()
    with ClusterSet(replicas=1) as cluster:
        accounts = list({cluster.owner(OURS.account(name)): name for name in (f"a{n}" for n in range(40))}.values())
        config = "\n".join(f'[accounts.{one}]\nprojects = ["{project_of(one)}"]\nrate = {RATE}' for one in accounts)
        words = [word for one in accounts for word in ("--project", project_of(one))]
        settings = SETTINGS | {"ERASER_RATE": None, "ERASER_REDIS_URL": cluster.url, "HUAWEICLOUD_SDK_PROJECT_ID": None}
        fleet = Fleet(settings=settings, config=config, account=accounts[0], simulator=(*words, "--latency", "0.03"))
        fleet.change(ERASER_BROKER_URL=fleet.redis_server.url)
        fleet.adds_up = False  # what a failover loses is counted here
        with fleet:
            run = Slots(fleet, cluster, accounts, random.Random(seed))
            run.run(kills, moves)
            found = reckon(run)
            print(f"\n{len(run.accepted):,} accepted, batches refused {dict(run.refused)}, {run.ended} processes ended")
            print("seconds, and calls a second of an account elsewhere: least / median / most")
            print("| act | times | its account works after | no call of it | no call elsewhere | before | meanwhile |")
            print("|---|---|---|---|---|---|---|")
            for kind in sorted({event.kind for event in run.events}):
                these = [event for event in run.events if event.kind == kind]
                away = [event for event in these if event.elsewhere] or these
                columns = [[e.ended - e.began for e in these], [e.silence for e in these], [e.others for e in away]]
                columns += [[e.rates[n] for e in away] for n in range(2)]
                shown = " | ".join(f"{min(one):.2f} / {statistics.median(one):.2f} / {max(one):.2f}" for one in columns)
                print(f"| {kind} | {len(these)} | {shown} |")
            for name, jobs in found.items():
                print(f"{len(jobs):>5}  {name}" + (f": {jobs[:5]}" if jobs else ""))
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if run.ended or any(jobs for name, jobs in list(found.items())[:4]) else 0
