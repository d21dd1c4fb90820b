"""Random interleavings of everything that can happen to deletions, under a clock that only the test moves.

After every step: each deletion stands in exactly one index; no final state was overwritten but by a late 200 (or by
somebody who asked again); no job has two live leases.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.support.ledgers import CLOCK, LEASE_MS, POLICY, POLICY_TEXT, PROJECT, Bench
from tests.support.lists import VIEW, World
from tests.support.responses import listing, row
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.connection import connect
from worker.ledger.damage import DamageList, check
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.places import Places
from worker.ledger.project_moves import adopt_users, carry
from worker.ledger.receipts import START, ReceiptEntry, Receipts
from worker.ledger.replays import Replays, ReplayStage, ReplayState
from worker.ledger.types import GateSignal, Lease, Settlement
from worker.lookups.sightings import NEAR_S
from worker.metastudio.response import Listing
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.backoff import Backoff
from worker.rules.classify import Presence
from worker.rules.outcome import OutcomeRules

JOBS = st.sampled_from(["a", "b"])  # few, so that much happens to each
LANES = st.sampled_from(list(Lane))
WORKERS = st.sampled_from(["w1", "w2", "w3"])
RUNS = st.sampled_from([None, "r1", "r2"])
EVERY = ("pending", "running", "held", "gone", "dead", "cancelled", "discarded")
OPEN = ("pending", "running", "held")
USERS = st.sampled_from([None, None, "u1", "u2"])
OVER = ("deleted", "gone", "cancelled", "discarded")
SCHEDULE = Backoff(retry=(1.0, 2.0), not_deletable=(60.0,))
# How a state may change in one step, by what was done; everything else must leave it alone.
BY_PERSON = {
    "request": {("pending", "held")}  # what is on hold, as soon as it is asked for
    | {(was, to) for was in ("dead", "discarded", "cancelled") for to in ("pending", "held")},
    "force": {(was, to) for was in ("deleted", "gone") for to in ("pending", "held")},
    "cancel": {("pending", "cancelled"), ("held", "cancelled"), ("held", "pending")},
    "hold": {("pending", "held")},
    "release": {("held", "pending")},
    "replay": {("dead", "pending")},
    "revert_unstarted": {("pending", "dead"), ("held", "dead")},
    "discard": {("dead", "discarded")},
    "restore": {("discarded", "dead")},
}


@dataclass(frozen=True)
class Held:
    """A lease in somebody's executors, however late."""

    lease: Lease
    ends: float


