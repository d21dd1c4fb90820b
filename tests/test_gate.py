"""The gate: at the limit, never over it, never blind. On fakeredis and on a real server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledgers import POLICY, PROJECT, Bench
from worker.deletion import Lane
from worker.ledger.moves import GatePolicy, Lease, Lesson
from worker.ledger.read import ReadModel


@pytest.fixture
def bench(client: redis.Redis) -> Iterator[Bench]:
    bench = Bench(client)
    yield bench
    bench.check_invariant()


def seen(bench: Bench) -> str:
    """The gate as people see it, by the bench's clock."""
    model = ReadModel(bench.client, "default", rate=10.0)
    model.now_ms = lambda: bench.now  # type: ignore[method-assign]
    return model.gate().gate


def fail(bench: Bench, lease: Lease, **more: object) -> None:
    lesson = Lesson("fail", key="k1", ms=50, probe=bool(lease.probe), why="500 MSS.00000004", **more)  # type: ignore[arg-type]
    bench.settle(lease, "pending", delay_s=10, wait="retry", status=500, lesson=lesson)


def many(bench: Bench, count: int) -> None:
    bench.request(*(f"j{i}" for i in range(count)))


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
    """However late hands ask, and however long they were away. A rate of 2.5 is three calls in 1.2 seconds."""
    client = redis.Redis.from_url(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    bench = Bench(client, GatePolicy(interval=1000 / rate, lease=60_000, look_interval=100))
    bench.open()
    many(bench, 60)
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


def test_a_hand_comes_a_moment_before_its_slot_and_is_told_how_long_that_is(bench: Bench) -> None:
    bench.open()
    many(bench, 3)
    bench.settle(bench.take())
    wait = bench.turn().wait_s
    assert wait == pytest.approx((100 / 0.985 - 20) / 1000, abs=0.0005)
    bench.pass_time(wait + 0.004)
    lease = bench.turn().lease
    assert lease is not None
    assert lease.ahead_s == pytest.approx(0.016, abs=0.0005)


def test_hands_that_are_late_for_every_slot_keep_the_pace(bench: Bench) -> None:
    bench.open()
    many(bench, 60)
    began = bench.now
    for _ in range(50):
        while (turn := bench.turn()).lease is None:
            assert turn.wait_s is not None
            bench.pass_time(turn.wait_s + 0.045)  # 25 ms after the slot
        lease = turn.lease
        bench.pass_time(lease.ahead_s)
        bench.settle(lease, nth=lease.nth, left_ms=lease.ahead_s * 1000)
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
        bench.settle(lease, nth=lease.nth, left_ms=lease.ahead_s * 1000 + late)
    assert left[10] - left[0] >= 1000
    assert left[9] - left[1] < 900, "the others kept to the grid"


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
    client = redis.Redis.from_url(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    now = Bench(client).now
    for rate, jump in weather:
        bench = Bench(client, GatePolicy(interval=1000 / rate, lease=60_000, look_interval=100))
        bench.set_clock(now + jump * 1000)
        bench.client.hset(bench.p + "gate", "good:k1", "1e15")
        bench.request("a", "b", "c", "d", "e", again=True)
        client.zadd(bench.p + "due:bulk", dict.fromkeys(client.zrange(bench.p + "due:bulk", 0, -1), 1.0))  # type: ignore[arg-type]
        for _ in range(5):
            began = bench.now
            while (lease := bench.turn().lease) is None:
                bench.pass_time(0.01 + 0.1 / rate)
                assert bench.now - began < 3200 / rate + 1600, f"nobody goes: {bench.gate()}"
            bench.settle(lease, nth=lease.nth, left_ms=0.0)
        now = bench.now


def test_many_429s_at_once_stop_nobody_for_long(bench: Bench) -> None:
    bench.open()
    many(bench, 30)
    bench.client.hset(bench.p + "gate", "call_ms", "1000")
    under_way = [bench.take() for _ in range(20)]
    for lease in under_way:
        bench.settle(lease, "pending", used=False, delay_s=1, status=429, lesson=Lesson("throttled", key="k1", ms=5))
    began = bench.now
    while bench.turn().lease is None:
        bench.pass_time(0.1)
        assert bench.now - began < 8000, f"nobody goes: {bench.gate()}"


def test_only_as_many_hands_wait_as_the_pace_needs(bench: Bench) -> None:
    bench.open()
    many(bench, 10)
    bench.settle(bench.take())
    assert bench.turn(worker="w1").wait_s is not None
    ledgers = [Bench(bench.client) for _ in range(3)]  # other callers
    waits = [other.turn().wait_s for other in ledgers]
    assert waits == [None, None, None]


def test_when_calls_last_longer_than_slots_more_hands_wait_each_for_a_slot_of_its_own(bench: Bench) -> None:
    bench.open()
    many(bench, 10)
    bench.client.hset(bench.p + "gate", "call_ms", "450")
    bench.settle(bench.take())
    waits = [Bench(bench.client).turn().wait_s for _ in range(6)]
    given_waits = [wait for wait in waits if wait is not None]
    assert 4 <= len(given_waits) <= 5
    gaps = [b - a for a, b in itertools.pairwise(given_waits)]
    assert all(gap == pytest.approx(0.1015, abs=0.002) for gap in gaps)


def test_nothing_is_reserved_a_person_takes_the_slot_a_hand_waits_for(bench: Bench) -> None:
    bench.open()
    many(bench, 3)
    bench.settle(bench.take())
    turn = bench.turn()
    assert turn.wait_s is not None
    bench.request("person", lane=Lane.USER)
    bench.pass_time(turn.wait_s + 0.001)
    lease = bench.turn().lease
    assert lease is not None
    assert lease.ref.job_id == "person"


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
    lesson = Lesson("throttled", key="k1", ms=5, **more)  # type: ignore[arg-type]
    bench.settle(lease, "pending", used=False, delay_s=1, status=429, lesson=lesson)


def test_one_429_skips_a_slot_and_gives_room(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    throttled(bench)
    gate = bench.gate()
    assert float(gate["share"]) == pytest.approx(0.975)
    turn = bench.turn()
    assert turn.wait_s == pytest.approx(0.2 - 0.02, abs=0.01)  # a hand comes a moment before its slot
    assert seen(bench) == "ok"


def test_retry_after_closes_the_gate_that_long_but_no_longer_than_fifteen_minutes(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    throttled(bench, retry_after=30_000.0)
    assert seen(bench) == "throttled"
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


def test_probes_keep_the_pace_too(bench: Bench) -> None:
    many(bench, 5)
    lease = bench.take()
    assert lease.probe == "credentials"
    lesson = Lesson("throttled", key="k1", ms=5, probe=True)
    bench.settle(lease, "pending", called=False, used=False, attempt=None, status=429, lesson=lesson)
    turn = bench.turn()
    assert turn.lease is None
    assert turn.wait_s is not None
    bench.settle(
        bench.take(), "pending", called=False, used=False, attempt=None, lesson=replace(lesson, retry_after=9000.0)
    )
    assert bench.turn().wait_s is None
    bench.pass_time(9)
    assert bench.turn().lease is not None


def test_jobs_that_are_never_answered_do_not_stop_the_others(bench: Bench) -> None:
    bench.open()
    many(bench, 30)
    for _ in range(4):
        bench.take()
    bench.pass_time(1)
    assert bench.turn().lease is None
    bench.pass_time(3)
    for _ in range(10):
        bench.settle(bench.take())


def test_a_deletion_that_was_not_sent_keeps_its_place(bench: Bench) -> None:
    bench.open()
    bench.request("first")
    bench.pass_time(1)
    bench.request("second")
    lease = bench.take()
    nothing = {"called": False, "used": False, "attempt": None, "status": None, "delay_s": 0.0}
    bench.settle(lease, "pending", lesson=Lesson("none", key="k1"), **nothing)
    assert bench.take().ref.job_id == "first"


def test_what_an_earlier_version_believed_of_a_key_is_forgotten(bench: Bench) -> None:
    """It had seen a job once, and that never expired."""
    bench.client.hset(bench.p + "gate", "sees:p", "k1")
    bench.request("a")
    bench.settle(bench.take(), "deleted")
    assert "sees:p" not in bench.gate()


def test_keys_of_long_ago_are_forgotten(bench: Bench) -> None:
    for day in range(4):
        bench.request(f"j{day}")
        key = f"k{day}"
        bench.settle(bench.take(key=key), lesson=Lesson("ok", key=key, ms=5, probe=True))
        bench.pass_time(2 * 86400)
    assert [name for name in bench.gate() if name.startswith("good:")] == ["good:k3"]


# -- the breaker -----------------------------------------------------------------------------------------------------


def test_five_different_jobs_failing_in_a_row_are_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    for n in range(5):
        assert seen(bench) == "ok", f"after {n} failures"
        fail(bench, bench.take())
    assert seen(bench) == "outage"
    assert bench.turn().lease is None


def test_a_sign_of_life_between_failures_is_no_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 40)
    for _ in range(5):
        for _ in range(4):
            fail(bench, bench.take())
        bench.settle(bench.take())
    assert seen(bench) == "ok"


def test_one_poisoned_job_never_makes_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 1)
    for _ in range(10):
        fail(bench, bench.take())
        bench.pass_time(10)
    assert seen(bench) == "ok"


def outage(bench: Bench, jobs: int = 20) -> None:
    bench.open()
    many(bench, jobs)
    for _ in range(5):
        fail(bench, bench.take())
    assert seen(bench) == "outage"


def test_an_outage_lets_one_probe_through_a_pause_and_the_pauses_double(bench: Bench) -> None:
    outage(bench)
    pauses = []
    for _ in range(10):
        until = float(bench.gate()["block_until"])
        pauses.append((until - bench.now) / 1000)
        bench.set_clock(until)
        lease = bench.turn().lease
        assert lease is not None
        assert lease.probe == "outage"
        assert bench.turn().lease is None, "one probe at a time"
        lesson = Lesson("fail", key="k1", probe=True, why="no answer (timeout)")
        bench.settle(lease, "pending", called=False, used=False, attempt=None, lesson=lesson)
    assert pauses[:5] == pytest.approx([2, 2 * 2, 8, 16, 32], rel=0.01)
    assert max(pauses) <= 180
    assert bench.record("j5").get("used") is None, "a probe that is not answered uses no attempt"


def test_a_good_probe_ends_the_outage_at_once(bench: Bench) -> None:
    outage(bench)
    bench.set_clock(float(bench.gate()["block_until"]))
    probe = bench.take()
    bench.settle(probe, "deleted")
    assert seen(bench) == "ok"
    assert bench.take().probe is None


def test_list_answered_and_delete_not_is_the_jobs_own_fault_and_the_next_is_tried_soon(bench: Bench) -> None:
    outage(bench)
    tried = []
    for _ in range(6):
        bench.set_clock(float(bench.gate()["block_until"]))
        lease = bench.turn().lease
        assert lease is not None
        tried.append(lease.ref.job_id)
        fail(bench, lease, list_ok=True)
        assert float(bench.gate()["block_until"]) - bench.now == pytest.approx(2000, abs=1)
    assert len(set(tried[:5])) == 5, f"different jobs: {tried}"


def test_a_probe_whose_hand_died_is_followed_by_another(bench: Bench) -> None:
    outage(bench)
    bench.set_clock(float(bench.gate()["block_until"]))
    assert bench.take().probe == "outage"
    bench.pass_time(30)
    assert bench.turn().lease is None
    bench.pass_time(31)
    assert bench.take().probe == "outage"


def test_a_late_success_of_a_call_under_way_ends_an_outage(bench: Bench) -> None:
    bench.open()
    many(bench, 20)
    bench.client.hset(bench.p + "gate", "call_ms", "400")
    slow = bench.take()
    for _ in range(5):
        fail(bench, bench.take())
    bench.settle(slow, "deleted")
    assert seen(bench) == "ok"


# -- credentials -----------------------------------------------------------------------------------------------------


def refuse(bench: Bench, lease: Lease, key: str = "k1", **more: object) -> None:
    lesson = Lesson("credentials", key=key, ms=5, probe=bool(lease.probe), why="401 APIGW.0301", **more)  # type: ignore[arg-type]
    bench.settle(lease, "pending", used=False, status=401, lesson=lesson)


def test_a_new_key_starts_with_one_probe(bench: Bench) -> None:
    many(bench, 5)
    lease = bench.take()
    assert lease.probe == "credentials"
    assert bench.turn().lease is None
    bench.settle(lease, "deleted")
    assert bench.take().probe is None


def test_the_first_401_stops_the_account_and_says_so(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take())
    assert seen(bench) == "credentials"
    assert bench.turn().lease is None
    bench.pass_time(59)
    assert bench.turn().lease is None
    bench.pass_time(2)
    assert bench.take().probe == "credentials"


def test_a_call_that_left_before_the_refusal_proves_nothing_about_the_key(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    early, refused = bench.take(), bench.take()
    bench.pass_time(0.1)
    refuse(bench, refused)
    bench.settle(early, "deleted")
    assert seen(bench) == "credentials"
    assert bench.turn().lease is None


def test_a_locked_key_rests_for_the_whole_lock(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take(), locked=True)
    bench.pass_time(299)
    assert bench.turn().lease is None
    bench.pass_time(2)
    assert bench.take().probe == "credentials"


def test_new_credentials_are_tried_at_once_and_open_the_gate(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take())
    lease = bench.take(key="k2")
    assert lease.probe == "credentials"
    bench.settle(lease, "deleted", lesson=Lesson("ok", key="k2", ms=5, probe=True))
    assert seen(bench) == "ok"
    bench.pass_time(1)
    assert bench.turn(key="k1").lease is None, "who still holds the refused key stays out"
    assert bench.take(key="k2").probe is None


def test_resume_tries_a_refused_key_at_once(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    refuse(bench, bench.take())
    assert bench.ledger.resume(why="T-9")[0] == "credentials"
    assert bench.take().probe == "credentials"


# -- the clock, misconfiguration, pause ------------------------------------------------------------------------------


def test_a_measured_skew_is_handed_to_everybody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    lease = bench.take()
    lesson = Lesson("clock", key="k1", skew=1_500_000.0)
    bench.settle(lease, "pending", used=False, status=401, lesson=lesson)
    assert seen(bench) == "clock"
    assert bench.take().skew_ms == 1_500_000
    assert bench.take(worker="w2").skew_ms == 1_500_000


def test_a_small_skew_is_signed_with_and_troubles_nobody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    for skew in (1_500_000.0, 200.0):
        bench.settle(bench.take(), "pending", used=False, lesson=Lesson("clock", key="k1", skew=skew))
    assert seen(bench) == "ok"
    assert bench.take().skew_ms == 200


def test_misconfigured_stops_the_account_and_is_tried_again(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    lesson = Lesson("misconfigured", key="k1", why="403 APIGW.0302")
    bench.settle(bench.take(), "pending", used=False, status=403, lesson=lesson)
    assert seen(bench) == "misconfigured"
    assert bench.turn().lease is None
    bench.pass_time(61)
    lease = bench.take()
    assert lease.probe == "misconfigured"
    bench.settle(lease, "deleted")
    assert seen(bench) == "ok"


def test_five_jobs_forbidden_while_lists_are_answered_are_a_misconfiguration(bench: Bench) -> None:
    bench.open()
    many(bench, 8)
    for _ in range(5):
        fail(bench, bench.take(), forbidden=True, list_ok=True)
    assert seen(bench) == "misconfigured"


def test_a_pause_stops_everything_and_beats_every_other_reason(bench: Bench) -> None:
    outage(bench)
    assert bench.ledger.pause(why="T-1", by="ops") is False
    assert bench.ledger.pause(why="T-2") is True
    assert seen(bench) == "paused"
    bench.pass_time(3600)
    turn = bench.turn()
    assert (turn.lease, turn.wait_s, turn.next_ms) == (None, None, None)
    assert bench.ledger.ring()[0] is None, "nobody is called while it is paused"
    bench.ledger.resume(why="T-9")
    assert bench.turn().lease is not None


def test_pausing_keeps_no_call_under_way_from_settling(bench: Bench) -> None:
    bench.open()
    many(bench, 2)
    lease = bench.take()
    bench.ledger.pause(why="T-1")
    assert bench.settle(lease) == "deleted"


# -- doorbells -------------------------------------------------------------------------------------------------------


def test_one_doorbell_at_a_time_and_a_lost_one_is_rung_again(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    assert bench.ledger.ring()[0] == "1"
    assert bench.ledger.ring()[0] is None
    bench.pass_time(2.1)
    assert bench.ledger.ring()[0] == "2"


def test_nobody_is_called_for_nothing(bench: Bench) -> None:
    bench.open()
    assert bench.ledger.ring() == (None, None, [])
    bench.request("later", delay_s=60)
    assert bench.ledger.ring() == (None, bench.now + 60_000, [])


def test_a_request_in_the_user_lane_rings_at_once(bench: Bench) -> None:
    from worker.ledger.moves import Claim, Ref

    _, bells = bench.ledger.request([Ref(PROJECT, "a")], Claim(lane=Lane.USER))
    assert bells == ["1"]
    _, bells = bench.ledger.request([Ref(PROJECT, "b")], Claim(lane=Lane.BULK))
    assert bells == []


def test_a_hand_that_leaves_for_a_long_call_calls_another(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    bench.client.hset(bench.p + "gate", "call_ms", "400")
    assert bench.turn().bell is not None


def test_a_hand_that_leaves_for_a_short_call_is_back_in_time_and_calls_nobody(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    bench.client.hset(bench.p + "gate", "call_ms", "20")
    assert bench.turn().bell is None


def test_a_hand_that_goes_home_with_work_left_calls_another(bench: Bench) -> None:
    bench.open()
    many(bench, 5)
    assert bench.turn(want=False).bell is not None


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
    ["ok", "fail", "forbidden", "throttled", "retry_after", "key", "locked", "clock", "wrong", "dies"]
)


def lesson_of(trouble: str, lease: Lease) -> Lesson:
    common = Lesson("ok", key="k1", ms=40, probe=bool(lease.probe), why="T")
    return {
        "ok": common,
        "fail": replace(common, kind="fail"),
        "forbidden": replace(common, kind="fail", forbidden=True, list_ok=True),
        "throttled": replace(common, kind="throttled"),
        "retry_after": replace(common, kind="throttled", retry_after=1e9),
        "key": replace(common, kind="credentials"),
        "locked": replace(common, kind="credentials", locked=True),
        "clock": replace(common, kind="clock", skew=9e5),
        "wrong": replace(common, kind="misconfigured"),
    }[trouble]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(troubles=st.lists(st.tuples(TROUBLE, st.floats(0, 400)), max_size=40))
def test_after_any_trouble_a_world_that_is_well_again_finishes_everything(
    redis_server: object, troubles: list[tuple[str, float]]
) -> None:
    """An open breaker always gets its probe, and no deletion waits for ever."""
    client = redis.Redis.from_url(redis_server.url)  # type: ignore[attr-defined]
    client.flushall()
    bench = Bench(client)
    many(bench, 12)
    for trouble, seconds in troubles:
        turn = bench.turn()
        if turn.lease is not None and trouble != "dies":
            to = "deleted" if trouble == "ok" else "pending"
            bench.settle(turn.lease, to, used=False, delay_s=5.0, lesson=lesson_of(trouble, turn.lease))
        bench.pass_time(seconds)
        bench.ledger.rescue(alive=["w1"], counts=True)
    waited = 0.0
    while bench.client.zcard(bench.p + "deleted") < 12:
        assert waited < 3600, f"still not finished: {bench.gate()}"
        turn = bench.turn()
        if turn.lease is not None:
            bench.settle(turn.lease, "deleted")
            continue
        bench.pass_time(1)
        waited += 1
        bench.ledger.rescue(alive=["w1"], counts=True)
        if turn.wait_s is None and turn.next_ms is not None and turn.next_ms <= bench.now:
            bench.client.zremrangebyscore(bench.p + "rung", "-inf", "+inf")
            bench.ledger.ring()
    bench.check_invariant()


def test_where_a_worker_has_nothing_to_sign_with_nobody_is_called_for_a_while(bench: Bench) -> None:
    until = bench.ledger.bar("credentials", "KEY_FILE: it is not there")
    assert until is not None
    bench.request("a")
    assert bench.ledger.ring()[:2] == (None, until)
    assert bench.gate()["block_why"] == "KEY_FILE: it is not there"
    bench.set_clock(until + 1)
    assert bench.ledger.ring()[0] is not None
    lease = bench.take(key="k2")
    assert lease.probe == "credentials", "a key that nobody knows is tried by a harmless list first"
    bench.settle(lease, lesson=Lesson("ok", key="k2", ms=5, probe=True))
    assert "block" not in bench.gate()


def test_one_machine_without_a_key_does_not_stop_those_that_have_one(bench: Bench) -> None:
    bench.open()
    assert bench.ledger.bar("credentials", "KEY_FILE: it is not there") is None
    bench.request("a")
    assert bench.turn().lease is not None
    bench.pass_time(121)
    assert bench.ledger.bar("credentials", "KEY_FILE: it is not there") is not None


def test_lookups_go_on_when_rediss_clock_went_back(bench: Bench) -> None:
    assert bench.ledger.look() == 0
    bench.pass_time(-3600)
    assert bench.ledger.look() == 0
    assert bench.ledger.look() == pytest.approx(bench.ledger.policy.look_interval / 1000)


def test_who_waits_long_for_a_lookup_keeps_the_slot(bench: Bench) -> None:
    while (wait := bench.ledger.look(patience_s=120)) is not None and wait < 100:
        pass
    assert bench.ledger.look() is None, "the queue is longer than this one waits"
    assert bench.ledger.look(patience_s=120) == pytest.approx(100, abs=1)
