"""The campaign behind Sentinels: the primary is killed, replaced as planned and cut off, while deletions are requested.

    python -m benchmarks.chaos --sentinel [--kills 20] [--plans 4] [--partitions 3] [--replicas N] [--usual]
    python -m benchmarks.chaos --address [--plans 4] [--replicas N] [--seed N]

At the end three things are compared: what the producer was told is accepted, what then was in the replica, and what
the simulator's log has. --plans: so many each, coordinated by the servers where they can, with writes paused, both as
docs/redis.md has it, and with neither. --replicas: ERASER_REDIS_REPLICAS, for the producer too. --address: two servers
behind one address instead, which change places by `FAILOVER`. --usual: the Sentinels' periods are those of production.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

from benchmarks.campaign import SETTINGS
from benchmarks.reckoning import end_of, may_end
from tests.acceptance.fleet import BYSTANDER, OPEN, Fleet
from tests.acceptance.judge import every_attempt_is_in_the_servers_log, everything
from tests.acceptance.other_side import disagreements
from tests.support.redis_servers import OneAddress, SentinelSet, Server
from worker.model.errors import EraserError, Unreachable
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

WORKERS = 3
BATCH, BACKLOG = 10, 150
CUT_OFF_S = 3.0  # how long the old primary stays so after there is a new one
NOTICED_S = 2.0  # after a new primary took writes nobody is at the old one any more
PAUSE_MS = 10_000
USUAL_DOWN_AFTER_MS = 5_000
KILL, FAILOVER, COORDINATED, PAUSED, PLAIN, PARTITION = (
    "kill -9 of the primary",
    "planned, FAILOVER behind one address",
    "planned, coordinated",
    "planned, with writes paused",
    "planned, without a pause",
    "partition",
)
LOSSLESS = (FAILOVER, COORDINATED, PAUSED)
SIMULATOR = ("--latency", "0.03", "--jitter", "0.03")


@dataclass
class Event:
    """One failover, by this machine's monotonic clock, which the simulator's log has too."""

    kind: str
    began: float
    answered: float = 0.0  # the new primary takes writes
    worked: float = 0.0  # the first call after that
    silence: float = 0.0  # the longest time in which no call began, around it
    lost: int = 0  # accepted meanwhile, and in no ledger
    forgotten: int = 0  # calls whose record the new primary does not have

    def covers(self, at: float, *, before_s: float = 0.0) -> bool:
        return self.began - before_s <= at <= max(self.answered + NOTICED_S, self.worked)


@dataclass
class Failovers:
    """One run."""

    fleet: Fleet
    servers: Any  # SentinelSet or OneAddress
    chance: random.Random
    requested: set[str] = field(default_factory=set)
    accepted: dict[str, float] = field(default_factory=dict)
    replicated: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    ended: int = 0  # processes
    _enough: threading.Event = field(default_factory=threading.Event)

    def run(self, acts: list[str]) -> None:
        self.fleet.plant(BYSTANDER)
        workers = self.fleet.start_workers(WORKERS, "--concurrency", "8")
        producer = threading.Thread(target=self._produce, daemon=True)
        producer.start()
        try:
            self.fleet.wait(lambda: self._calls() > 50, "work is under way")
            for kind in self.chance.sample(acts, len(acts)):
                time.sleep(NOTICED_S + self.chance.uniform(0.3, 1.5))  # what is lost, is lost by one of them
                self._fail_over(kind)
        finally:
            self._enough.set()
            producer.join(60)
        self.fleet.wait(lambda: not set(OPEN) & set(self.fleet.states()), "everything has ended", 120)
        self.ended = sum(not worker.alive for worker in workers)

    def _calls(self) -> int:
        return int(self.fleet.metastudio.stats()["total"])

    def _produce(self) -> None:
        """So many that some are always due. What is refused is not asked for again: it was not accepted."""
        for n in count():
            batch = self.fleet.plant(*(f"job-{n:05d}-{m}" for m in range(BATCH)))
            self.requested |= set(batch)
            try:
                self.fleet.ask(*batch)
                self.accepted |= dict.fromkeys(batch, time.monotonic())
            except EraserError as error:
                self.refused[type(error).__name__] += 1
            while not self._enough.wait(0.1) and self._due() > BACKLOG:
                pass
            if self._enough.is_set():
                return

    def _due(self) -> int:
        with contextlib.suppress(Unreachable):
            return sum(self.fleet.queries.status().due.values())
        return 0

    # -- the failovers -------------------------------------------------------------------------------------------------

    def _fail_over(self, kind: str) -> None:
        old = self.servers.primary()
        self._note_replicated(old)
        event = Event(kind, time.monotonic())
        self.events.append(event)
        with self._another_takes_over(event, old):
            if kind == KILL:
                old.kill()
            elif kind == PARTITION:
                self.servers.cut_off(old)
            else:
                if kind == PAUSED:
                    with old.client() as client:
                        client.client_pause(PAUSE_MS, all=False)
                self.servers.fail_over(*(["COORDINATED"] if kind == COORDINATED else []))
        if kind == PARTITION:
            time.sleep(CUT_OFF_S)
            self.servers.reconnect(old)
        elif kind == KILL:
            old.start()
        elif kind == PAUSED:
            time.sleep(NOTICED_S)
            with old.client() as client:
                client.client_unpause()
        self.servers.wait_until_complete()

    @contextlib.contextmanager
    def _another_takes_over(self, event: Event, old: Server) -> Iterator[None]:
        yield
        self.servers.wait_for_another(old)
        event.answered = time.monotonic()
        there = self._calls()
        self.fleet.wait(lambda: self._calls() > there, "work goes on", 60)
        event.worked = time.monotonic()
        took = event.answered - event.began
        print(f"{event.kind}: another after {took:.2f} s, work {event.worked - event.answered:.2f} s later", flush=True)

    def _note_replicated(self, primary: Server) -> None:
        """What the replica has of what was accepted lately."""
        lately = [job for job, at in list(self.accepted.items()) if at > time.monotonic() - 30]
        (replica,) = (server for server in self.servers.servers if server is not primary)
        with replica.client() as client:
            pipe = client.pipeline(transaction=False)
            for job in lately:
                pipe.exists(f"{self.fleet.ledger.prefix}d:{DEMO_PROJECT}/{job}")
            self.replicated |= {job for job, there in zip(lately, pipe.execute(), strict=True) if there}


# -- what is counted ---------------------------------------------------------------------------------------------------


@dataclass
class Count:
    """Jobs, by what became of them. What is wrong comes first; the rest is what an asynchronous replica may cost."""

    lost_though_replicated: list[str]
    lost_in_a_failover_that_loses_nothing: list[str]
    lost_outside_a_failover: list[str]
    ended_wrongly: list[str]
    overlaps_outside_a_failover: list[str]
    at_odds_with_the_other_side: list[str]
    overlaps_at_a_failover: list[str]
    accepted_and_lost: list[str]
    gone_because_the_record_of_our_call_was_lost: list[str]

    def wrong(self) -> int:
        return sum(len(jobs) for jobs in list(vars(self).values())[:6])


def reckon(run: Failovers) -> Count:
    fleet, deletions = run.fleet, everything(run.fleet)
    effects = fleet.metastudio.effects()
    lost = sorted(job for job in run.accepted if job not in deletions)
    outside = [job for job in lost if not _event_of(run, run.accepted[job])]
    forgotten = [job for job, d in deletions.items() if d.state is State.GONE and job in effects]
    wrong = [
        f"{job}: {end_of(d)}" for job, d in deletions.items() if not (may_end(d, cancelled=False) or job in forgotten)
    ]
    calls = fleet.metastudio.calls()
    deletes = sorted((call for call in calls if call["operation"] == "delete"), key=lambda call: call["started"])
    for event in run.events:
        around = sorted(call["started"] for call in calls if event.began - 1 < call["started"] < event.worked + 2)
        event.silence = max((later - at for at, later in pairwise(around)), default=float("inf"))
    lossless = _blame(run, lost, forgotten, {call["job_id"]: call["started"] for call in reversed(deletes)})
    unknown = {f"{DEMO_PROJECT}/{job}" for job in run.requested - set(deletions)}  # deleted, and the record was lost
    beside = [line for line in disagreements(fleet) if line.partition(":")[0] not in unknown]
    try:
        every_attempt_is_in_the_servers_log(deletions.values(), deletes)
    except AssertionError as error:
        beside.append(str(error)[:500])
    at_a_failover, elsewhere = _overlaps(run.events, deletes)
    replicated = sorted(run.replicated & set(lost))
    return Count(replicated, lossless, outside, wrong, elsewhere, beside, at_a_failover, lost, forgotten)


def _blame(run: Failovers, lost: list[str], forgotten: list[str], called: dict[str, float]) -> list[str]:
    """Say of each failover what it lost; returns what one lost that may lose nothing. called: the first DELETE."""
    wrong = []
    for job, at, requests in [(j, run.accepted[j], 1) for j in lost] + [(j, called[j], 0) for j in forgotten]:
        if event := _event_of(run, at):
            event.lost += requests
            event.forgotten += 1 - requests
            wrong += [job] if event.kind in LOSSLESS else []
    return wrong


def _event_of(run: Failovers, at: float) -> Event | None:
    """The failover in which something was accepted; replication may be half a second behind."""
    return next((event for event in run.events if event.covers(at, before_s=0.5)), None)


def _overlaps(events: list[Event], deletes: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Jobs with two DELETEs at once: those of which the first was under way at a failover, and all others."""
    here, elsewhere = [], []
    before: dict[str, dict[str, Any]] = {}
    for call in deletes:
        first = before.get(call["job_id"])
        if first and _end(first) > call["started"]:
            under_way = any(
                event.covers(first["started"]) or first["started"] < event.began < _end(first) for event in events
            )
            (here if under_way else elsewhere).append(call["job_id"])
        before[call["job_id"]] = call
    return here, elsewhere


