"""The gate: at the limit, never over it, never blind."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ledgers import POLICY, PROJECT, START_MS, Bench
from worker.ledger import leases
from worker.ledger.connection import connect
from worker.ledger.queries import Queries
from worker.ledger.records import Gate
from worker.ledger.types import DeletionRequest, GatePolicy, GateSignal, KindPace, Lease, Settlement, TakeResult, Tried
from worker.model.states import Lane
from worker.model.target import Target


@pytest.fixture
def bench(client: redis.Redis) -> Iterator[Bench]:
    bench = Bench(client)
    yield bench
    bench.check_invariant()


def gate(bench: Bench, *projects: str) -> Gate:
    """The gate as people see it, by the bench's clock. projects: the account's own."""
    model = Queries(bench.client, "default", rate=10.0, projects=projects)
    model.now_ms = lambda: bench.now  # type: ignore[method-assign]
    return model.gate()


def gate_state(bench: Bench) -> str:
    return gate(bench).gate


def pass_until_tried(bench: Bench) -> None:
    """Let time pass until what is closed may be tried again."""
    until = gate(bench).until
    assert until is not None
    bench.set_clock(until)


def tell(bench: Bench, turn: TakeResult, kind: str, **more: Any) -> TakeResult:
    """A trial's list was answered so; the turn after it. `want`: not to take anything."""
    assert turn.trial is not None, f"nobody asks for a list: {turn}"
    want = more.pop("want", True)
    signal = GateSignal(kind, key="k1", **{"why": "T"} | more)
    return bench.turn(tried=Tried(turn.trial.name, turn.trial.project_id or "-", signal), want=want)


def fail(bench: Bench, lease: Lease) -> None:
    signal = GateSignal("fail", key="k1", ms=50, probe=lease.probe, why="500 MSS.00000004")
    bench.settle(lease, "pending", delay_s=10, wait="retry", status=500, signal=signal)


def forbid(bench: Bench, lease: Lease, to: str = "pending", **more: Any) -> str | None:
    """Its DELETE is forbidden, while the list is answered."""
    signal = GateSignal("forbidden", key="k1", ms=50, probe=lease.probe, why="403 APIGW.0302")
    more = {"delay_s": 10, "wait": "retry", "status": 403, "signal": signal, "fields": {"refused": "1"}} | more
    return bench.settle(lease, to, **more)


def refuse_project(bench: Bench, lease: Lease) -> None:
    """Its DELETE is forbidden, and the project's list too."""
    signal = GateSignal("misconfigured", key="k1", ms=50, probe=lease.probe, why="403 APIGW.0302")
    bench.settle(lease, "pending", delay_s=10, used=False, status=403, signal=signal)


def many(bench: Bench, count: int) -> None:
    bench.request(*(f"j{i}" for i in range(count)))


def paced(redis_server: object, rate: float) -> Bench:
    """An empty ledger at this rate, with 60 jobs."""
    client = connect(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    bench = Bench(client, GatePolicy(interval=1000 / rate, lease=60_000, look_interval=100))
    bench.open()
    many(bench, 60)
    return bench


# -- the pace --------------------------------------------------------------------------------------------------------


def test_slots_are_evenly_spaced_below_the_limit(bench: Bench) -> None:
    bench.open()
    many(bench, 40)
    starts = []
    for _ in range(40):
        lease = bench.take()
        bench.pass_time(lease.ahead_s)
        starts.append(bench.now)
        bench.settle(lease)
    assert max(sum(1 for s in starts if t <= s < t + 1000) for t in starts) == 10
    assert (starts[-1] - starts[0]) / 39 == pytest.approx(100 / 0.985, rel=0.02)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rate=st.sampled_from([0.5, 1.0, 2.5, 3.0, 10.0]),
    lateness=st.lists(st.floats(0, 60), min_size=30, max_size=60),
    idle=st.lists(st.floats(0, 400), min_size=30, max_size=60),
)
def test_no_second_holds_more_calls_than_the_limit(
    redis_server: object, rate: float, lateness: list[float], idle: list[float]
) -> None:
    """However late executors ask, and however long they were away. A rate of 2.5 is three calls in 1.2 seconds."""
    bench = paced(redis_server, rate)
    starts: list[float] = []
    for late, away in zip(lateness, idle, strict=False):
        bench.pass_time(away / 1000 if away > 300 else 0)
        turn = bench.turn()
        while turn.lease is None:
            bench.pass_time((0.05 if turn.wait_s is None else turn.wait_s) + late / 1000)
            turn = bench.turn()
        bench.pass_time(turn.lease.ahead_s)
        starts.append(bench.now)
        bench.settle(turn.lease, "deleted")
    most = max(1, round(rate + 0.01))
    fullest = max(sum(1 for s in starts if t <= s < t + most / rate * 1000 - 0.001) for t in starts)
    assert fullest <= most


@pytest.mark.parametrize("rate", [33, 50, 128, 150, 400])
def test_no_second_holds_more_calls_than_the_limit_at_a_fast_pace(redis_server: object, rate: int) -> None:
    """One of fifty asks 60 ms late, and those behind it catch up."""
    bench = paced(redis_server, rate)
    many(bench, 3 * rate)
    starts: list[float] = []
    for n in range(3 * rate):
        while (turn := bench.turn()).lease is None:
            bench.pass_time(0.05 if turn.wait_s is None else turn.wait_s)
        bench.pass_time(turn.lease.ahead_s + (0.06 if n % 50 == 0 else 0))
        starts.append(bench.now)
        departed = turn.lease.ahead_s * 1000 + (60 if n % 50 == 0 else 0)
        bench.settle(turn.lease, call_seq=turn.lease.call_seq, departed_ms=departed)
    assert max(sum(at <= other < at + 999.999 for other in starts) for at in starts) <= rate
    assert (starts[-1] - starts[0]) / 1000 < 3 / 0.65, "nobody else takes the slots that pass meanwhile"


def test_an_executor_comes_a_moment_before_its_slot_and_is_told_how_long_that_is(bench: Bench) -> None:
    bench.open()
    many(bench, 3)
    bench.settle(bench.take())
    wait = bench.turn().wait_s
    assert wait == pytest.approx((100 / 0.985 - 20) / 1000, abs=0.0005)
    bench.pass_time(wait + 0.004)
    lease = bench.turn().lease
    assert lease is not None
    assert lease.ahead_s == pytest.approx(0.016, abs=0.0005)


def test_executors_that_are_late_for_every_slot_keep_the_pace(bench: Bench) -> None:
    bench.open()
    many(bench, 60)
    began = bench.now
    for _ in range(50):
        while (turn := bench.turn()).lease is None:
            assert turn.wait_s is not None
            bench.pass_time(turn.wait_s + 0.045)  # 25 ms after the slot
        lease = turn.lease
        bench.pass_time(lease.ahead_s)
        bench.settle(lease, call_seq=lease.call_seq, departed_ms=lease.ahead_s * 1000)
    assert 50 / ((bench.now - began) / 1000) >= 9.5


