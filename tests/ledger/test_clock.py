"""What time it is: a clock that jumps, Redis's or a caller's, never releases anything, and dates nothing wrongly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.ledgers import PROJECT, START_MS, Bench
from worker.ledger import scripts
from worker.ledger.deletions import Ledger
from worker.ledger.receipts import Receipts
from worker.ledger.runs import Runs, Slot, SlotState
from worker.ledger.types import DeletionRequest
from worker.model.states import Lane
from worker.model.target import Target
from worker.receipts.archiving import archive_day

DAY = 86_400.0
JUMP = 100 * DAY
YEAR = 400 * DAY


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """A ledger that a worker looks at now and then."""
    bench.ledger.look_at_clocks()
    return bench


def wait(bench: Bench, seconds: float) -> None:
    """Time goes by, and the dispatcher looks twice a minute."""
    while seconds > 0:
        bench.pass_time(min(30.0, seconds))
        bench.ledger.look_at_clocks()
        seconds -= 30.0


def jump(bench: Bench, seconds: float) -> None:
    """Redis's clock alone steps, half a second after somebody looked."""
    bench.pass_time(0.5)
    bench.jump(seconds)


def due(bench: Bench, job: str) -> float:
    """When it is due, in seconds from now as the callers' clocks have it."""
    lane = bench.record(job)["lane"]
    at: Any = bench.client.zscore(bench.p + f"due:{lane}", f"{PROJECT}/{job}")
    return float((at - bench.true_now) / 1000)


def seconds_from_now(bench: Bench, job: str, name: str) -> float:
    return (float(bench.record(job)[name]) - bench.true_now) / 1000


def another_process(bench: Bench, ahead_s: float) -> Ledger:
    """A caller whose clock is so far ahead of everybody else's."""

    def clocks() -> tuple[float, ...]:
        return tuple(clock + ahead_s for clock in bench.clocks())

    return Ledger(bench.client, "default", bench.ledger.policy, clock=bench.ledger.clock, clocks=clocks)


# -- Redis's clock jumps ahead -----------------------------------------------------------------------------------------


def test_a_hold_until_january_outlives_redis_jumping_to_march(bench: Bench) -> None:
    bench.request("a")
    bench.holds.add([Target(PROJECT, "a")], why="T-1", by="ops", until_ms=bench.now + 40 * DAY * 1000)
    jump(bench, JUMP)
    assert bench.holds.release_in_time() == 0
    assert bench.turn().lease is None
    assert bench.state("a") == "held"
    wait(bench, 60)
    bench.jump(-JUMP)
    assert bench.holds.release_in_time() == 0
    bench.pass_time(40 * DAY)
    assert bench.holds.release_in_time() == 1, "in January it goes on"


def test_a_grace_and_a_deadline_outlive_a_jump_and_what_is_urgent_goes_on(bench: Bench) -> None:
    bench.request("in-its-grace", delay_s=DAY)
    bench.request("overdue", deadline_s=0.3)
    bench.request("tomorrow", delay_s=DAY, lane=Lane.USER)
    jump(bench, JUMP)
    bench.request("now")
    assert bench.take().ref.id == "now"
    bench.request("a-person", lane=Lane.USER)
    assert bench.take().ref.id == "a-person"
    assert bench.turn().lease is None
    assert [bench.state(job) for job in ("in-its-grace", "overdue", "tomorrow")] == ["pending"] * 3
    bench.jump(-JUMP)
    bench.pass_time(1)
    assert bench.turn().lease is None
    assert bench.record("overdue")["cause"] == "deadline", "it was over before"
    bench.pass_time(DAY)
    assert [bench.take().ref.id for _ in range(2)] == ["tomorrow", "in-its-grace"]


def test_what_is_dated_in_a_jump_is_dated_right(bench: Bench) -> None:
    bench.request("before")
    lease = bench.take()
    jump(bench, JUMP)
    bench.settle(lease, "pending", delay_s=30, wait="retry")
    assert due(bench, "before") == pytest.approx(30)
    bench.request("later", delay_s=DAY, deadline_s=2 * DAY)
    assert due(bench, "later") == pytest.approx(DAY)
    assert seconds_from_now(bench, "later", "at") == pytest.approx(0, abs=1)
    assert seconds_from_now(bench, "later", "dl") == pytest.approx(2 * DAY)
    wait(bench, 30)
    again = bench.take()
    assert again.ref.id == "before", "a retry comes when it is due: neither at once, nor in 99 days"
    bench.jump(-JUMP)
    bench.settle(again, "pending", delay_s=600, wait="retry")
    assert due(bench, "before") == pytest.approx(600)


