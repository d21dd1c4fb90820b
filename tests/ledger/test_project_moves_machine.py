"""Random schedules of a project that moves between two accounts, and of processes whose settings disagree about it.

Nothing that was accepted is lost or in two accounts once the move is over; no job has two live leases, nothing is taken
while it is carried, and what is on hold is on hold in either account. What deleted jobs left behind is known in one
account, is looked at there, and is counted and named there and nowhere else.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.ledger.test_machine import PARTS, Held, run_schedules
from tests.ledger.test_places import P, Process, standing
from tests.support.ledgers import LEASE_MS, POLICY, Bench
from worker.ledger.connection import connect
from worker.ledger.erasures import ErasureStep, LeasedErasure
from worker.ledger.holds import HoldList
from worker.ledger.project_moves import adopt_users, carry
from worker.ledger.types import DeletionRequest, GateSignal, Lease, Settlement
from worker.model.erasure import LEFT, Verdict
from worker.model.errors import ProjectElsewhere
from worker.model.states import Lane
from worker.model.target import Target

JOBS = st.sampled_from(["1", "2", "3"])
ACCOUNTS = st.sampled_from(["a", "b"])
SHARERS = ("1", "3")  # of one asset
ACT = {"act": "project.moved", "id": "m1"}


class Moves(RuleBasedStateMachine):
    """Process `a` has settings that give the project to account a, process `b` to b; both serve both accounts."""

    client_of_this_run: redis.Redis
    leases = Bundle("leases")
    looks = Bundle("looks")

    def __init__(self) -> None:
        super().__init__()
        self.client = self.client_of_this_run
        self.client.flushall()
        self.benches = {name: Bench(self.client, replace(POLICY, interval=0.001), account=name) for name in ("a", "b")}
        self.processes = {name: Process(self.client, p=name) for name in ("a", "b")}
        for one in self.benches.values():
            one.open()
        self.accepted: set[str] = set()
        self.on_hold: set[str] = set()
        self.live: dict[str, Held] = {}

    @property
    def now(self) -> float:
        return self.benches["a"].now

    @property
    def moving(self) -> bool:
        home = self.processes["a"].places.home(P)
        return home is not None and home.to is not None

    # -- what happens --------------------------------------------------------------------------------------------------

    @initialize()
    def something_lies_in_a(self) -> None:
        """One waits, one left something behind, and what another one left is still looked at."""
        for job, verdict in (("3", Verdict.PARTIAL), ("1", Verdict.PENDING)):
            self.request("a", job, False)
            account, held = self.take("a")
            self.response((account, held), "deleted")
            self.time_goes_by(61.0)
            for one in self.processes["a"].ledger("a").lease_erasures()[0]:
                self.looked(("a", one), verdict)
        self.request("a", "2", False)

    @rule(by=ACCOUNTS, job=JOBS, urgent=st.booleans())
    def request(self, by: str, job: str, urgent: bool) -> None:
        claim = DeletionRequest(lane=Lane.USER if urgent else Lane.BULK, force=True)
        begun = True
        try:
            self.processes[by].ledger(by).request([Target(P, job)], claim)
        except ProjectElsewhere:
            begun = False
        home = self.processes[by].places.home(P)
        assert home is not None
        assert begun == (home.to is None and home.account == by), "only at its home, and not while it is carried"
        if begun:
            self.accepted.add(job)

    @rule(target=leases, account=ACCOUNTS)
    def take(self, account: str) -> Any:
        self.benches["a"].pass_time(0.001)
        ledger = self.processes[account].ledger(account)
        ledger.strays = {P} if P in self.processes[account].places.strays() else set()
        lease = ledger.take(worker="w1", key="k1").lease
        if lease is None:
            return multiple()
        assert not self.moving, "taken while it is carried"
        assert lease.ref.id not in self.on_hold, "taken although it is on hold"
        earlier = self.live.get(lease.ref.id)
        assert earlier is None or earlier.ends <= self.now, "two live leases"
        held = Held(lease, self.now + LEASE_MS)
        self.live[lease.ref.id] = held
        return account, held

    @rule(whose=consumes(leases), to=st.sampled_from(["deleted", "gone", "pending", "dead"]))
    def response(self, whose: tuple[str, Held], to: str) -> None:
        """In the account where it was taken, in time or late, wherever the record is by now."""
        account, held = whose
        if to in ("deleted", "gone") and not self.confirmed(account, held.lease):
            return  # its lease runs out
        settlement = Settlement(
            ref=held.lease.ref,
            token=held.lease.token,
            to=to,
            called=True,
            used=True,
            ms=5.0,
            attempt={"outcome": to},
            cause="server_error" if to == "dead" else None,
            evidence="after_our_call" if to == "gone" else None,
            erasure={"related": "verify", "first_look_ms": 60_000},
            signal=GateSignal("ok", key="k1", ms=5.0),
        )
        self.processes[account].ledger(account).take(worker="w1", key="k1", settlement=settlement, want=False)
        if self.live.get(held.lease.ref.id) == held:
            del self.live[held.lease.ref.id]

    def confirmed(self, account: str, lease: Lease) -> bool:
        """Whether the DELETE may leave; then it is written down what belongs to the job."""
        ids = [f"asset-{lease.ref.id}", *(["asset-shared"] if lease.ref.id in SHARERS else [])]
        parts = [{"part": "model_asset", "id": id, "project_id": P, "named_by": "job"} for id in ids]
        inventory = {"related": "verify", "state": "done", "parts": json.dumps(parts), "ids": ids}
        return bool(self.processes[account].ledger(account).confirm(lease, key="k1", inventory=inventory))

    @rule(target=looks, account=ACCOUNTS)
    def look(self, account: str) -> Any:
        ledger = self.processes[account].ledger(account)
        leased, _ = ledger.lease_erasures()
        assert not (leased and self.moving), "looked at while it is carried"
        return multiple(*((account, one) for one in leased))

    @rule(whose=consumes(looks), verdict=st.sampled_from([*LEFT, Verdict.PENDING, Verdict.WHOLE_BY_ACKNOWLEDGEMENT]))
    def looked(self, whose: tuple[str, LeasedErasure], verdict: Verdict) -> None:
        """In time or late, wherever the erasure is by now."""
        account, one = whose
        known = self.client.exists(f"eraser:{{{account}}}:erasure:{one.record.job}")
        job, looks = one.record.job, one.record.looks + 1
        after = int(self.now) + 60_000 if verdict is Verdict.PENDING else None
        step = ErasureStep(job, one.record.leases, one.record.parts, looks, verdict, after, verdict in LEFT)
        (result,) = self.processes[account].ledger(account).record_looks([step])
        assert known or result == "stale", "what is not here was written down here"

    @rule(seconds=st.sampled_from([1.0, 61.0, 4000.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.benches["a"].pass_time(seconds)

    @rule(account=ACCOUNTS)
    def rescue(self, account: str) -> None:
        self.processes[account].ledger(account).rescue(alive=[], counts=False)

    @rule(by=ACCOUNTS, job=JOBS)
    def hold(self, by: str, job: str) -> None:
        try:
            HoldList(self.processes[by].ledger(by)).add([Target(P, job)], why="T-1", by="ops-1")
        except ProjectElsewhere:
            return
        self.on_hold.add(job)

    @rule(by=ACCOUNTS, job=JOBS)
    def let_go(self, by: str, job: str) -> None:
        try:
            HoldList(self.processes[by].ledger(by)).remove([Target(P, job)])
        except ProjectElsewhere:
            return
        home = self.processes[by].places.home(P)
        if home is not None and home.account == by:
            self.on_hold.discard(job)

    @rule(by=ACCOUNTS, job=JOBS, action=st.sampled_from(["cancel", "replay", "discard"]))
    def action(self, by: str, job: str, action: str) -> None:
        ledger, refs = self.processes[by].ledger(by), [Target(P, job)]
        try:
            match action:
                case "cancel":
                    ledger.cancel(refs, why="T-1")
                case "replay":
                    ledger.replay(refs, why="T-1", deadline_s=86400)
                case "discard":
                    ledger.discard(refs, why="T-1")
        except ProjectElsewhere:
            assert self.moving or standing(self.client, by).keys().isdisjoint({f"{P}/{job}"})

    # -- the move, bit by bit ------------------------------------------------------------------------------------------

    @rule(to=ACCOUNTS)
    def begin_move(self, to: str) -> None:
        try:
            self.processes[to].places.begin_move(P, to)
        except ProjectElsewhere:
            return

    @rule(most=st.integers(1, 3), dies=st.booleans())
    def carry_some(self, most: int, dies: bool) -> None:
        """dies: after it was delivered, and before it left."""
        home = self.processes["a"].places.home(P)
        if home is None or home.to is None:
            return
        process = self.processes[home.to]
        source, target = process.ledger(home.account), process.ledger(home.to)
        adopt_users(source, target, P)
        refs = list(process.places.members(home.account, P))[:most]
        if dies:
            target = process.ledger(home.to)
            carrying = carry(_Mute(source), target, P, refs, ACT)  # type: ignore[arg-type]
        else:
            carrying = carry(source, target, P, refs, ACT)
        for _ in carrying:
            pass

    @rule()
    def end_move(self) -> None:
        home = self.processes["a"].places.home(P)
        if home is not None and home.to is not None:
            self.processes[home.to].places.end_move(P, home.account, home.to, self.now)

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_nothing_is_in_two_accounts(self) -> None:
        where = {name: standing(self.client, name) for name in ("a", "b")}
        for job in self.accepted:
            places = [name for name, refs in where.items() if f"{P}/{job}" in refs]
            assert places, f"{job} was lost"
            assert len(places) == 1 or self.moving, f"{job} is in {places}"

    @invariant()
    def each_account_is_whole(self) -> None:
        if not self.moving:
            for one in self.benches.values():
                one.check_invariant()

    def erasures(self, account: str) -> dict[str, dict[str, str]]:
        prefix, found = f"eraser:{{{account}}}:erasure:", {}
        for key in self.client.scan_iter(f"{prefix}*"):
            raw: Any = self.client.hgetall(key)
            found[key.decode().removeprefix(prefix)] = {name.decode(): value.decode() for name, value in raw.items()}
        return found

    @invariant()
    def what_jobs_left_behind_is_known_in_one_account_and_looked_at_there(self) -> None:
        every = {name: self.erasures(name) for name in self.benches}
        for ref in set(every["a"]) & set(every["b"]):
            assert self.moving, f"{ref} has an erasure in either account"
        for name, here in every.items():
            names = (f"eraser:{{{name}}}:{key}" for key in ("erasures", "left"))
            to_look, left = ({ref.decode() for ref in self.client.zrange(key, 0, -1)} for key in names)  # type: ignore[union-attr]
            assert to_look == {ref for ref, fields in here.items() if "opened" in fields and "closed" not in fields}
            assert left == {ref for ref, fields in here.items() if fields.get("verdict") in LEFT}

    @invariant()
    def verdicts_and_names_are_counted_where_the_erasures_are(self) -> None:
        for name in self.benches:
            here = self.erasures(name)
            raw: Any = self.client.hgetall(f"eraser:{{{name}}}:verdicts")
            counted = {word.decode(): int(many) for word, many in raw.items() if int(many)}
            assert counted == Counter(fields["verdict"] for fields in here.values() if "verdict" in fields)
            named: Any = self.client.hgetall(f"eraser:{{{name}}}:assets")
            parts = [
                (part["id"], ref) for ref, fields in here.items() for part in json.loads(fields.get("parts", "[]"))
            ]
            many = Counter(id for id, _ in parts)
            assert {id.decode() for id in named} == set(many)
            for id, ref in parts:
                one_of = {f"* {many[id]}"} | ({ref} if many[id] == 1 else set())
                assert named[id.encode()].decode() in one_of, f"{id} is named by {many[id]}"

    @invariant()
    def what_is_on_hold_is_so_at_its_home(self) -> None:
        home = self.processes["a"].places.home(P)
        if home is not None and not self.moving:
            listed = {hold.ref.id for hold in HoldList(self.benches[home.account].ledger).each() if hold.ref}
            assert self.on_hold <= listed, f"forgotten holds: {self.on_hold - listed}"


class _Mute:
    """A source whose process dies before anything leaves it."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def run_script(self, name: str, *args: Any) -> dict[str, Any]:
        return {"gone": 0} if name == "depart" else dict(self._ledger.run_script(name, *args))


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_project_that_moves_loses_nothing_whoever_asks_where(part: int, redis_url: str) -> None:
    class Run(Moves):
        client_of_this_run = connect(redis_url)

    run_schedules(Run, part, share=6)
