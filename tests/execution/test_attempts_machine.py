"""The random schedules of the ledger with MetaStudio behind it, and executors that look, call and judge as they do.

What is called gone or deleted is not there, whatever MetaStudio answered. What was acknowledged as cancelled or held,
and what a pause or a deadline stops, is not sent.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import consumes, rule

from tests.ledger.test_machine import EVERY, JOBS, PARTS, SCHEDULE, Deletions, Held, run_schedules
from tests.support.ledgers import LEASE_MS, PROJECT
from tests.support.remote import FewLines, Mood
from worker.config.clock import elapsed
from worker.execution.executor import MOMENT_S, Executor
from worker.ledger.connection import connect
from worker.ledger.values import number
from worker.lookups.sightings import Sightings
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.outcome import OutcomeRules

LONG_S = 54.0  # after which a lease covers one more call, just so
POLICIES_LATER = st.sampled_from([None, None, "no policy means it any more"])


class Attempts(Deletions):
    """Every lease ends as an executor says. Jobs of MetaStudio's come back now and then."""

    leases = Deletions.leases
    look = None  # an executor looks by itself

    def __init__(self) -> None:
        super().__init__()
        self.remote = FewLines({"a": "u1", "b": None})
        self.no_longer_meant: str | None = None
        self.executor = Executor(
            ledger=self.bench.ledger,
            remote=self.remote,
            key=lambda: "k1",
            schedule=SCHEDULE,
            worker="w1",
            call_deadline_s=5.0,
            notify=lambda _: None,
            stopping=threading.Event(),
            still_meant=lambda *_: self.no_longer_meant,
            sightings=Sightings(clock=lambda: self.bench.now / 1000),
            random=lambda: 0.0,
        )

    @rule(mood=st.sampled_from([Mood.WELL, Mood.WELL, *Mood]), why=POLICIES_LATER)
    def the_world_changes(self, mood: Mood, why: str | None) -> None:
        self.remote.mood, self.no_longer_meant = mood, why
        self.allowed = set()

    @rule(job=JOBS)
    def it_comes_back(self, job: str) -> None:
        """Somebody restores it on their side, and asks for it once more."""
        self.remote.there.setdefault(job, "u1" if job == "a" else None)
        self.request(job, Lane.BULK, None, 0, True)

    @rule(held=consumes(leases), seconds=st.sampled_from([0.0, 1.0, LONG_S, LONG_S + 2]))
    def response(self, held: Held, seconds: float) -> None:  # type: ignore[override]
        """What lay between the take and now may have changed everything."""
        self.bench.pass_time(seconds)
        job, mine = held.lease.ref.id, self.live.get(held.lease.ref.id) == held
        sent, may_be_sent = len(self.remote.sent), self.may_be_sent(held)
        settlement = self.executor.attempt(self.as_of_now(held), OutcomeRules(SCHEDULE, "k1", 0.0))
        self.one_delete_at_most_and_only_where_it_may(job, self.remote.sent[sent:], may_be_sent)
        became = self.bench.turn(settlement, want=False).settled
        if settlement.to == "deleted":
            self.allowed = {(state, "deleted") for state in EVERY}
        elif mine:
            self.allowed = {("running", to) for to in ("gone", "pending", "dead", "cancelled", "held")}
        else:
            self.allowed = set()
            assert became is not None
            assert became.startswith("late") or (became == "unknown" and not self.bench.record(job))
        if became in ("gone", "deleted"):
            assert job not in self.remote.there, f"{job} is called {became}, and is there"
        if mine:
            del self.live[job]

    @rule(mood=st.sampled_from([Mood.BLIND, Mood.BROWNOUT]))
    def a_call_that_nobody_heard_of_is_asked_about(self, mood: Mood) -> None:
        """Just when lists show nothing: the worst moment to believe them."""
        for each in (Mood.SILENT, mood, mood):
            held = self.take("w1")
            if not isinstance(held, Held):
                return
            self.states_change_only_as_they_may()
            self.remote.mood = each
            self.response(held, 0.0)
            self.states_change_only_as_they_may()
            self.bench.pass_time(61)
        self.allowed = set()

    @rule(held=consumes(leases), word=st.sampled_from(["hold", "hold user", "cancel", "pause", "deadline"]))
    def a_word_comes_before_the_call(self, held: Held, word: str) -> None:
        job = held.lease.ref.id
        match word:
            case "hold":
                self.hold(job, None)
            case "hold user":
                self.hold_an_app_user("u1")
            case "cancel":
                self.cancel(job, None)
            case "pause":
                self.actions += 1
                self.bench.ledger.pause(why="T-1")
                self.allowed = set()
            case "deadline" if self.bench.record(job):  # else it was spoilt
                self.bench.client.hset(f"{self.bench.p}d:{PROJECT}/{job}", "dl", str(self.bench.ledger.now_ms() + 500))
                self.allowed = set()
        self.states_change_only_as_they_may()
        self.response(held, 1.0)
        if word == "pause":
            self.states_change_only_as_they_may()
            self.pause_and_resume()

    def as_of_now(self, held: Held) -> Any:
        """The lease as its holder has it, on a clock of its own that went as the test's did."""
        taken = elapsed() - (self.bench.true_now - (held.ends - LEASE_MS)) / 1000
        return replace(held.lease, taken=taken, expires=taken + LEASE_MS / 1000)

    def may_be_sent(self, held: Held) -> bool:
        """Whether anything speaks against a DELETE that is sent now.

        Within a moment of the take nobody is asked, unless a look lies between: what came was answered `in_flight`.
        """
        lease, record, on_hold = held.lease, self.bench.record(held.lease.ref.id), self.bench.holds.now()
        at_once = not lease.unsent and self.bench.true_now - (held.ends - LEASE_MS) < MOMENT_S * 1000
        mine = record.get("tok") == lease.token
        whose = "u1" if lease.ref.id == "a" else None
        users_hold = self.bench.ledger.users.hashed(whose) in on_hold.users
        over = (number(record.get("dl")) or 0.0) <= self.bench.ledger.now_ms()  # of one that was spoilt nobody knows
        stopped = "paused" in self.bench.gate() or over or "wish" in record
        return at_once or (
            mine and not stopped and Target(PROJECT, lease.ref.id) not in on_hold.refs and not users_hold
        )

    @staticmethod
    def one_delete_at_most_and_only_where_it_may(job: str, sent: list[str], may_be_sent: bool) -> None:
        assert sent in ([], [job])
        assert may_be_sent or not sent, f"{job} was sent in spite of a cancel, hold, pause or deadline"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_answered_nothing_is_called_gone_that_is_there(part: int, redis_url: str) -> None:
    class Run(Attempts):
        client_of_this_run = connect(redis_url)

    run_schedules(Run, part, share=3)