def test_the_attempts_of_a_whole_schedule_are_not_used_up_in_a_jump(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", delay_s=3600, wait="retry")
    jump(bench, JUMP)
    assert bench.turn().lease is None
    wait(bench, 120)
    assert bench.turn().lease is None


def test_no_lease_ends_in_a_jump_and_each_is_rescued_when_it_is_over(bench: Bench) -> None:
    bench.request("a")
    bench.take()
    jump(bench, JUMP)
    rescued, again = bench.ledger.rescue(alive=[], counts=True)
    assert rescued == []
    assert again is not None
    assert again > bench.true_now, "and nobody asks in a circle"
    wait(bench, 90)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == []
    bench.jump(-JUMP)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == [(Target(PROJECT, "a"), "pending")]


def test_a_lease_that_was_taken_while_time_stood_still_lasts_as_long_as_it_was_meant_to(bench: Bench) -> None:
    """Nobody looked for more than a minute around the step, so the ledger's time is behind until the clocks agree."""
    bench.request("a")
    bench.jump(-JUMP)
    bench.pass_time(61)
    bench.take()
    bench.pass_time(20)
    bench.jump(JUMP)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == [], "its holder may still call"
    assert 39 <= first_after(bench, lambda: bench.ledger.rescue(alive=[], counts=True)[0]) <= 62


def test_nothing_is_forgotten_in_a_jump(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take())
    bench.ledger.pause(why="T-1", by="ops")
    bench.ledger.resume(why="T-2", by="ops")
    before = sorted(bench.client.keys(bench.p + "*"))
    jump(bench, 2 * YEAR)
    assert bench.ledger.forget(keep_s=YEAR) == 0
    assert sorted(bench.client.keys(bench.p + "*")) == before
    bench.jump(-2 * YEAR)
    bench.pass_time(2 * YEAR)
    assert bench.ledger.forget(keep_s=YEAR) > 0


def test_an_operation_is_done_once_however_redis_s_clock_jumps_between(bench: Bench) -> None:
    """The answer was lost, the clock jumped, and it is sent again: with an expiry of Redis's it ran twice."""
    move = scripts.load("replay", clock=bench.ledger.clock)
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="refused", used=True)
    options = json.dumps({"why": "T-1", "deadline": 1e9}) + "\n" + bench.ledger.gate_options
    first = move.run(bench.client, bench.p, "caller", 1, options, f"{PROJECT}/a")
    bench.settle(bench.take(), "dead", cause="refused", used=True)
    bench.jump(JUMP)
    assert move.run(bench.client, bench.p, "caller", 1, options, f"{PROJECT}/a") == first
    assert bench.record("a")["round"] == "2"


def test_no_key_of_the_ledger_that_a_promise_needs_expires(bench: Bench) -> None:
    bench.request("a", "b", run="r1")
    bench.client.zadd(bench.p + "runs", {"r1": bench.now})
    bench.client.hset(bench.p + "run:r1", "policy", "p")
    bench.settle(bench.take())
    bench.pass_time(1)
    bench.turn()  # what was counted in a second is added up
    bench.ledger.pause(why="T-1", by="ops")
    names = [name.decode() for name in bench.client.keys(bench.p + "*")]
    expire = {name.removeprefix(bench.p).partition(":")[0] for name in names if bench.client.pttl(name) != -1}
    assert expire == {"ends"}, "how many ended in which minute: figures for people"


def test_a_slot_of_a_schedule_is_not_begun_in_a_jump(bench: Bench) -> None:
    runs, today = Runs(bench.ledger), START_MS + 1000.0
    runs.begin(Slot("old", "daily", today), "run-0")
    jump(bench, JUMP)
    assert runs.begin(Slot("old", "daily", today + JUMP * 1000), "run-1")[0] is SlotState.BUSY
    bench.jump(-JUMP)
    bench.pass_time(DAY)
    assert runs.begin(Slot("old", "daily", today + DAY * 1000), "run-2")[0] is SlotState.MINE