def _end(call: dict[str, Any]) -> float:
    return float("inf") if call["ended"] is None else float(call["ended"])


def tell(run: Failovers, found: Count) -> None:
    """The tables."""
    done = run.fleet.metastudio.stats()["effects"]
    print(f"\n{len(run.accepted):,} accepted, batches refused {dict(run.refused)}, {done:,} deleted, {run.ended} ended")
    print("\nseconds: least / median / most")
    print("| failover | times | another primary after | work after that | no call for | requests lost | calls lost |")
    print("|---|---|---|---|---|---|---|")
    for kind in sorted({event.kind for event in run.events}):
        these = [event for event in run.events if event.kind == kind]
        columns = (
            [event.answered - event.began for event in these],
            [event.worked - event.answered for event in these],
            [event.silence for event in these],
        )
        shown = " | ".join(f"{min(one):.2f} / {statistics.median(one):.2f} / {max(one):.2f}" for one in columns)
        lost = f"{sum(event.lost for event in these)} | {sum(event.forgotten for event in these)}"
        print(f"| {kind} | {len(these)} | {shown} | {lost} |")
    print()
    for name, jobs in vars(found).items():
        print(f"{len(jobs):>5}  {name.replace('_', ' ')}" + (f": {jobs[:5]}" if jobs else ""))


def campaign(acts: tuple[int, int, int], *, replicas: int, seed: int, address: bool, usual: bool) -> int:
    """acts: kills, plans, partitions."""
    began = time.monotonic()
    patience = USUAL_DOWN_AFTER_MS if usual else 1_000
    with OneAddress() if address else SentinelSet(usual=usual, down_after_ms=patience) as servers:
        settings = SETTINGS | {"ERASER_REDIS_URL": servers.url}
        if replicas:
            settings["ERASER_REDIS_REPLICAS"] = str(replicas)
        with Fleet(settings=settings, simulator=SIMULATOR) as fleet:
            fleet.adds_up = False  # what a failover loses is counted here
            run = Failovers(fleet, servers, random.Random(seed))
            planned = [PAUSED, PLAIN, *([COORDINATED] if servers.is_valkey_9() else [])]
            kinds = [KILL], [FAILOVER] if address else planned, [PARTITION]
            run.run([kind for number, some in zip(acts, kinds, strict=True) for kind in some * number])
            found = reckon(run)
            tell(run, found)
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if found.wrong() or run.ended or (replicas and found.accepted_and_lost) else 0
