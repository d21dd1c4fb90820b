"""Leases that a take brings for other executors, and their settlements that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from tests.support.ledgers import POLICY, PROJECT, Bench
from worker.ledger.receipts import Receipts
from worker.ledger.types import DeletionRequest, GateSignal, KindPace, Lease, TakeResult
from worker.model.states import Lane
from worker.model.target import Target

PACE = replace(POLICY, interval=1.0)  # five slots in the 5 ms that an executor comes early
JOBS = [f"j{n:02d}" for n in range(12)]


@pytest.fixture
def bench(client: redis.Redis) -> Iterator[Bench]:
    bench = Bench(client, PACE)
    bench.open()
    yield bench
    bench.check_invariant()


def names(leases: tuple[Lease, ...]) -> list[str]:
    return [lease.ref.id for lease in leases]


def test_a_take_brings_the_next_leases_each_with_a_slot_and_a_number_of_its_own(bench: Bench) -> None:
    bench.request(*JOBS)
    turn = bench.turn(ahead=3)
    assert turn.lease is not None
    leases = (turn.lease, *turn.ahead)
    assert names(leases) == JOBS[:4]
    assert [lease.call_seq for lease in leases] == [1, 2, 3, 4]
    assert [lease.ahead_s for lease in leases] == pytest.approx([n * 0.001 / 0.985 for n in range(4)], abs=1e-6)
    assert [bench.state(job) for job in JOBS[:5]] == ["running"] * 4 + ["pending"]


def test_none_is_brought_whose_slot_is_more_than_a_moment_away(bench: Bench) -> None:
    bench.request(*JOBS)
    bench.client.hset(bench.p + "gate", "call_ms", "50")  # so that more than a few may be under way
    turn = bench.turn(ahead=11)
    assert names(turn.ahead) == JOBS[1:10]
    assert bench.turn(ahead=11).lease is None, "no slot is free twice"


def settles(bench: Bench, **more: object) -> TakeResult:
    """The turn that settles a call of 50 ms."""
    lease = bench.take()
    bench.pass_time(lease.ahead_s + 0.05)
    done = bench.settlement(lease, call_seq=lease.call_seq, departed_ms=lease.ahead_s * 1000)
    return bench.turn(done, ahead=3, **more)


def test_at_ten_a_second_a_turn_brings_the_next_call_and_no_more(client: redis.Redis) -> None:
    bench = Bench(client)
    bench.open()
    bench.request(*JOBS)
    turn = settles(bench)
    assert turn.lease is not None
    assert turn.lease.ahead_s == pytest.approx(0.0515, abs=0.001)
    assert turn.ahead == ()


def people_ask(bench: Bench) -> None:
    bench.client.hset(bench.p + "gate", "person_at", str(bench.now))


def an_asset_waits(bench: Bench) -> None:
    bench.ledger.request([Target(PROJECT, "a", "asset")], DeletionRequest(delay_s=1.0))


@pytest.mark.parametrize("wait", [people_ask, an_asset_waits])
def test_none_is_brought_so_far_ahead_where_others_would_wait_for_it(
    client: redis.Redis, wait: Callable[[Bench], None]
) -> None:
    bench = Bench(client, replace(POLICY, kinds=(KindPace("asset", "assets", 200.0, "assets", 200.0),)))
    bench.open()
    bench.request(*JOBS)
    wait(bench)
    turn = settles(bench)
    assert (turn.lease, turn.ahead) == (None, ())
    assert turn.wait_s is not None


def test_whoever_wants_one_lease_gets_one(bench: Bench) -> None:
    bench.request(*JOBS)
    assert bench.turn().ahead == ()


def test_a_person_s_deletion_is_brought_for_nobody_else(bench: Bench) -> None:
    bench.request("one-person", "the-other", lane=Lane.USER)
    bench.request(*JOBS)
    turn = bench.turn(ahead=3)
    assert turn.lease is not None
    assert turn.lease.ref.id == "one-person"
    assert turn.ahead == (), "the other person's is next, and whoever takes it calls at once"
    bench.pass_time(0.01)
    assert bench.take().ref.id == "the-other"


def of_a_policy(bench: Bench) -> None:
    bench.request("j01", policy="p1")


def withdrawn_after_a_call(bench: Bench) -> None:
    bench.request("j01")
    bench.settle(bench.take(), "pending", fields={"unk": "1"})
    bench.ledger.cancel([Target(PROJECT, "j01")], why="T")
    bench.pass_time(1.0)


@pytest.mark.parametrize("make", [of_a_policy, withdrawn_after_a_call])
def test_what_is_asked_first_is_brought_for_nobody_else(bench: Bench, make: Callable[[Bench], None]) -> None:
    make(bench)
    bench.request("j00")
    bench.client.zadd(bench.p + "due:bulk", {f"{PROJECT}/j00": 1.0})
    bench.request("j02")
    turn = bench.turn(ahead=3)
    assert turn.lease is not None
    assert turn.lease.ref.id == "j00"
    assert turn.ahead == ()
    assert bench.state("j01") == "pending"


def test_what_is_on_hold_is_passed_over(bench: Bench) -> None:
    bench.request(*JOBS[:4])
    bench.holds.add([Target(PROJECT, "j01")], why="T", by="ops")
    assert names(bench.turn(ahead=3).ahead) == ["j02", "j03"]
    assert bench.state("j01") == "held"


@pytest.mark.parametrize(
    "signal", [GateSignal("fail", key="k1", ms=5, why="500"), GateSignal("throttled", key="k1", ms=5)]
)
def test_none_is_brought_while_calls_fail(bench: Bench, signal: GateSignal) -> None:
    bench.request(*JOBS)
    lease = bench.take()
    bench.settle(lease, "pending", delay_s=60, signal=signal)
    bench.pass_time(0.1)
    turn = bench.turn(ahead=3)
    assert turn.lease is not None
    assert turn.ahead == ()


def test_no_more_are_brought_than_may_be_under_way(client: redis.Redis) -> None:
    bench = Bench(client, replace(PACE, max_calls=3))
    bench.open()
    bench.request(*JOBS)
    assert names(bench.turn(ahead=7).ahead) == ["j01", "j02"]


def test_settlements_of_others_go_first_and_each_is_answered(bench: Bench) -> None:
    bench.request(*JOBS)
    turn = bench.turn(ahead=3)
    assert turn.lease is not None
    first, second, third = (bench.settlement(lease) for lease in turn.ahead)
    late = replace(third, token="of-an-earlier-lease", to="pending")
    bench.pass_time(0.05)
    own = bench.settlement(turn.lease, call_seq=turn.lease.call_seq, departed_ms=1.0)
    after = bench.turn(own, earlier=[first, second, late], ahead=1)
    assert after.earlier == ("deleted", "deleted", "late running")
    assert after.settled == "deleted"
    assert names((after.lease, *after.ahead)) == ["j04", "j05"]  # type: ignore[arg-type]
    assert [bench.state(job) for job in JOBS[:4]] == ["deleted"] * 3 + ["running"]
    receipts = Receipts(bench.client, "default").each()
    assert [entry.fields["ref"] for entry in receipts] == [f"{PROJECT}/{job}" for job in ("j01", "j02", "j00")]


def test_what_is_given_back_keeps_its_place_and_frees_its_call(bench: Bench) -> None:
    bench.request(*JOBS)
    turn = bench.turn(ahead=1)
    (lease,) = turn.ahead
    unsent = replace(bench.settlement(lease), to="pending", called=False, used=False, attempt=None, signal=None)
    assert bench.turn(want=False, earlier=[unsent]).earlier == ("pending",)
    record = bench.record("j01")
    assert (record["state"], record.get("n")) == ("pending", None)
    bench.pass_time(0.1)
    assert bench.take().ref.id == "j01"