def test_receipts_of_a_jump_are_dated_right_and_archived_the_next_day(bench: Bench, tmp_path: Any) -> None:
    bench.request("a", "b", "c")
    bench.settle(bench.take())
    jump(bench, JUMP)
    bench.settle(bench.take())
    bench.jump(-JUMP)
    bench.settle(bench.take())
    entries = list(Receipts(bench.client, "default").each())
    assert all(abs(int(entry.id.split("-")[0]) - bench.now) < 60_000 for entry in entries)
    assert all(abs(entry.settled_ms - bench.now) < 60_000 for entry in entries)
    assert [entry.n for entry in entries] == [1, 2, 3]
    assert archive_day(bench.ledger, tmp_path, now_ms=bench.now + DAY * 1000) == 3


# -- Redis's clock goes back -------------------------------------------------------------------------------------------


def test_when_redis_s_clock_goes_back_everything_goes_on_as_if_nothing_had_happened(bench: Bench) -> None:
    bench.request("retried", "taken")
    first, second = bench.take(), bench.take()
    bench.settle(first, "pending", delay_s=30, wait="retry")
    jump(bench, -3600)
    bench.request("new")
    assert bench.take().ref.id == "new"
    wait(bench, 30)
    assert bench.take().ref == first.ref
    assert bench.settle(second) == "deleted"
    bench.jump(3600)
    bench.request("last", delay_s=10)
    assert bench.turn().lease is None
    bench.pass_time(10)
    assert bench.take().ref.id == "last"


def test_a_grace_is_not_cut_short_by_a_clock_that_was_behind_when_it_began(bench: Bench) -> None:
    jump(bench, -3600)
    bench.request("a", delay_s=7200)
    bench.jump(3600)
    bench.pass_time(7000)
    assert bench.turn().lease is None
    bench.pass_time(300)
    assert bench.take().ref.id == "a"


# -- whose clock is it? ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [JUMP, -JUMP, 7200, -7200])
def test_a_worker_whose_own_clock_is_wrong_releases_nothing_and_stops_nobody(bench: Bench, ahead_s: float) -> None:
    wrong = another_process(bench, ahead_s)
    bench.request("grace", delay_s=60)
    bench.request("now")
    lease = wrong.take(worker="w2", key="k1").lease
    assert lease is not None
    assert lease.ref.id == "now", "what nobody has to wait for it does like everybody else"
    assert not wrong.clocks_agree
    assert wrong.take(worker="w2", key="k1").lease is None
    wait(bench, 90)
    assert wrong.take(worker="w2", key="k1").lease is None
    assert wrong.rescue(alive=[], counts=True)[0] == []
    assert wrong.forget(keep_s=0) == 0
    assert bench.take().ref.id == "grace", "the others do"
    wrong.request([Target(PROJECT, "by-the-wrong-one")], DeletionRequest(delay_s=600))
    assert due(bench, "by-the-wrong-one") == pytest.approx(600), "and it dates like everybody else"


@pytest.mark.parametrize("ahead_s", [-7200, 7200, JUMP])
def test_a_single_worker_with_a_wrong_clock_releases_nothing_early(bench: Bench, ahead_s: float) -> None:
    """Nobody else looks, for hours: the one that comes then has only its own word."""
    bench.request("grace", delay_s=3 * DAY)
    bench.pass_time(DAY)
    wrong = another_process(bench, ahead_s)
    for _ in range(5):
        assert wrong.take(worker="w2", key="k1").lease is None
        bench.pass_time(600)
    assert bench.state("grace") == "pending"
    assert due(bench, "grace") == pytest.approx(2 * DAY - 3000)


def test_metastudios_clock_speaks_for_redis_s_where_the_workers_is_wrong(bench: Bench) -> None:
    wrong = another_process(bench, -JUMP)
    own = wrong.clocks
    wrong.clocks = lambda: (*own(), *bench.clocks())
    bench.request("grace", delay_s=60)
    bench.pass_time(61)
    lease = wrong.take(worker="w2", key="k1").lease
    assert lease is not None
    assert wrong.clocks_agree