class Deletions(RuleBasedStateMachine):
    """The world around one ledger."""

    client_of_this_run: redis.Redis

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.client_of_this_run.flushall()
        self.bench = Bench(self.client_of_this_run, replace(POLICY, interval=0.001))  # slots are not the matter here
        self.bench.open()
        self.before: dict[str, str] = {}
        self.allowed: set[tuple[str, str]] = set()
        self.receipts: list[ReceiptEntry] = []
        self.actions = 0  # of operators
        self.stored_replays = Replays(self.bench.ledger)
        self.replays: list[str] = []
        self.frozen = 0  # lists of letters that were ever written down
        self.world = World(takes=0.001)
        self.blind = False  # whether the key sees no job of the project
        self.live: dict[str, Held] = {}  # by job: the lease that nobody settled and that has not run out
        self.claims: dict[str, set[tuple[str | None, str | None]]] = {}  # by job: run and policy of who wants it
        self.withdrawn: set[str] = set()  # jobs whose claims were all withdrawn while a call, or a look, was to come

    # -- what happens --------------------------------------------------------------------------------------------------

    @initialize()
    def something_to_do(self) -> None:
        self.request_now("a", Lane.BULK)
        self.request_now("b", Lane.BULK)

    @rule(job=JOBS, lane=LANES)
    def request_now(self, job: str, lane: Lane) -> None:
        """Often, so that there is something to take."""
        self.request(job, lane, None, 0, True)

    @rule(job=JOBS, lane=LANES, run=RUNS, delay=st.sampled_from([0, 0, 30, 3600]), force=st.booleans())
    def request(self, job: str, lane: Lane, run: str | None, delay: float, force: bool) -> None:
        self.ask(job, lane, run, delay, force, None)

    @rule(job=JOBS, user=USERS)
    def request_for_an_app_user(self, job: str, user: str | None) -> None:
        self.ask(job, Lane.BULK, None, 0, True, user)

    @rule(job=JOBS, run=RUNS, policy=st.sampled_from(["p1", "p2"]), force=st.booleans())
    def sweep(self, job: str, run: str | None, policy: str, force: bool) -> None:
        self.ask(job, Lane.BULK, run, 0, force, None, policy)

    def ask(
        self,
        job: str,
        lane: Lane,
        run: str | None,
        delay: float,
        force: bool,
        user: str | None,
        policy: str | None = None,
    ) -> None:
        before = self.bench.record(job).get("state")
        self.bench.request(job, lane=lane, run=run, by=run, delay_s=delay, force=force, app_user=user, policy=policy)
        self.allowed = BY_PERSON["request"] | (BY_PERSON["force"] if force else set())
        if before in ("deleted", "gone") and not force:
            return
        if before in OVER or job in self.withdrawn:
            self.claims.pop(job, None)
            self.withdrawn.discard(job)
        self.claims.setdefault(job, set()).add((run, policy))

    def who_asks_decides_who_has_to_mean_it(self, lease: Lease) -> None:
        """A policy's word is asked for before each call, as long as nobody else wants the deletion, in every round."""
        policies = {policy for _, policy in self.claims[lease.ref.id]}
        assert set(lease.policies) == (set() if None in policies else policies)
        if lease.policies:
            assert lease.unsent

    @rule(target=leases, worker=WORKERS)
    def take(self, worker: str) -> Any:
        self.bench.pass_time(0.001)
        turn = self.bench.turn(worker=worker, ahead=1)
        self.allowed = {("pending", "running"), ("pending", "dead"), ("pending", "held")}
        self.nothing_on_hold_is_taken(turn.lease)
        self.time_alone_frees_nothing_while_clocks_disagree(turn.lease)
        return multiple(*(self.taken(lease) for lease in (turn.lease, *turn.ahead) if lease))

    def taken(self, lease: Lease) -> Held:
        self.nothing_on_hold_is_taken(lease)
        self.who_asks_decides_who_has_to_mean_it(lease)
        held, job = Held(lease, self.bench.true_now + LEASE_MS), lease.ref.id
        earlier = self.live.get(job)
        assert earlier is None or earlier.ends <= self.bench.true_now, f"two live leases of {job}"
        self.live[job] = held
        return held

    @rule(target=leases, worker=WORKERS)
    def take_after_a_loss(self, worker: str) -> Any:
        """A lease runs out, is rescued, and somebody else takes the job: the old holder may still answer."""
        self.rescue(set(), False, 61.0)
        self.states_change_only_as_they_may()
        return self.take(worker)

    @rule(
        held=leases,
        to=st.sampled_from(["deleted", "gone", "pending", "dead", "cancelled", "held"]),
        unknown=st.booleans(),
        earlier=st.booleans(),
    )
    def response(self, held: Held, to: str, unknown: bool, earlier: bool) -> None:
        """The same lease may answer several times, in time or late: only the first in time, or a 200, counts. earlier:
        by another executor's move."""
        self.settle(held, to, unknown, first=earlier)

    def settle(self, held: Held, to: str, unknown: bool, *, first: bool = False) -> None:
        job, lease = held.lease.ref.id, held.lease
        settlement = Settlement(
            ref=lease.ref,
            token=lease.token,
            to=to,
            called=True,
            used=True,
            ms=5.0,
            attempt={"outcome": to},
            cause="server_error" if to == "dead" else None,
            evidence="after_our_call" if to == "gone" else None,
            fields={"unk": "1"} if unknown else {},
            signal=GateSignal("ok", key="k1", ms=5.0),
        )
        if first:
            (became,) = self.bench.turn(want=False, earlier=[settlement]).earlier
        else:
            became = self.bench.turn(settlement, want=False).settled
        mine = self.live.get(job) == held
        if to == "deleted":
            self.allowed = {(state, "deleted") for state in EVERY}
        elif mine:
            self.allowed = {("running", to), ("running", "cancelled"), ("running", "pending")}
        else:
            self.allowed = set()
            assert became is not None
            assert became.startswith("late") or became == "unknown", f"a late {to} was accepted: {became}"
        if mine:
            del self.live[job]

    @rule(held=leases, there=st.booleans(), blind_after=st.sampled_from([None, None, 0, 1, 2, 3]))
    def look(self, held: Held, there: bool, blind_after: int | None) -> None:
        """An executor looks for the job, as it does; the key may go blind for a while before any of its questions."""
        lease, job = held.lease, held.lease.ref.id
        before = self.bench.record(job)
        world, requests_before = self.world, len(self.world.queries)
        world.now = max(world.now, self.bench.true_now / 1000)

        def shown(*rows: JobRow) -> Listing:
            if blind_after is not None and len(world.queries) - requests_before > blind_after:
                self.blind = True
            return listing() if self.blind else listing(*rows)

        mine = [row(job)] if there else []
        world.job, world.jobs = lambda _: shown(*mine), lambda _: shown(row("bystander"), *mine)
        view = replace(VIEW, project_id=PROJECT)
        looked = world.lookups(view).find(
            job, listed=lease.listed, doubtful=lease.absent_once or lease.empty_lookup_count > 0
        )
        settlement = OutcomeRules(SCHEDULE, "k1", 0.0).after_look(lease, looked)
        self.allowed = set()
        if settlement is None:
            assert there
            return  # the DELETE may go: see `response`
        assert settlement.to != "gone" or not there, "called gone, and still there"
        assert settlement.evidence != "after_our_call" or lease.outcome_unknown
        assert settlement.evidence != "seen_before" or lease.listed
        assert settlement.cause != "not_visible" or lease.empty_lookup_count >= len(SCHEDULE.retry)
        became = self.bench.turn(settlement, want=False).settled
        if self.live.get(job) == held:
            del self.live[job]
            self.allowed = {("running", str(became))}
            if became == "pending" and looked.what is not Presence.UNSEEN and "unseen" in self.bench.record(job):
                assert self.bench.record(job)["unseen"] == ("0" if looked.what is Presence.ABSENT else before["unseen"])
        else:
            assert became is not None
            assert became.startswith("late") or became == "unknown", f"a late look was believed: {became}"

    @rule()
    def the_key_sees_again(self) -> None:
        """It was blind for longer than control questions are near."""
        self.allowed = set()
        if self.blind:
            self.bench.pass_time(NEAR_S + 1)
            self.blind = False

    @rule(held=leases)
    def confirm(self, held: Held) -> None:
        """Right before its call: only the holder of the lease may, and only while nothing speaks against it."""
        lease, users = held.lease, self.bench.ledger.users
        owner = users.hashed("u1" if lease.ref.id == "a" else None) if lease.owner_lookup else None
        go = self.bench.ledger.confirm(lease, key="k1", owner=owner, policy_text=POLICY_TEXT) is not None
        on_hold, record = self.bench.holds.now(), self.bench.record(lease.ref.id)
        unknown = bool(on_hold.users) and "owner" not in record
        assert go == (
            record.get("tok") == lease.token
            and "wish" not in record
            and lease.ref not in on_hold.refs
            and not unknown
            and record.get("owner") not in on_hold.users
            and float(record["dl"]) > self.bench.ledger.now_ms()
        )
        assert not go or "unsent" not in self.bench.record(lease.ref.id)
        self.allowed = set()

    def only_looked_at(self, *jobs: str) -> set[str]:
        """Jobs that an executor has, and no call has left."""
        return {job for job in jobs if "unsent" in self.bench.record(job)}

    def taken_back(self, jobs: set[str], to: str) -> set[tuple[str, str]]:
        """Their leases may have been taken away."""
        for job in jobs:
            if self.bench.state(job) != "running":
                del self.live[job]
        return {("running", to)} if jobs else set()

    @rule(held=consumes(leases))
    def crash(self, held: Held) -> None:
        """An executor dies without a word."""
        self.allowed = set()

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0, 61.0, 4000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.allowed = set()
        self.bench.pass_time(seconds)

    @rule(seconds=st.sampled_from([-8_640_000.0, -3600.0, -90.0, 90.0, 3600.0, 8_640_000.0]), looked=st.booleans())
    def redis_s_clock_jumps(self, seconds: float, looked: bool) -> None:
        """Alone, or back to where it was; a worker may have looked just before."""
        self.allowed = set()
        if looked:
            self.bench.ledger.look_at_clocks()
        self.bench.jump(-self.bench.apart_s if self.bench.apart_s else seconds)

    @rule()
    def look_at_clocks(self) -> None:
        self.allowed = set()
        self.bench.ledger.look_at_clocks()

    @rule(alive=st.sets(WORKERS), counts=st.booleans(), seconds=st.sampled_from([0.0, 61.0]))
    def rescue(self, alive: set[str], counts: bool, seconds: float) -> None:
        self.bench.pass_time(seconds)
        rescued, _ = self.bench.ledger.rescue(alive=sorted(alive), counts=counts)
        self.allowed = set() if self.bench.apart_s else {("running", "pending"), ("running", "dead")}
        for ref, _state in rescued:
            held = self.live.pop(ref.id, None)
            assert held is None or held.ends <= self.bench.true_now, "a live lease was taken away"

    @rule(job=JOBS, run=RUNS)
    def cancel(self, job: str, run: str | None) -> None:
        self.actions += 1
        only_looked_at = self.only_looked_at(job)
        ((_, result),) = self.bench.ledger.cancel([Target(PROJECT, job)], why="T-1", run=run)
        self.allowed = BY_PERSON["cancel"] | self.taken_back(only_looked_at, "cancelled")
        assert result != "in_flight" or not only_looked_at
        if result == "claim_removed":
            self.claims[job] = {claim for claim in self.claims[job] if claim[0] != run}
        elif result in ("in_flight", "may_be_deleted"):
            self.withdrawn.add(job)

    @rule(job=JOBS)
    def replay(self, job: str) -> None:
        self.actions += 1
        self.bench.ledger.replay([Target(PROJECT, job)], why="T-1", deadline_s=86400)
        self.allowed = BY_PERSON["replay"]

    @rule(dies=st.booleans(), fed=st.booleans())
    def replay_all_as_a_job(self, dies: bool, fed: bool) -> None:
        """What is dead, and what dies just now so that there is something."""
        held = self.take("w1") if dies else None
        self.states_change_only_as_they_may()
        if isinstance(held, Held):
            self.settle(held, "dead", False)
            self.states_change_only_as_they_may()
        dead = [Target.parse(ref) for ref, where in self.bench.indexes().items() if where == ["dead"]]
        self.allowed = set()
        if not dead:
            return
        self.replays.append(f"replay-{self.frozen}")
        self.frozen += 1
        self.stored_replays.snapshot(self.replays[-1], dead)
        terms: dict[str, Any] = {"why": "T-1", "by": None, "what": "all", "groups": {}, "deadline_s": 86400}
        assert self.stored_replays.start(
            self.stored_replays.terms(self.replays[-1], mark=self.stored_replays.mark(), **terms)
        )
        self.actions += 1
        if fed:
            self.drive_a_replay(0, False)

    @rule(number=st.integers(0, 3), stale=st.booleans())
    def drive_a_replay(self, number: int, stale: bool) -> None:
        """Twice with the same look at it: the second driver must do nothing."""
        self.allowed = BY_PERSON["replay"]
        progress = self.stored_replays.find(self.replays[-1 - number]) if number < len(self.replays) else None
        if progress is None or progress.state is not ReplayState.RUNNING:
            return
        self.stored_replays.requeue_batch(progress, 1, ReplayStage.REST)
        if stale and progress.left:
            moved = self.stored_replays.requeue_batch(progress, 1, ReplayStage.REST)
            assert not moved, "fed twice"

    @rule(number=st.sampled_from([0, 0, 0, 1]))
    def cancel_a_replay(self, number: int) -> None:
        only_looked_at = self.only_looked_at("a", "b")
        called = {job for job in ("a", "b") if self.bench.record(job).get("cl")}
        before = {job: self.bench.record(job).get("state") for job in called}
        if number < len(self.replays):
            was = self.stored_replays.cancel(self.replays[-1 - number], why="T-1", by="ops")
            self.actions += was == ReplayState.RUNNING
            self.stored_replays.revert_unstarted(self.replays[-1 - number])
        self.allowed = BY_PERSON["revert_unstarted"] | self.taken_back(only_looked_at, "dead")
        assert before == {job: self.bench.record(job)["state"] for job in called}, "what was called goes its way"

    @rule(job=JOBS)
    def discard(self, job: str) -> None:
        self.actions += 1
        self.bench.ledger.discard([Target(PROJECT, job)], why="T-1")
        self.allowed = BY_PERSON["discard"]

    @rule(job=JOBS)
    def restore(self, job: str) -> None:
        self.actions += 1
        self.bench.ledger.restore([Target(PROJECT, job)], why="T-1")
        self.allowed = BY_PERSON["restore"]

    @rule()
    def pause_and_resume(self) -> None:
        self.actions += 2
        self.bench.ledger.pause(why="T-1")
        assert self.bench.turn().lease is None
        self.bench.ledger.resume(why="T-9")
        self.bench.open()
        self.allowed = {("pending", "dead")}

    @rule(job=JOBS, hours=st.sampled_from([None, 1.0]))
    def hold(self, job: str, hours: float | None) -> None:
        until = None if hours is None else self.bench.true_now + hours * 3_600_000
        self.actions += 1
        only_looked_at = self.only_looked_at(job)
        ((_, result),) = self.bench.holds.add([Target(PROJECT, job)], why="T-2", by="ops", until_ms=until)
        self.allowed = BY_PERSON["hold"] | self.taken_back(only_looked_at, "held")
        assert result != "in_flight" or not only_looked_at

    @rule(user=st.sampled_from(["u1", "u2"]))
    def hold_an_app_user(self, user: str) -> None:
        self.actions += 1
        self.bench.holds.add_user(user, why="T-2", by="ops")
        self.allowed = set()

    @rule(job=JOBS)
    def remove_a_hold(self, job: str) -> None:
        self.actions += 1
        self.bench.holds.remove([Target(PROJECT, job)])
        self.allowed = BY_PERSON["release"]

    @rule(user=st.sampled_from(["u1", "u2"]))
    def remove_an_app_users_hold(self, user: str) -> None:
        self.actions += 1
        self.bench.holds.remove_user(user)
        HoldList(self.account("b")).remove_user(user)  # as the command does: in every account that was ever used
        self.allowed = BY_PERSON["release"]

    @rule()
    def holds_end(self) -> None:
        self.bench.holds.release_in_time()
        self.allowed = set() if self.bench.apart_s else BY_PERSON["release"]

    @rule(dies=st.booleans())
    def its_project_moves_away_and_back(self, dies: bool) -> None:
        """Under another account and home again nothing may have changed. A move that dies half way is begun anew."""
        self.allowed = set()
        if any(where == ["running"] for where in self.bench.indexes().values()):
            return  # a call under way is waited for
        held = self.bench.holds.now()
        for to in ("b", "default"):
            places = Places(self.bench.client, lambda _, to=to: to, self.account)  # type: ignore[misc]
            if places.home(PROJECT) is None:
                places = Places(self.bench.client, lambda _: "default", self.account)
                places.claim(PROJECT, "default")
            source, target = self.account(places.begin_move(PROJECT, to)), self.account(to)
            moved = bool(list(places.members(source.account, PROJECT)))
            action = AuditAction().named(ActionName.MOVED, by="ops", why="T-1")
            for _ in carry(source, target, PROJECT, places.members(source.account, PROJECT), action):
                if dies:
                    break
            adopt_users(source, target, PROJECT)
            for _ in carry(source, target, PROJECT, places.members(source.account, PROJECT), action):
                pass
            assert places.end_move(PROJECT, source.account, to, self.bench.now)
            self.actions += moved  # nothing that moves leaves no entry
        assert self.bench.holds.now() == held

    def account(self, name: str) -> Ledger:
        if name == "default":
            return self.bench.ledger
        return Ledger(self.bench.client, name, POLICY, clock=CLOCK, clocks=self.bench.clocks)

    @rule(job=JOBS, how=st.sampled_from(["record", "state", "deadline", "wish", "index", "score"]))
    def spoil(self, job: str, how: str) -> None:
        """Somebody else's executors: what makes no sense any more leaves the ledger, and nothing else notices."""
        ref, before = f"{PROJECT}/{job}", self.bench.record(job)
        if not before:
            return
        client, p = self.bench.client, self.bench.p
        index = f"due:{before['lane']}" if before["state"] == "pending" else before["state"]
        match how:
            case "record":
                client.delete(f"{p}d:{ref}")
                self.replays = []  # which of them fed it is lost with it
            case "index":
                client.zrem(p + index, ref)
            case "score":
                client.zadd(p + index, {ref: "inf"})  # type: ignore[dict-item]
            case field:
                client.hset(f"{p}d:{ref}", {"deadline": "dl"}.get(field, field), "spoilt")
        check(self.bench.ledger, [Target(PROJECT, job)], keys=True)
        self.allowed = set()
        if not self.bench.record(job):
            assert DamageList(client, "default").of(Target(PROJECT, job))
            for known in (self.live, self.claims):
                known.pop(job, None)
            self.before.pop(ref, None)
            self.withdrawn.discard(job)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def check_invariants(self, *args: Any, **more: Any) -> None:
        with self.bench.still():
            super().check_invariants(*args, **more)

    @invariant()
    def each_deletion_is_in_exactly_one_index(self) -> None:
        self.bench.check_invariant()

    @invariant()
    def states_change_only_as_they_may(self) -> None:
        after = {ref: self.bench.state(Target.parse(ref).id) for ref in self.bench.indexes()}
        for ref, was in self.before.items():
            now = after.get(ref)
            assert now is not None, f"{ref} was lost"
            assert now == was or (was, now) in self.allowed, f"{ref}: {was} became {now}"
        self.each_end_left_one_receipt(after)
        self.before = after

    def each_end_left_one_receipt(self, after: dict[str, str]) -> None:
        """For what is over now and was not before this step; and one for what was taken back or released."""
        new = list(Receipts(self.bench.client, "default").each(self.receipts[-1].id if self.receipts else START))
        self.receipts += new
        assert [entry.n for entry in self.receipts] == list(range(1, len(self.receipts) + 1))
        ended = {ref: now for ref, now in after.items() if now in OVER and now != self.before.get(ref)}
        assert sorted((str(entry.ref), entry.fields["s"]) for entry in new if entry.is_end) == sorted(ended.items())
        restored = {ref for ref, now in after.items() if (self.before.get(ref), now) == ("discarded", "dead")}
        assert {str(entry.ref) for entry in new if entry.fields["ev"] == "restored"} == restored
        for entry in new:
            if entry.fields["ev"] in ("released", "hold_ended"):
                assert (self.before[str(entry.ref)], after[str(entry.ref)]) == ("held", "pending")

    def teardown(self) -> None:
        """No receipt that was there has changed or gone."""
        entries = list(Receipts(self.bench.client, "default").each())
        assert entries[: len(self.receipts)] == self.receipts

    @invariant()
    def a_replay_counts_what_became_of_its_letters(self) -> None:
        for replay in self.replays:
            progress = self.stored_replays.find(replay)
            assert progress is not None
            mine = [self.bench.record(job) for job in ("a", "b")]
            states = [record["state"] for record in mine if record.get("rp") == replay]
            assert progress.open == sum(state in OPEN for state in states)
            assert progress.held == states.count("held")
            ended = progress.deleted + progress.gone + progress.dead + progress.cancelled
            assert progress.fed == progress.open + ended + progress.back + progress.damaged
            waits = sum("back" in record for record in mine if record.get("rp") == replay)
            assert progress.fed == progress.ok + progress.failed + progress.aside + progress.back + waits
            assert progress.cursor == progress.fed + progress.moved + progress.newer + progress.on_hold
            assert (progress.state is ReplayState.DONE) <= (progress.open == 0)
            assert (progress.state is ReplayState.RUNNING) <= (progress.open > 0 or progress.left > 0)

    def nothing_on_hold_is_taken(self, lease: Lease | None) -> None:
        """But to look at what was withdrawn, or to find out whose it is."""
        if lease is None or lease.cancel_requested:
            return
        on_hold = self.bench.holds.now()
        assert lease.ref not in on_hold.refs, f"{lease.ref} is on hold"
        record = self.bench.record(lease.ref.id)
        whose = record.get("owner") or record.get("au")
        assert whose not in on_hold.users, f"{lease.ref} belongs to an app user that is on hold"
        assert lease.owner_lookup == bool(on_hold.users and "owner" not in record)

    def time_alone_frees_nothing_while_clocks_disagree(self, lease: Lease | None) -> None:
        """No deletion dies of its deadline and none leaves its grace; and never is one sent before it is due."""
        if lease is not None:
            assert lease.deadline_left_s > 0
            assert float(self.bench.record(lease.ref.id)["was"]) <= self.bench.true_now + 1, "taken before it was due"
        if self.bench.apart_s:
            self.allowed -= {("pending", "dead")}
            assert lease is None or self.bench.record(lease.ref.id).get("wait") != "grace"

    @invariant()
    def what_is_held_is_held_by_something(self) -> None:
        """Nothing is forgotten: where no hold is left, at most a look that is due later keeps it."""
        if self.bench.view.exists(f"{self.bench.p}holds:jobs") or self.bench.view.exists(f"{self.bench.p}holds:users"):
            return
        held = {ref for ref, where in self.bench.indexes().items() if where == ["held"]}
        unknown: Any = self.bench.view.zrange(self.bench.p + "holds:unknown", 0, -1)
        assert held <= {ref.decode() for ref in unknown}

    @invariant()
    def every_act_of_an_operator_has_its_entry(self) -> None:
        assert self.bench.view.zcard(self.bench.p + "audit") == self.actions

    @invariant()
    def a_running_deletion_has_its_lease(self) -> None:
        for ref, where in self.bench.indexes().items():
            job = Target.parse(ref).id
            if where == ["running"]:
                assert self.bench.record(job)["tok"] == self.live[job].lease.token


SCHEDULES = int(os.environ.get("SCHEDULES", "300"))  # of fifty steps; 10,000 take about half an hour
PARTS = 6  # for as many processes


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_interleaving_loses_doubles_or_overwrites(part: int, redis_url: str) -> None:
    class Run(Deletions):
        client_of_this_run = connect(redis_url)

    run_schedules(Run, part)


def run_schedules(machine: type[RuleBasedStateMachine], part: int, *, share: int = 1) -> None:
    """The schedules of one part, or a share of them; they are the same each time."""
    steps = settings(stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(
        seed(part)(machine), settings=settings(steps, max_examples=max(1, SCHEDULES // PARTS // share))
    )
