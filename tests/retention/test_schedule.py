"""The schedule: each slot once, however many ask; what was missed is made up once; the clock is the test's."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from tests.support.retention import NOW, POLICY, House, job
from worker.execution.app_context import AppContext
from worker.ledger.connection import connect
from worker.ledger.runs import Runs, Slot, SlotState
from worker.retention.schedule import sweep_due
from worker.services import retention as retention_service

DAILY = POLICY + 'schedule = "0 4 * * *"\n'
BEFORE = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_MS = 86_400_000.0


@pytest.fixture
def house(client: redis.Redis, tmp_path: Path) -> House:
    return House(client, tmp_path, DAILY, now=BEFORE)


def runs(house: House) -> list[str]:
    return [run.id for run in reversed(Runs(house.app.ledger("default")).latest(100))]


def tick(house: House, *, days: float = 0, hours: float = 0) -> list[str]:
    house.now += timedelta(days=days, hours=hours)
    return [run.id for run in sweep_due(house.app)]


def test_a_new_policy_begins_with_its_next_slot(house: House) -> None:
    assert tick(house) == []
    assert tick(house, hours=2) == ["old-20261122-0400"]
    assert tick(house) == []


def test_two_beats_for_three_slots_are_three_runs(house: House) -> None:
    other = house.process(house.environ)
    for hours in (0, 2, 24, 24):
        house.now += timedelta(hours=hours)
        for _ in range(3):
            sweep_due(house.app)
            sweep_due(other)
    assert runs(house) == ["old-20261122-0400", "old-20261123-0400", "old-20261124-0400"]


def test_two_beats_at_the_same_moment_are_one_run(redis_url: str, tmp_path: Path) -> None:
    house = House(connect(redis_url), tmp_path, DAILY, now=BEFORE)
    tick(house)
    house.now += timedelta(hours=2)
    together = threading.Barrier(8)
    done: list[str] = []

    def beat() -> None:
        app = house.process(house.environ)
        together.wait()
        done.extend(run.id for run in sweep_due(app))

    threads = [threading.Thread(target=beat) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["old-20261122-0400"]


def test_a_beat_that_was_dead_over_two_slots_makes_up_one(house: House) -> None:
    tick(house)
    tick(house, hours=2)
    assert tick(house, days=2.5) == ["old-20261124-0400"]
    assert tick(house) == []
    assert len(runs(house)) == 2


def test_a_changed_schedule_begins_anew_and_makes_nothing_up(house: House) -> None:
    tick(house)
    house.write(DAILY.replace("0 4", "0 2"))
    assert tick(house) == []
    assert tick(house, days=1) == ["old-20261123-0200"]


def test_a_policy_without_a_schedule_is_left_to_people(house: House) -> None:
    house.write(POLICY)
    assert tick(house, days=3) == []


def test_a_clock_that_goes_back_does_nothing_twice(house: House) -> None:
    tick(house)
    tick(house, days=1.5)
    assert tick(house, days=-1) == []


def test_a_machine_whose_clock_was_years_ahead_stops_no_policy_for_years(house: House) -> None:
    runs, now = Runs(house.app.ledger("default")), time.time() * 1000  # Redis's clock is the judge
    assert runs.begin(Slot("old", "0 4 * * *", now + 400 * DAY_MS), "r1")[0] is SlotState.FIRST
    assert runs.begin(Slot("old", "0 4 * * *", now - DAY_MS), "r2")[0] is SlotState.FIRST, "nothing is made up"
    assert runs.begin(Slot("old", "0 4 * * *", now), "r3")[0] is SlotState.MINE


def test_a_run_that_its_cap_stopped_is_done_and_shows(house: House) -> None:
    house.lister.jobs = [job(f"job-{n}") for n in range(150)]
    tick(house)
    tick(house, hours=2)
    assert house.requested() == set()
    why = [alarm.why for alarm in retention_service.alarms(house.app)]
    assert any("policy old stopped: 150 jobs, and max_jobs is 100" in each for each in why)
    assert tick(house) == [], "the next try is the next slot's"


def test_a_worker_that_was_lost_in_mid_run_is_followed_under_the_same_run(house: House) -> None:
    tick(house)
    house.lister.faults = [403]
    assert tick(house, hours=2) == ["old-20261122-0400"]
    house.lister.jobs = [job("a")]
    assert tick(house) == [], "the claim still holds"
    expire_the_claim(house)
    assert tick(house) == ["old-20261122-0400"]
    assert house.requested() == {"a"}
    assert tick(house) == []
    assert runs(house) == ["old-20261122-0400"]


def test_a_run_that_never_ends_is_left_after_three_tries(house: House) -> None:
    tick(house)
    house.now += timedelta(hours=2)
    for _ in range(5):
        house.lister.faults = [403]
        sweep_due(house.app)
        expire_the_claim(house)
    assert len(house.lister.queries) == 3
    assert tick(house, days=1) == ["old-20261123-0400"], "the next slot is tried all the same"


def expire_the_claim(house: House) -> None:
    name = "eraser:{default}:slots"
    entries = house.client.hget(name, "old")
    assert isinstance(entries, bytes)
    entry = json.loads(entries)
    house.client.hset(name, "old", json.dumps(entry | {"until": 0}))


def test_a_worker_that_stops_leaves_the_slot_to_another_at_once(house: House) -> None:
    tick(house)
    house.lister.jobs = [job("a")]
    house.now += timedelta(hours=2)
    listing = house.lister.list

    def stop(*args: object, **entries: object) -> object:
        house.app.stopping.set()
        house.lister.faults = [500]
        return listing(*args, **entries)  # type: ignore[arg-type]

    house.lister.list = stop  # type: ignore[method-assign, assignment]
    sweep_due(house.app)
    assert house.requested() == set()
    house.lister.list = listing  # type: ignore[method-assign]
    assert [run.id for run in sweep_due(house.process(house.environ))] == ["old-20261122-0400"]
    assert house.requested() == {"a"}


@pytest.mark.parametrize("cause", ["paused", "credentials"])
def test_a_slot_that_fell_into_a_pause_or_a_closure_is_made_up_afterwards(house: House, cause: str) -> None:
    tick(house)
    ledger = house.app.ledger("default")
    ledger.pause(why="T-1") if cause == "paused" else ledger.block_account(cause, "no key")
    assert tick(house, hours=2) == []
    assert house.lister.queries == []
    house.app.ledger("default").resume(why="T-9")
    assert tick(house, hours=5) == ["old-20261122-0400"]


def test_a_wrong_file_runs_nothing_and_says_so(house: House) -> None:
    tick(house)
    house.write("states = 3")
    assert tick(house, days=2) == []
    why = [alarm.why for alarm in retention_service.alarms(house.app)]
    assert len(why) == 1
    assert "no policy can run" in why[0]


def test_one_policys_trouble_does_not_stop_another(house: House) -> None:
    text = house.file.read_text() + "\n[policies.other]\n" + DAILY
    house.file.write_text(text)
    tick(house)
    house.lister.faults = [403]
    assert set(tick(house, hours=2)) == {"old-20261122-0400", "other-20261122-0400"}


def test_a_schedule_that_stands_still_is_told(house: House) -> None:
    (alarm,) = retention_service.alarms(house.app)
    assert "beat was not seen yet" in alarm.why
    tick(house)
    assert list(retention_service.alarms(house.app)) == []
    house.now += timedelta(minutes=10)
    (alarm,) = retention_service.alarms(house.app)
    assert "no beat for 10 min" in alarm.why


def test_a_worker_without_the_file_runs_nothing_and_says_so(house: House) -> None:
    bare = house.process({name: value for name, value in house.environ.items() if name != "ERASER_CONFIG"})
    sweep_due(bare)
    (alarm,) = retention_service.alarms(house.app)
    assert "scheduled runs are off: the worker lacks ERASER_CONFIG" in alarm.why
    assert list(retention_service.alarms(bare)) == [], "where nobody has a policy nothing is missing"


def test_the_next_slot_of_each_policy_is_known(house: House) -> None:
    (one,) = retention_service.upcoming(house.app)
    assert (one.policy.name, one.next, one.last) == ("old", BEFORE + timedelta(hours=1), None)


def test_nothing_is_due_where_there_is_no_file(client: redis.Redis) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": "redis://127.0.0.1:1/0"})
    app.__dict__["redis"] = client
    app.now = lambda: NOW
    assert sweep_due(app) == []