@pytest.mark.parametrize("ahead_s", [-7200, 7200])
def test_a_producer_with_a_wrong_clock_shortens_no_grace_when_no_worker_is_there(bench: Bench, ahead_s: float) -> None:
    bench.pass_time(DAY)
    another_process(bench, ahead_s).request([Target(PROJECT, "a")], DeletionRequest(delay_s=3600, deadline_s=DAY))
    assert due(bench, "a") >= 3600
    bench.ledger.look_at_clocks()
    assert due(bench, "a") == pytest.approx(3600), "a worker sees what time it is, and puts it right"
    assert seconds_from_now(bench, "a", "dl") == pytest.approx(DAY, abs=1)


def test_a_moment_is_a_moment_whatever_redis_s_clock_says(bench: Bench) -> None:
    """`--at`: a delay from a clock that had jumped would be over at once."""
    january = bench.now + 40 * DAY * 1000
    jump(bench, JUMP)
    bench.request("a", after_ms=january, deadline_s=60 * DAY)
    bench.jump(-JUMP)
    assert bench.turn().lease is None
    assert due(bench, "a") == pytest.approx(40 * DAY, abs=1)


# -- all clocks jumped, and came back ----------------------------------------------------------------------------------


def everybody_jumps(bench: Bench, seconds: float) -> None:
    """Redis and whoever asks now run on one machine, whose clock jumped."""
    bench.pass_time(seconds)


def test_what_was_asked_for_while_every_clock_had_jumped_counts_from_now(bench: Bench) -> None:
    bench.request("before", delay_s=60 * DAY)
    everybody_jumps(bench, JUMP)
    bench.request("now", "later-too")
    bench.request("later", delay_s=3600, deadline_s=DAY)
    bench.request("before", by="somebody-else")
    everybody_jumps(bench, -JUMP)
    bench.ledger.look_at_clocks()
    assert due(bench, "now") == pytest.approx(0)
    assert due(bench, "later") == pytest.approx(3600)
    assert seconds_from_now(bench, "later", "dl") == pytest.approx(DAY)
    assert seconds_from_now(bench, "later", "at") == pytest.approx(0)
    assert due(bench, "before") == pytest.approx(0), "somebody asked for it at once"
    assert {bench.take().ref.id for _ in range(3)} == {"now", "later-too", "before"}


def test_a_retry_that_was_dated_while_every_clock_had_jumped_comes_when_it_would_have(bench: Bench) -> None:
    bench.request("a", deadline_s=YEAR)
    bench.request("grace-of-before", delay_s=120 * DAY, deadline_s=YEAR)
    everybody_jumps(bench, JUMP)
    bench.settle(bench.take(), "pending", delay_s=600, wait="retry")
    everybody_jumps(bench, -JUMP)
    bench.ledger.look_at_clocks()
    assert due(bench, "a") == pytest.approx(600, abs=1)
    assert due(bench, "grace-of-before") == pytest.approx(120 * DAY), "no grace is ever shortened"


def test_thousands_are_dated_anew_bit_by_bit(bench: Bench) -> None:
    bench.request("grace", delay_s=DAY)
    everybody_jumps(bench, JUMP)
    for start in range(0, 1300, 100):
        bench.request(*(f"j{n}" for n in range(start, start + 100)))
    everybody_jumps(bench, -JUMP)
    bench.ledger.look_at_clocks()
    late: Any = bench.client.zcount(bench.p + "due:bulk", bench.now + 1, "+inf")
    assert late == 1
    assert not bench.client.hexists(bench.p + "clock", "check")


def test_receipts_that_were_dated_while_every_clock_had_jumped_wait_for_no_date(bench: Bench, tmp_path: Any) -> None:
    bench.request("a", "b", "c", deadline_s=YEAR)
    bench.settle(bench.take())
    everybody_jumps(bench, JUMP)
    bench.settle(bench.take())
    everybody_jumps(bench, -JUMP)
    bench.settle(bench.take())
    assert [entry.n for entry in Receipts(bench.client, "default").each()] == [1, 2, 3]
    assert archive_day(bench.ledger, tmp_path, now_ms=bench.now + DAY * 1000) == 3
    (file,) = (tmp_path / "default").iterdir()
    assert file.name == "2027-01-15.jsonl"