def test_a_call_that_left_late_keeps_the_last_of_its_second_waiting(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    left: list[float] = []
    for n in range(11):
        while (turn := bench.turn()).lease is None:
            assert turn.wait_s is not None
            bench.pass_time(turn.wait_s)
        lease = turn.lease
        late = 80.0 if n == 0 else 0.0
        bench.pass_time(lease.ahead_s + late / 1000)
        left.append(bench.now)
        bench.settle(lease, call_seq=lease.call_seq, departed_ms=lease.ahead_s * 1000 + late)
    assert left[10] - left[0] >= 1000
    assert left[9] - left[1] < 900, "the others kept to the grid"


def test_slots_that_a_stall_passed_over_are_not_made_up_for_by_a_crowd(bench: Bench) -> None:
    """Each call under way counts towards the lock of a key that is refused, and a person waits behind all."""
    quick = Bench(bench.client, replace(POLICY, interval=25.0))
    quick.set_clock(bench.now)
    quick.open()
    many(quick, 40)
    quick.settle(quick.take())
    quick.client.hset(quick.p + "gate", "call_ms", "64")
    quick.pass_time(0.29)
    assert quick.turn().lease is not None
    turn = quick.turn()
    assert turn.lease is None
    assert turn.wait_s == pytest.approx(0.0254 - 0.0063, abs=0.001)
    quick.check_invariant()


def test_where_slots_are_close_several_are_taken_at_once_and_each_call_waits_for_its_own(bench: Bench) -> None:
    quick = Bench(bench.client, replace(POLICY, interval=1.0))
    quick.set_clock(bench.now)
    quick.open()
    many(quick, 20)
    quick.client.hset(quick.p + "gate", "call_ms", "64")
    taken = list(itertools.takewhile(bool, (quick.turn().lease for _ in range(20))))
    assert [lease.ahead_s for lease in taken if lease] == pytest.approx(
        [n * 0.001 / 0.985 for n in range(len(taken))], abs=0.00001
    )
    assert len(taken) == 5, "no further ahead than 5 ms: what is leased cannot be withdrawn"


def test_whoever_settles_a_call_takes_the_next_slot_with_the_same_move(bench: Bench) -> None:
    """A turn of its own for each of the two would cost Redis twice."""
    bench.open()
    many(bench, 9)
    for _ in range(3):
        lease = bench.take()
        bench.pass_time(lease.ahead_s + 0.05)
        turn = bench.turn(bench.settlement(lease, call_seq=lease.call_seq, departed_ms=lease.ahead_s * 1000))
        assert turn.lease is not None
        assert 0.04 < turn.lease.ahead_s < 0.06
        bench.pass_time(turn.lease.ahead_s + 0.05)
        bench.settle(turn.lease, call_seq=turn.lease.call_seq, departed_ms=turn.lease.ahead_s * 1000)


def test_while_people_ask_no_slot_is_taken_so_far_ahead(bench: Bench) -> None:
    bench.open()
    bench.request("person", lane=Lane.USER)
    many(bench, 9)
    lease = bench.take()
    assert lease.lane is Lane.USER
    bench.pass_time(0.05)
    turn = bench.turn(bench.settlement(lease))
    assert turn.wait_s == pytest.approx(0.1 / 0.985 - 0.05 - 0.02, abs=0.001)
    bench.pass_time(turn.wait_s + 0.001)
    lease = bench.take()
    bench.pass_time(61.0)
    lease = bench.take()
    bench.pass_time(0.05)
    assert bench.turn(bench.settlement(lease)).lease is not None


def test_nobody_comes_for_a_slot_that_those_at_work_will_take(bench: Bench) -> None:
    """A second executor waited for each slot, and the first one had it each time."""
    bench.open()
    bench.client.hset(bench.p + "gate", "call_ms", "60")
    many(bench, 9)
    lease = bench.take()
    second = Bench(bench.client)
    assert second.turn(worker="w2").wait_s is None
    assert bench.ledger.due_wakeup("k1").wakeup is None
    bench.pass_time(0.11)
    assert bench.ledger.due_wakeup("k1").wakeup is not None, "the call hangs, and its slot has passed"
    assert bench.settle(lease) == "deleted"


def test_whoever_ends_calls_the_next_where_nobody_else_is_at_work(bench: Bench) -> None:
    bench.open()
    bench.client.hset(bench.p + "gate", "call_ms", "50")
    many(bench, 9)
    lease = bench.take()
    bench.pass_time(0.05)
    assert bench.turn(bench.settlement(lease), want=False).wakeup is not None


KINDS = (KindPace("asset", "assets", 200.0, "assets", 200.0),)


@pytest.mark.parametrize("job_rate", [5, 10])
def test_jobs_take_no_slots_ahead_from_other_kinds_that_wait(bench: Bench, job_rate: int) -> None:
    """Whoever settled a job had the next job's slot at once, and the assets' turn never came."""
    both = Bench(bench.client, replace(POLICY, interval=1000 / job_rate, kinds=KINDS))
    both.open()
    both.client.hset(both.p + "gate", "call_ms", "60")
    many(both, 60)
    both.ledger.request([Target(PROJECT, f"a{n:02d}", "asset") for n in range(40)], DeletionRequest())
    began, went = both.now, Counter[str]()
    events: list[tuple[float, int, Bench | None, Settlement | None]] = [(began, 0, None, None)]  # None: the dispatcher
    numbers = itertools.count(1)
    while (event := heapq.heappop(events))[0] < began + 8000:
        now, _, executor, done = event
        both.set_clock(now)
        if executor is None:
            heapq.heappush(events, (now + 500, next(numbers), None, None))
            if both.ledger.due_wakeup("k1").wakeup:
                heapq.heappush(events, (now, next(numbers), Bench(both.client, both.ledger.policy), None))
                both.set_clock(now)
            continue
        turn = executor.turn(done)
        if turn.lease:
            went[turn.lease.ref.kind] += 1
            leaves = now + turn.lease.ahead_s * 1000
            settled = both.settlement(turn.lease, call_seq=turn.lease.call_seq, departed_ms=leaves - now)
            heapq.heappush(events, (leaves + 60, next(numbers), executor, settled))
        elif turn.wait_s is not None:
            heapq.heappush(events, (now + turn.wait_s * 1000, next(numbers), executor, None))
        if turn.wakeup:
            heapq.heappush(events, (now, next(numbers), Bench(both.client, both.ledger.policy), None))
            both.set_clock(now)
    assert went["asset"] >= 0.9 * 5 * 8
    assert went["job"] >= 0.9 * min(60, job_rate * 8)


def test_whoever_settles_and_has_to_wait_comes_again_when_it_may_go(bench: Bench) -> None:
    """It came 150 ms before its slot, and had to wait once more: the moves of three turns for one call."""
    slow = Bench(bench.client, replace(POLICY, interval=500.0))
    slow.open()
    many(slow, 5)
    lease = slow.take()
    slow.pass_time(0.06)
    turn = slow.turn(slow.settlement(lease, call_seq=lease.call_seq, departed_ms=0.0))
    assert turn.wait_s is not None
    slow.pass_time(turn.wait_s + 0.001)
    assert slow.turn().lease is not None


def departures(bench: Bench, asks_ms: Iterable[float], late_ms: float = 0.0) -> list[float]:
    """When DELETEs leave, by the bench's clock. `asks_ms`: what is asked before each takes; a call lasts 60 ms."""
    asks, count, left = iter(asks_ms), itertools.count(), list[float]()
    under_way: list[tuple[float, int, float, float, Lease, float, float | None]] = []
    more = next(asks, None)
    while more is not None or under_way:
        turn = bench.turn(related="verify") if more is not None else TakeResult()
        if (lease := turn.lease) and more is not None:
            slot = bench.now + lease.ahead_s * 1000
            heapq.heappush(
                under_way, (max(bench.now + more, slot - 20), next(count), bench.now, slot, lease, more, None)
            )
            more = next(asks, None)
            continue
        at = bench.now + (50 if turn.wait_s is None else turn.wait_s * 1000)
        if not under_way or (more is not None and under_way[0][0] > at):
            bench.set_clock(at)
            continue
        at, _, taken, slot, lease, prepared, departed = heapq.heappop(under_way)
        bench.set_clock(max(bench.now, at))
        if departed is None:
            confirmed = bench.ledger.confirm(lease, key="k1", ahead_s=max(0.0, slot - bench.now) / 1000)
            assert confirmed
            left.append(bench.now + confirmed.ahead_s * 1000 + late_ms)
            heapq.heappush(under_way, (left[-1] + 60, next(count), taken, slot, confirmed, prepared, left[-1]))
        else:
            bench.settle(lease, call_seq=lease.call_seq, departed_ms=departed - taken, prepared_ms=prepared)
    return sorted(left)


def test_one_slow_inventory_takes_the_slots_of_no_other_call(bench: Bench) -> None:
    """Each call asks for 140 ms before its DELETE, one for 340; the others, taken in its turn, leave before it."""
    bench.open()
    many(bench, 130)
    bench.client.hset(bench.p + "gate", mapping={"prepare_ms": "150", "call_ms": "60"})
    left = departures(bench, [340.0 if n == 20 else 140.0 for n in range(120)])
    assert max(sum(at <= other < at + 1000 for other in left) for at in left) == 10
    assert left[58] - left[18] < 40 * 101.5 + 50, "40 slots, and none is lost"


def test_no_more_calls_are_leased_than_what_is_asked_before_them_needs(bench: Bench) -> None:
    """Else a person who comes now stands behind all of them."""
    bench.open()
    many(bench, 40)
    bench.client.hset(bench.p + "gate", mapping={"prepare_ms": "600", "call_ms": "60"})
    leases = list(itertools.takewhile(bool, (bench.turn(related="verify").lease for _ in range(40))))
    assert len(leases) == 7, "slots of 101.5 ms in the 620 ms before the first one that nobody has"
    slots = [lease.ahead_s for lease in leases if lease]
    assert slots == pytest.approx([n * 0.1 / 0.985 for n in range(7)], abs=0.0005)


def test_the_pace_learns_how_long_is_asked_before_a_call(bench: Bench) -> None:
    """From nothing, and back again."""
    bench.open()
    many(bench, 400)
    for asks_ms, least, most in ((250.0, 250, 350), (30.0, 30, 200)):
        left = departures(bench, [asks_ms] * 180)
        assert (left[-1] - left[0]) / 179 < 1000 / 9.8
        assert least <= float(bench.gate()["prepare_ms"]) < most


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rate=st.sampled_from([1.0, 2.5, 10.0]),
    asks_ms=st.lists(st.sampled_from([0.0, 20.0, 120.0, 150.0, 400.0, 900.0, 2500.0]), min_size=30, max_size=60),
    late_ms=st.sampled_from([0.0, 4.0]),
)
def test_no_second_holds_more_calls_than_the_limit_however_long_is_asked_before_them(
    redis_server: object, rate: float, asks_ms: list[float], late_ms: float
) -> None:
    bench = paced(redis_server, rate)
    left = departures(bench, asks_ms, late_ms)
    most = max(1, round(rate + 0.01))
    assert max(sum(at <= other < at + most / rate * 1000 - 0.001 for other in left) for at in left) <= most


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    weather=st.lists(
        st.tuples(st.sampled_from([0.01, 0.5, 2.5, 10.0, 1000.0]), st.sampled_from([-3600, -60, -2, -0.5, 0, 60])),
        min_size=2,
        max_size=5,
    )
)
def test_neither_a_jump_of_the_clock_nor_another_rate_makes_an_account_wait(
    redis_server: object, weather: list[tuple[float, float]]
) -> None:
    client = connect(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    now = Bench(client).now
    for rate, jump in weather:
        bench = Bench(client, GatePolicy(interval=1000 / rate, lease=60_000, look_interval=100))
        bench.set_clock(now + jump * 1000)
        bench.client.hset(bench.p + "gate", "good:k1", "1e15")
        bench.request("a", "b", "c", "d", "e", force=True)
        client.zadd(bench.p + "due:bulk", dict.fromkeys(client.zrange(bench.p + "due:bulk", 0, -1), 1.0))  # type: ignore[arg-type]
        for _ in range(5):
            began = bench.now
            while (lease := bench.turn().lease) is None:
                bench.pass_time(0.01 + 0.1 / rate)
                assert bench.now - began < 3200 / rate + 1600, f"nobody goes: {bench.gate()}"
            bench.settle(lease, call_seq=lease.call_seq, departed_ms=0.0)
        now = bench.now


def test_many_429s_at_once_stop_nobody_for_long(bench: Bench) -> None:
    bench.open()
    many(bench, 30)
    bench.client.hset(bench.p + "gate", "call_ms", "1000")
    under_way = [bench.take() for _ in range(20)]
    for lease in under_way:
        bench.settle(
            lease, "pending", used=False, delay_s=1, status=429, signal=GateSignal("throttled", key="k1", ms=5)
        )
    began = bench.now
    while bench.turn().lease is None:
        bench.pass_time(0.1)
        assert bench.now - began < 8000, f"nobody goes: {bench.gate()}"


def test_only_as_many_executors_wait_as_the_pace_needs(bench: Bench) -> None:
    bench.open()
    many(bench, 10)
    bench.settle(bench.take())
    assert bench.turn(worker="w1").wait_s is not None
    ledgers = [Bench(bench.client) for _ in range(3)]  # other callers
    waits = [other.turn().wait_s for other in ledgers]
    assert waits == [None, None, None]


def test_when_calls_last_longer_than_slots_more_executors_wait_each_for_a_slot_of_its_own(bench: Bench) -> None:
    bench.open()
    many(bench, 10)
    bench.client.hset(bench.p + "gate", "call_ms", "450")
    bench.settle(bench.take())
    waits = [Bench(bench.client).turn().wait_s for _ in range(6)]
    given_waits = [wait for wait in waits if wait is not None]
    assert 4 <= len(given_waits) <= 5
    gaps = [b - a for a, b in itertools.pairwise(given_waits)]
    assert all(gap == pytest.approx(0.1015, abs=0.002) for gap in gaps)


def test_an_executor_waits_for_the_first_slot_that_nobody_waits_for(bench: Bench) -> None:
    """It waited for one more slot than others wait, and the slot of one that had ended was used late, or never."""
    bench.open()
    many(bench, 10)
    bench.client.hset(bench.p + "gate", "call_ms", "450")
    bench.settle(bench.take())
    others = [Bench(bench.client) for _ in range(4)]
    waits = [other.turn().wait_s for other in others]
    assert None not in waits
    assert others[1].turn(want=False).wait_s is None, "its seconds are over"
    assert bench.turn().wait_s == pytest.approx(waits[1], abs=0.002)


def test_a_call_that_has_its_place_and_waits_for_it_delays_nobody(bench: Bench) -> None:
    """Its slot is still ahead: who came in these 20 ms counted it as one without a place, and came a slot too late."""
    other = Bench(bench.client)
    bench.open()
    many(bench, 40)
    bench.client.hset(bench.p + "gate", mapping={"prepare_ms": "30", "call_ms": "50"})
    for call in range(13):
        while (turn := bench.turn(related="verify")).lease is None:
            assert turn.wait_s is not None
            bench.pass_time(turn.wait_s)
        lease, taken = turn.lease, bench.now
        bench.pass_time(max(0.0, lease.ahead_s - 0.02))
        confirmed = bench.ledger.confirm(lease, key="k1", ahead_s=min(0.02, lease.ahead_s))
        assert confirmed is not None
        bench.pass_time(0.005)
        if call == 12:  # each place of a second is taken
            wait_s = other.turn(related="verify").wait_s
            assert wait_s is not None
            early_ms = 20 + float(bench.gate()["prepare_ms"])
            assert bench.now + wait_s * 1000 == pytest.approx(float(bench.gate()["slot"]) - early_ms, abs=5)
        departed = taken + lease.ahead_s * 1000
        bench.set_clock(departed + 1)
        bench.settle(confirmed, call_seq=confirmed.call_seq, departed_ms=departed - taken, prepared_ms=5.0)


def test_nothing_is_reserved_a_person_takes_the_slot_an_executor_waits_for(bench: Bench) -> None:
    bench.open()
    many(bench, 3)
    bench.settle(bench.take())
    turn = bench.turn()
    assert turn.wait_s is not None
    bench.request("person", lane=Lane.USER)
    bench.pass_time(turn.wait_s + 0.001)
    lease = bench.turn().lease
    assert lease is not None
    assert lease.ref.id == "person"


def test_calls_under_way_are_capped(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    taken = 0
    while bench.turn().lease is not None or bench.turn().wait_s is not None:
        taken = bench.client.zcard(bench.p + "running")  # type: ignore[assignment]
        bench.pass_time(0.15)
    assert taken == 4, "an account that answers nothing holds few threads"


# -- 429 -------------------------------------------------------------------------------------------------------------


def throttled(bench: Bench, **more: object) -> None:
    lease = bench.take()
    signal = GateSignal("throttled", key="k1", ms=5, **more)  # type: ignore[arg-type]
    bench.settle(lease, "pending", used=False, delay_s=1, status=429, signal=signal)


def test_one_429_skips_a_slot_and_gives_room(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    throttled(bench)
    gate = bench.gate()
    assert float(gate["share"]) == pytest.approx(0.975)
    turn = bench.turn()
    assert turn.wait_s == pytest.approx(0.2 - 0.02, abs=0.01)  # an executor comes a moment before its slot
    assert gate_state(bench) == "ok"


def test_a_429_widens_the_slots_for_what_the_same_move_settles_after_it(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    terms = {"used": False, "delay_s": 1, "status": 429, "signal": GateSignal("throttled", key="k1", ms=5)}
    first, second = (bench.settlement(bench.take(), "pending", **terms) for _ in range(2))
    bench.turn(second, earlier=[first], want=False)
    gate = bench.gate()
    assert float(gate["share"]) == pytest.approx(0.965)
    assert float(gate["slot"]) - bench.now == pytest.approx(2 * 100 / 0.965, abs=0.1)


def test_retry_after_closes_the_gate_that_long_but_no_longer_than_fifteen_minutes(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    throttled(bench, retry_after=30_000.0)
    assert gate_state(bench) == "throttled"
    assert bench.turn().lease is None
    bench.pass_time(30)
    throttled(bench, retry_after=86_400_000.0)
    bench.pass_time(15 * 60 + 1)
    assert bench.turn().lease is not None


def test_a_cluster_of_429s_slows_the_account_down_and_it_recovers(bench: Bench) -> None:
    bench.open()
    many(bench, 400)
    for _ in range(4):
        throttled(bench)
        bench.pass_time(1.5)
    slowed = float(bench.gate()["slow"])
    assert slowed > 1.4
    for _ in range(120):
        bench.settle(bench.take())
    assert "slow" not in bench.gate()
    assert float(bench.gate()["share"]) <= 0.99


def test_a_429_now_and_then_among_good_answers_slows_nobody_down(bench: Bench) -> None:
    """Four in a hundred once drove the pace to a thirtieth."""
    bench.open()
    many(bench, 400)
    for _ in range(12):
        for _ in range(24):
            bench.settle(bench.take())
        throttled(bench)
    assert "slow" not in bench.gate()


def test_lists_that_try_a_key_keep_a_pace_too(bench: Bench) -> None:
    many(bench, 5)
    turn = bench.turn()
    assert turn.trial is not None
    assert turn.trial.name == "key"
    turn = tell(bench, turn, "throttled", ms=5)
    assert (turn.trial, turn.lease) == (None, None)
    assert turn.next_ms == bench.now + 1000
    bench.pass_time(1)
    turn = tell(bench, bench.turn(), "throttled", ms=5, retry_after=9000.0)
    bench.pass_time(8)
    assert bench.turn().trial is None
    bench.pass_time(1.1)
    assert tell(bench, bench.turn(), "listed").lease is not None


def test_jobs_that_are_never_answered_do_not_stop_the_others(bench: Bench) -> None:
    bench.open()
    many(bench, 30)
    for _ in range(4):
        bench.take()
    bench.pass_time(0.5)
    assert bench.turn().lease is None
    bench.pass_time(0.6)
    for _ in range(10):
        bench.settle(bench.take())


def test_a_deletion_that_was_not_sent_keeps_its_place(bench: Bench) -> None:
    bench.open()
    bench.request("first")
    bench.pass_time(1)
    bench.request("second")
    lease = bench.take()
    nothing = {"called": False, "used": False, "attempt": None, "status": None, "delay_s": 0.0}
    bench.settle(lease, "pending", signal=GateSignal("none", key="k1"), **nothing)
    assert bench.take().ref.id == "first"


def test_what_an_earlier_version_believed_of_a_key_is_forgotten(bench: Bench) -> None:
    """It had seen a job once, and that never expired."""
    bench.client.hset(bench.p + "gate", "sees:p", "k1")
    bench.request("a")
    tell(bench, bench.turn(), "listed", want=False)
    assert "sees:p" not in bench.gate()


def test_keys_of_long_ago_are_forgotten(bench: Bench) -> None:
    for day in range(4):
        bench.request(f"j{day}")
        key = f"k{day}"
        trial = bench.turn(key=key).trial
        assert trial is not None
        bench.settle(bench.take(key=key, tried=Tried("key", PROJECT, GateSignal("listed", key=key))))
        bench.pass_time(2 * 86400)
    assert [name for name in bench.gate() if name.startswith("good:")] == ["good:k3"]


# -- the breaker -----------------------------------------------------------------------------------------------------


def test_five_different_jobs_failing_in_a_row_are_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    for n in range(5):
        assert gate_state(bench) == "ok", f"after {n} failures"
        fail(bench, bench.take())
    assert gate_state(bench) == "outage"
    assert bench.turn().lease is None


def test_a_sign_of_life_between_failures_is_no_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 40)
    for _ in range(5):
        for _ in range(4):
            fail(bench, bench.take())
        bench.settle(bench.take())
    assert gate_state(bench) == "ok"


def test_one_poisoned_job_never_makes_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 1)
    for _ in range(10):
        fail(bench, bench.take())
        bench.pass_time(10)
    assert gate_state(bench) == "ok"


def used(bench: Bench, jobs: int) -> int:
    """Attempts that are used up."""
    return sum(int(bench.record(f"j{n}").get("used", "0")) for n in range(jobs))


def outage(bench: Bench, jobs: int = 20) -> None:
    bench.open()
    many(bench, jobs)
    for _ in range(5):
        fail(bench, bench.take())
    assert gate_state(bench) == "outage"


def probe(bench: Bench) -> Lease:
    """The deletion that tries after a list that was answered."""
    pass_until_tried(bench)
    turn = tell(bench, bench.turn(), "listed")
    while turn.lease is None:
        assert turn.wait_s is not None, turn
        bench.pass_time(turn.wait_s)
        turn = bench.turn()
    assert turn.lease.probe == "account"
    return turn.lease


def test_an_outage_lets_one_list_through_a_pause_and_the_pauses_double(bench: Bench) -> None:
    outage(bench)
    pauses = []
    for _ in range(10):
        until = gate(bench).until
        assert until is not None
        pauses.append((until - bench.now) / 1000)
        bench.set_clock(until)
        turn = bench.turn()
        assert turn.trial is not None
        assert turn.trial.name == "account"
        assert bench.turn().trial is None, "one at a time"
        tell(bench, turn, "fail", why="no answer (timeout)")
    assert pauses[:5] == pytest.approx([2, 2 * 2, 8, 16, 32], rel=0.01)
    assert max(pauses) <= 180
    assert used(bench, 20) == 5, "a list uses no attempt"


def test_a_good_probe_ends_the_outage_at_once(bench: Bench) -> None:
    outage(bench)
    bench.settle(probe(bench), "deleted")
    assert gate_state(bench) == "ok"
    assert bench.take().probe is None


def test_where_lists_are_answered_and_deletes_are_not_the_pauses_double_all_the_same(bench: Bench) -> None:
    """A pause of 2 s again and again used up 1,800 attempts an hour."""
    outage(bench)
    failed = {f"j{n}" for n in range(20) if bench.record(f"j{n}").get("used")}
    pauses, tried = [], []
    for _ in range(10):
        pauses.append((gate(bench).until or 0) - bench.now)
        lease = probe(bench)
        tried.append(lease.ref.id)
        fail(bench, lease)
    assert pauses == pytest.approx([2000 * 2**n for n in range(7)] + [180_000] * 3, rel=0.01)
    assert len(set(tried)) == 10, f"different jobs: {tried}"
    assert not set(tried) & failed, "none that failed before, while there are others"
    assert used(bench, 20) == 15


def test_ten_poisoned_jobs_and_nothing_else_still_use_their_attempts(bench: Bench) -> None:
    bench.open()
    many(bench, 10)
    while any(int(bench.record(f"j{n}").get("used", "0")) < 4 for n in range(10)):
        turn = bench.turn()
        if turn.trial:
            turn = tell(bench, turn, "listed")
        if turn.lease:
            fail(bench, turn.lease)
        elif turn.wait_s is not None:
            bench.pass_time(turn.wait_s)
        else:
            assert turn.next_ms is not None
            bench.set_clock(max(bench.now + 1, turn.next_ms))
        assert bench.now - START_MS < 6 * 3600 * 1000, "somebody's attempts are never used"


def test_a_list_whose_executor_died_is_followed_by_another(bench: Bench) -> None:
    outage(bench)
    pass_until_tried(bench)
    assert bench.turn().trial is not None
    bench.pass_time(30)
    assert bench.turn().trial is None
    bench.pass_time(31)
    assert bench.turn().trial is not None


def test_a_probe_whose_executor_died_is_followed_by_another(bench: Bench) -> None:
    outage(bench)
    probe(bench)
    bench.pass_time(59)
    assert (bench.turn().trial, bench.turn().lease) == (None, None)
    bench.pass_time(2)
    assert bench.take().probe == "account"


def test_a_gate_opens_when_lists_are_answered_and_nothing_is_due(bench: Bench) -> None:
    """Nobody was called while nothing was due: the gate stayed closed, and the alert stood, until somebody asked."""
    outage(bench, jobs=5)
    pass_until_tried(bench)
    assert bench.ledger.due_wakeup("k1")[0] is not None, "somebody is called although nothing is due"
    tell(bench, bench.turn(), "listed")
    assert gate(bench).closures == ()
    assert gate_state(bench) == "ok"
    many(bench, 3)
    lease = bench.take()
    assert lease.probe == "account", "the first deletion that is due tries"
    assert bench.turn().lease is None, "and it alone"
    fail(bench, lease)
    assert gate_state(bench) == "outage"
    assert gate(bench).until == bench.now + 4000, "the pause is the next one, not the first"


def test_an_outage_that_ends_while_nothing_is_due_stays_forgotten(bench: Bench) -> None:
    outage(bench, jobs=5)
    pass_until_tried(bench)
    tell(bench, bench.turn(), "listed")
    many(bench, 8)
    bench.settle(bench.take())
    for _ in range(4):
        fail(bench, bench.take())
    assert gate_state(bench) == "ok", "five in a row again"


def test_a_late_success_of_a_call_under_way_ends_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    bench.client.hset(bench.p + "gate", "call_ms", "400")
    slow = bench.take()
    for _ in range(5):
        fail(bench, bench.take())
    bench.settle(slow, "deleted")
    assert gate_state(bench) == "ok"


# -- credentials -----------------------------------------------------------------------------------------------------


def refuse(bench: Bench, lease: Lease, key: str = "k1") -> None:
    """A 401, of which the key's record could not be told (see `tests/execution/test_key_budget.py`)."""
    signal = GateSignal("credentials", key=key, ms=5, probe=lease.probe, why="401 APIGW.0301")
    bench.settle(lease, "pending", used=False, status=401, signal=signal)


def test_a_key_that_nobody_knows_is_tried_with_one_harmless_list(bench: Bench) -> None:
    many(bench, 5)
    turn = bench.turn()
    assert turn.lease is None
    assert turn.trial is not None
    assert (turn.trial.name, turn.trial.project_id) == ("key", PROJECT)
    other = bench.turn()
    assert (other.lease, other.trial) == (None, None), "one call until its first good answer"
    lease = tell(bench, turn, "listed").lease
    assert lease is not None
    assert lease.probe is None


def test_a_list_that_tries_a_key_and_is_not_answered_is_an_outage(bench: Bench) -> None:
    many(bench, 5)
    tell(bench, bench.turn(), "fail", why="503")
    assert gate_state(bench) == "outage"
    assert bench.turn().trial is None
    pass_until_tried(bench)
    tell(bench, bench.turn(), "listed")
    assert gate_state(bench) == "ok"


def test_the_first_401_stops_the_account_and_says_so(bench: Bench) -> None:
    bench.open()
    bench.request("a", by="ticket-1")
    refuse(bench, bench.take())
    assert gate_state(bench) == "credentials"
    (closure,) = gate(bench).closures
    assert (closure.scope, closure.name, closure.target, closure.requested_by) == ("key", "k1", "a", "ticket-1")
    assert bench.turn().trial is None
    bench.pass_time(59)
    assert bench.turn().trial is None
    bench.pass_time(2)
    trial = bench.turn().trial
    assert trial is not None
    assert trial.name == "key"


def test_a_call_that_left_before_the_refusal_proves_nothing_about_the_key(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    early, refused = bench.take(), bench.take()
    bench.pass_time(0.1)
    refuse(bench, refused)
    bench.settle(early, "deleted")
    assert gate_state(bench) == "credentials"
    assert bench.turn().lease is None


def test_new_credentials_are_tried_at_once_and_open_the_gate(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take())
    bench.pass_time(2.1)  # a wake-up that was on its way is lost
    assert bench.ledger.due_wakeup("k1")[0] is None
    assert bench.ledger.due_wakeup("k2")[0] is not None, "whoever has another key is called at once"
    assert bench.turn(key="k2").trial is not None
    lease = bench.take(key="k2", tried=Tried("key", PROJECT, GateSignal("listed", key="k2")))
    bench.settle(lease, "deleted", signal=GateSignal("ok", key="k2", ms=5))
    assert gate_state(bench) == "ok"
    bench.pass_time(1)
    turn = bench.turn(key="k1")
    assert (turn.lease, turn.trial) == (None, None), "whoever still holds the refused key stays out"
    assert bench.take(key="k2").probe is None


def test_resume_tries_a_refused_key_at_once(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take())
    assert bench.ledger.resume(why="T-9")[0] == "credentials"
    assert bench.turn().trial is not None


# -- the clock, misconfiguration, pause ------------------------------------------------------------------------------


def test_a_measured_skew_is_handed_to_everybody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    lease = bench.take()
    signal = GateSignal("clock", key="k1", skew=1_500_000.0)
    bench.settle(lease, "pending", used=False, status=401, signal=signal)
    assert gate_state(bench) == "clock"
    assert bench.take().skew_ms == 1_500_000
    assert bench.take(worker="w2").skew_ms == 1_500_000


def test_a_small_skew_is_signed_with_and_troubles_nobody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    for skew in (1_500_000.0, 200.0):
        bench.settle(bench.take(), "pending", used=False, signal=GateSignal("clock", key="k1", skew=skew))
    assert gate_state(bench) == "ok"
    assert bench.take().skew_ms == 200


def test_a_pause_beats_every_other_reason(bench: Bench) -> None:
    outage(bench)
    assert bench.ledger.pause(why="T-1", by="ops") is False
    assert bench.ledger.pause(why="T-2", by="ops") is True
    assert gate_state(bench) == "paused"
    assert [(one.cause, one.requested_by) for one in gate(bench).closures] == [("paused", "ops"), ("outage", None)]


def test_a_pause_stops_everything(bench: Bench) -> None:
    outage(bench)
    bench.ledger.pause(why="T-1")
    bench.pass_time(3600)
    turn = bench.turn()
    assert (turn.lease, turn.trial, turn.wait_s, turn.next_ms) == (None, None, None, None)
    assert bench.ledger.due_wakeup("k1")[0] is None, "nobody is called while it is paused"
    bench.ledger.resume(why="T-9")
    assert bench.turn().trial is not None, "what was closed beneath is tried first"


def test_pausing_keeps_no_call_under_way_from_settling(bench: Bench) -> None:
    bench.open()
    many(bench, 2)
    lease = bench.take()
    bench.ledger.pause(why="T-1")
    assert bench.settle(lease) == "deleted"


# -- projects ----------------------------------------------------------------------------------------------------------


def ask_for(bench: Bench, project: str, *jobs: str, **claim: Any) -> None:
    """Ask for jobs of a project; what is asked for later is due later."""
    bench.ledger.request([Target(project, job) for job in jobs], DeletionRequest(**claim))
    bench.pass_time(0.001)


def test_a_project_that_is_refused_closes_itself_alone(bench: Bench) -> None:
    """It closed the whole account, and every probe took the head of the lane, which was its job: for ever."""
    bench.open()
    ask_for(bench, "theirs", *(f"t{n}" for n in range(3)), by="ticket-7")
    many(bench, 3)
    refuse_project(bench, bench.take())
    assert [bench.take().ref.id for _ in range(3)] == ["j0", "j1", "j2"]
    assert gate_state(bench) == "ok"
    (closure,) = gate(bench).closures
    assert (closure.scope, closure.name, closure.cause) == ("project", "theirs", "misconfigured")
    assert (closure.target, closure.requested_by) == ("t0", "ticket-7")
    assert closure.until == pytest.approx(bench.now + 60_000, abs=1000)
    turn = bench.turn()
    assert (turn.lease, turn.trial, turn.wait_s) == (None, None, None)
    assert bench.record("j0")["state"] == "running"


def test_an_account_whose_own_projects_are_all_refused_says_so(bench: Bench) -> None:
    bench.open()
    many(bench, 3)
    refuse_project(bench, bench.take())
    assert gate(bench, PROJECT).gate == "misconfigured"
    assert gate(bench, PROJECT, "another").gate == "ok"


def test_a_closed_project_is_tried_with_its_list_whoever_else_is_at_work_and_opens(bench: Bench) -> None:
    bench.open()
    ask_for(bench, "theirs", "t0", "t1")
    refuse_project(bench, bench.take())
    many(bench, 30)
    bench.settle(bench.take())
    bench.pass_time(61)
    assert bench.ledger.due_wakeup("k1")[0] is not None
    turn = bench.turn()
    assert turn.trial is not None
    assert (turn.trial.name, turn.trial.project_id, turn.trial.own) == ("project theirs", "theirs", False)
    assert bench.take().ref.project_id == PROJECT, "the others go on meanwhile"
    tell(bench, turn, "misconfigured", want=False)
    (closure,) = gate(bench).closures
    assert closure.until == pytest.approx(bench.now + 120_000, abs=1000), "the pauses double"
    assert closure.target == "t0", "what closed it first"
    bench.pass_time(121)
    tell(bench, bench.turn(), "listed", want=False)
    assert gate(bench).closures == ()
    assert bench.take().ref.id == "t1", "the oldest first again"


def test_a_closed_project_with_nothing_else_due_is_tried_all_the_same(bench: Bench) -> None:
    bench.open()
    ask_for(bench, "theirs", "t0", "t1")
    refuse_project(bench, bench.take())
    bench.pass_time(2.1)  # a wake-up that was on its way is lost
    bench.turn()  # passes them over
    wakeup, at, *_ = bench.ledger.due_wakeup("k1")
    assert wakeup is None, "nobody is called for what is closed"
    assert at is not None
    bench.set_clock(at)
    assert bench.ledger.due_wakeup("k1")[0] is not None


def test_thousands_of_a_closed_project_delay_nobody(bench: Bench) -> None:
    bench.open()
    ask_for(bench, "theirs", *(f"t{n}" for n in range(300)))
    bench.pass_time(1)
    many(bench, 5)
    ask_for(bench, "theirs", *(f"u{n}" for n in range(300)))
    refuse_project(bench, bench.take())
    turns, taken = 0, []
    while len(taken) < 5:
        turn = bench.turn()
        turns += 1
        if turn.lease:
            taken.append(turn.lease.ref.id)
            bench.settle(turn.lease)
        else:
            assert turn.wait_s is not None
            bench.pass_time(turn.wait_s)
    assert taken == [f"j{n}" for n in range(5)]
    assert turns <= 300 / 20 + 2 * 5 + 1, "twenty heads a take, and none of them twice"
    person = bench.request("person", lane=Lane.USER)
    assert person == ["pending"]
    bench.pass_time(1)
    assert bench.take().ref.id == "person"


def test_deletions_of_a_closed_project_still_meet_their_deadline(bench: Bench) -> None:
    bench.open()
    ask_for(bench, "theirs", "t0")
    ask_for(bench, "theirs", "t1", deadline_s=600.0)
    refuse_project(bench, bench.take())
    bench.pass_time(700)
    tell(bench, bench.turn(), "misconfigured")
    assert bench.client.hget(f"{bench.p}d:theirs/t1", "state") == b"dead"


def test_five_jobs_of_a_project_whose_deletes_are_forbidden_close_it_and_nothing_dies_of_it(bench: Bench) -> None:
    bench.open()
    many(bench, 12)
    late = [bench.take() for _ in range(2)]
    for n in range(5):
        assert gate(bench, PROJECT).gate == "ok", f"after {n}"
        forbid(bench, bench.take())
    assert gate(bench, PROJECT).gate == "misconfigured"
    assert used(bench, 12) == 4, "those that were its own trouble as far as anybody knew"
    assert forbid(bench, late[0], "dead", cause="refused") == "pending", "it was under way, and dies of nothing"
    assert used(bench, 12) == 4
    assert bench.turn().lease is None
    pass_until_tried(bench) if gate(bench).until else bench.set_clock(gate(bench, PROJECT).until or 0)
    for pause in (120_000, 240_000, 480_000, 900_000, 900_000):
        lease = bench.take()
        assert lease.probe == f"project {PROJECT}"
        assert forbid(bench, lease, "dead", cause="refused") == "pending"
        (closure,) = gate(bench).closures
        assert closure.until == pytest.approx(bench.now + pause, abs=1000)
        bench.set_clock(closure.until or 0)
    assert used(bench, 12) == 4, "no attempt, no death"
    bench.settle(bench.take(), "deleted")
    assert gate(bench, PROJECT).gate == "ok"


def test_a_project_whose_deletes_are_allowed_now_and_then_is_open(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    for _ in range(4):
        for _ in range(4):
            forbid(bench, bench.take())
        bench.settle(bench.take(), "deleted")
    assert gate(bench).closures == ()


def test_deletes_that_are_forbidden_in_several_projects_close_the_account(bench: Bench) -> None:
    bench.open()
    for n in range(4):
        ask_for(bench, f"p{n}", "a", "b")
    for _ in range(5):
        forbid(bench, bench.take())
    (closure,) = gate(bench).closures
    assert (closure.scope, closure.cause) == ("account", "misconfigured")
    bench.set_clock(closure.until or 0)
    lease = bench.take()
    assert lease.probe == "account", "no list goes first: lists are answered"
    bench.settle(lease, "deleted")
    assert gate_state(bench) == "ok"


def test_forbidden_deletes_of_one_project_leave_the_others_alone(bench: Bench) -> None:
    bench.open()
    for n in range(5):
        ask_for(bench, "theirs", f"t{n}")
        ask_for(bench, PROJECT, f"j{n}")
    for _ in range(5):
        forbid(bench, bench.take())
        bench.settle(bench.take(), "deleted")
    assert [(one.scope, one.name) for one in gate(bench).closures] == [("project", "theirs")]


# -- where the heads fail ----------------------------------------------------------------------------------------------


def deleted_in_order(bench: Bench, bad: set[str], jobs: int) -> list[str]:
    """Which jobs are taken, until so many good ones are deleted."""
    taken: list[str] = []
    while bench.client.zcard(bench.p + "deleted") < jobs:
        turn = bench.turn()
        if turn.trial:
            turn = tell(bench, turn, "listed")
        if turn.lease:
            job = turn.lease.ref.id
            taken.append(job)
            fail(bench, turn.lease) if job in bad else bench.settle(turn.lease, "deleted")
        elif turn.wait_s is not None:
            bench.pass_time(turn.wait_s)
        else:
            assert turn.next_ms is not None
            bench.set_clock(max(bench.now + 1, turn.next_ms))
    return taken


def test_thirty_jobs_that_always_fail_do_not_delay_those_behind_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of those that never failed is probed is chance: of 600 runs three probed bad ones for longer."""
    chance = random.Random(1)
    monkeypatch.setattr("worker.ledger.leases.secrets.token_hex", lambda size: chance.randbytes(size).hex())
    bench.open()
    many(bench, 30)
    bench.pass_time(1)
    bench.request(*(f"good{n}" for n in range(30)))
    began = bench.now
    taken = deleted_in_order(bench, {f"j{n}" for n in range(30)}, 30)
    assert len(taken) <= 60, "none fails twice before all the good ones are deleted"
    assert bench.now - began < 20_000


def test_jobs_that_hang_hold_few_calls_and_those_behind_them_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which deletions are tried is left to chance, the lease's token; one of 200 runs holds all calls that may be."""
    chance = random.Random(1)
    monkeypatch.setattr(leases, "secrets", SimpleNamespace(token_hex=lambda n: chance.randbytes(n).hex()))
    bench.open()
    many(bench, 30)
    bench.pass_time(1)
    bench.request(*(f"good{n}" for n in range(30)))
    began, hung = bench.now, 0
    while bench.client.zcard(bench.p + "deleted") < 30:
        turn = bench.turn()
        if turn.lease is None:
            bench.pass_time(turn.wait_s or 0.1)
        elif turn.lease.ref.id.startswith("good"):
            bench.settle(turn.lease, "deleted")
        else:
            hung += 1  # it is never answered
        assert bench.now - began < 20_000, f"{hung} hang"
    assert hung <= 10


# -- wake-ups -------------------------------------------------------------------------------------------------------


def test_one_wakeup_at_a_time_and_a_lost_one_is_sent_again(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    assert bench.ledger.due_wakeup()[0] == "1"
    assert bench.ledger.due_wakeup()[0] is None
    bench.pass_time(2.1)
    assert bench.ledger.due_wakeup()[0] == "2"


def test_nobody_is_called_for_nothing(bench: Bench) -> None:
    bench.open()
    assert bench.ledger.due_wakeup() == (None, None, [], False)
    bench.request("later", delay_s=60)
    assert bench.ledger.due_wakeup() == (None, bench.now + 60_000, [], False)


def test_a_request_in_the_user_lane_rings_at_once(bench: Bench) -> None:
    bench.ledger.request([Target(PROJECT, "a")], DeletionRequest(lane=Lane.BULK))
    assert bench.woken == [False], "a sweep waits for the next tick"
    bench.ledger.request([Target(PROJECT, "b")], DeletionRequest(lane=Lane.USER))
    assert bench.woken == [False, True]
    assert bench.ledger.due_wakeup()[0] == "1"
    bench.ledger.request([Target(PROJECT, "c")], DeletionRequest(lane=Lane.USER))
    assert bench.woken == [False, True, False], "an executor is on its way"


def test_an_executor_that_leaves_for_a_long_call_calls_another(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    bench.client.hset(bench.p + "gate", "call_ms", "400")
    assert bench.turn().wakeup is not None


def test_an_executor_that_leaves_for_a_short_call_is_back_in_time_and_calls_nobody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    bench.client.hset(bench.p + "gate", "call_ms", "20")
    assert bench.turn().wakeup is None


def test_an_executor_that_goes_home_with_work_left_calls_another(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    assert bench.turn(want=False).wakeup is not None


def test_a_slow_pace_holds_no_thread(bench: Bench) -> None:
    slow = Bench(bench.client, replace(POLICY, interval=10_000.0))
    slow.open()
    slow.request("a", "b")
    slow.settle(slow.take())
    turn = slow.turn()
    assert (turn.lease, turn.wait_s) == (None, None)
    assert turn.next_ms is not None
    assert turn.next_ms > slow.now + 5000


# -- no deletion waits for ever --------------------------------------------------------------------------------------

TROUBLE = st.sampled_from(
    ["ok", "fail", "forbidden", "throttled", "retry_after", "key", "clock", "wrong", "looked", "dies"]
)


def lesson_of(trouble: str, lease: Lease) -> GateSignal:
    common = GateSignal("ok", key="k1", ms=40, probe=lease.probe, why="T")
    return {
        "ok": common,
        "fail": replace(common, kind="fail"),
        "forbidden": replace(common, kind="forbidden"),
        "throttled": replace(common, kind="throttled"),
        "retry_after": replace(common, kind="throttled", retry_after=1e9),
        "key": replace(common, kind="credentials"),
        "clock": replace(common, kind="clock", skew=9e5),
        "wrong": replace(common, kind="misconfigured"),
        "looked": replace(common, kind="listed"),
    }[trouble]


def trouble_of_a_list(trouble: str) -> str:
    kinds = {"forbidden": "misconfigured", "wrong": "misconfigured", "retry_after": "throttled", "key": "credentials"}
    return {"looked": "listed"}.get(trouble, kinds.get(trouble, trouble))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(troubles=st.lists(st.tuples(TROUBLE, st.floats(0, 400)), max_size=40))
def test_after_any_trouble_a_world_that_is_well_again_finishes_everything(
    redis_server: object, troubles: list[tuple[str, float]]
) -> None:
    """An open breaker always gets its probe, and no deletion waits for ever."""
    client = connect(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    bench = Bench(client)
    many(bench, 6)
    ask_for(bench, "another", *(f"a{n}" for n in range(6)))
    for trouble, seconds in troubles:
        turn = bench.turn()
        if turn.lease is not None and trouble != "dies":
            to = "deleted" if trouble == "ok" else "pending"
            bench.settle(turn.lease, to, used=False, delay_s=5.0, signal=lesson_of(trouble, turn.lease))
        elif turn.trial is not None and trouble != "dies":
            tell(bench, turn, "listed" if trouble == "ok" else trouble_of_a_list(trouble), want=False)
        bench.pass_time(seconds)
        bench.ledger.rescue(alive=["w1"], counts=True)
    waited = 0.0
    while bench.client.zcard(bench.p + "deleted") < 12:
        assert waited < 3600, f"still not finished: {bench.gate()}"
        turn = bench.turn()
        if turn.lease is not None:
            bench.settle(turn.lease, "deleted")
            continue
        if turn.trial is not None:
            tell(bench, turn, "listed", want=False)
            continue
        bench.pass_time(1)
        waited += 1
        bench.ledger.rescue(alive=["w1"], counts=True)
        if turn.wait_s is None and turn.next_ms is not None and turn.next_ms <= bench.now:
            bench.client.zremrangebyscore(bench.p + "wakeups", "-inf", "+inf")
            bench.ledger.due_wakeup("k1")
    bench.check_invariant()


def test_where_a_worker_has_nothing_to_sign_with_nobody_is_called_for_a_while(bench: Bench) -> None:
    until = bench.ledger.block_account("credentials", "KEY_FILE: it is not there")
    assert until is not None
    bench.request("a")
    assert bench.ledger.due_wakeup()[:2] == (None, until)
    assert (gate(bench).gate, gate(bench).reason) == ("credentials", "KEY_FILE: it is not there")
    bench.set_clock(until + 1)
    assert bench.ledger.due_wakeup()[0] is not None
    turn = bench.turn(key="k2")
    assert turn.trial is not None, "a key that nobody knows is tried by a harmless list first"
    bench.turn(key="k2", tried=Tried("key", PROJECT, GateSignal("listed", key="k2")))
    assert gate_state(bench) == "ok"


def test_one_machine_without_a_key_does_not_stop_those_that_have_one(bench: Bench) -> None:
    bench.open()
    assert bench.ledger.block_account("credentials", "KEY_FILE: it is not there") is None
    bench.request("a")
    assert bench.turn().lease is not None
    bench.pass_time(121)
    assert bench.ledger.block_account("credentials", "KEY_FILE: it is not there") is not None


def test_lookups_go_on_when_rediss_clock_went_back(bench: Bench) -> None:
    assert bench.ledger.reserve_lookup() == 0
    bench.pass_time(-3600)
    assert bench.ledger.reserve_lookup() == 0
    assert bench.ledger.reserve_lookup() == pytest.approx(bench.ledger.policy.look_interval / 1000)


def test_who_waits_long_for_a_lookup_keeps_the_slot(bench: Bench) -> None:
    while (wait := bench.ledger.reserve_lookup(patience_s=120)) is not None and wait < 100:
        pass
    assert bench.ledger.reserve_lookup() is None, "the queue is longer than this one waits"
    assert bench.ledger.reserve_lookup(patience_s=120) == pytest.approx(100, abs=1)