# -- whatever is dated in the future binds nobody for long (all clocks went back by an hour) ---------------------------


def first_after(bench: Bench, happens: Any) -> float:
    """After how many seconds it happens; asked each second."""
    began = bench.now
    for _ in range(4000):
        if happens():
            return (bench.now - began) / 1000
        bench.pass_time(1)
    raise AssertionError("never")


def goes_back(bench: Bench, seconds: float = 3600) -> None:
    bench.pass_time(-seconds)


@pytest.mark.parametrize("seconds", [5, 90, 3600, JUMP])
def test_after_a_step_back_somebody_is_rung_for_at_once(bench: Bench, seconds: float) -> None:
    bench.request("a")
    assert bench.ledger.due_wakeup()[0]
    goes_back(bench, seconds)
    bench.request("b")
    assert first_after(bench, lambda: bench.ledger.due_wakeup()[0]) <= 3


def test_after_a_step_back_an_executor_that_waited_and_was_killed_binds_nobody(bench: Bench) -> None:
    bench.request("a", "b", "c")
    bench.client.hset(bench.p + "gate", "person_at", str(bench.now))
    lease = bench.take()
    assert bench.turn(worker="w2").wait_s
    bench.settle(lease)
    goes_back(bench)
    bench.request("d")
    assert first_after(bench, lambda: bench.ledger.due_wakeup()[0]) <= 3


def test_after_a_step_back_a_lease_lasts_as_long_as_it_was_meant_to(bench: Bench) -> None:
    bench.request("a")
    bench.take()
    goes_back(bench)
    lasted = first_after(bench, lambda: bench.ledger.rescue(alive=[], counts=True)[0])
    assert 59 <= lasted <= 62, "and no less: its holder may still call"


def test_after_a_step_back_a_probe_of_a_worker_that_is_gone_lasts_as_long_as_a_lease(bench: Bench) -> None:
    bench.client.delete(bench.p + "gate")
    bench.request("a", "b")
    assert bench.turn().trial is not None
    goes_back(bench)
    assert first_after(bench, lambda: bench.turn().trial) <= 62


def test_after_a_step_back_a_throttling_lasts_as_long_as_it_was_meant_to(bench: Bench) -> None:
    bench.request("a", "b")
    bench.client.hset(bench.p + "gate", "throttled_until", str(bench.now + 20_000))
    goes_back(bench)
    assert 19 <= first_after(bench, lambda: bench.turn().lease) <= 22


def test_after_a_step_back_what_is_closed_is_tried_after_its_pause(bench: Bench) -> None:
    bench.request("a", "b")
    outage = {"cause": "outage", "why": "500", "since": bench.now, "until": bench.now + 20_000, "pause": 20_000}
    bench.client.hset(bench.p + "closures", "account", json.dumps(outage))
    bench.client.zadd(bench.p + "probes", {"account": bench.now + 20_000})
    bench.client.hset(bench.p + "gate", "closed", "1")
    goes_back(bench)
    assert 19 <= first_after(bench, lambda: bench.turn().trial) <= 22


def test_after_a_step_back_a_claim_on_a_slot_binds_for_its_lease_alone(bench: Bench) -> None:
    runs = Runs(bench.ledger)
    runs.begin(Slot("old", "daily", bench.now), "run-0")
    assert runs.begin(Slot("old", "daily", bench.now + DAY * 1000), "run-1")[0] is SlotState.MINE
    goes_back(bench, 2 * DAY)
    assert runs.begin(Slot("old", "daily", bench.now + 3 * DAY * 1000), "run-2")[0] is SlotState.MINE


def test_after_a_step_back_no_deadline_is_lost_to_a_hold(bench: Bench) -> None:
    bench.request("a", deadline_s=DAY)
    bench.holds.add([Target(PROJECT, "a")], why="T-1", by="ops")
    goes_back(bench, 2 * DAY)
    bench.holds.remove([Target(PROJECT, "a")])
    assert bench.take().ref.id == "a"
