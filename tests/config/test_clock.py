"""Clocks that do not step: this process's own, and MetaStudio's as it was heard."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from worker.config.clock import BELIEVED_S, SteadyClock, spoken
from worker.metastudio.server_clock import OLD_S, ServerClock

START = 1_800_000_000.0


class World:
    """A machine whose clock can be set, and true time, which only goes by."""

    def __init__(self, error_s: float = 0.0) -> None:
        self.passed, self.error = 0.0, error_s
        self.clock = SteadyClock(lambda: START + self.passed + self.error, lambda: self.passed)

    @property
    def apart(self) -> float:
        """How far the clock is ahead of true time."""
        return self.clock.time() - START - self.passed


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("step", [3600.0, -3600.0, 8_640_000.0])
def test_a_step_of_the_machines_clock_is_not_followed(world: World, step: float) -> None:
    world.error = step
    assert world.apart == pytest.approx(0)
    world.passed += 60
    assert world.apart == pytest.approx(0)
    world.error = 0
    world.passed += 60
    assert world.apart == pytest.approx(0)


def test_a_machine_that_drifts_or_is_slewed_is_followed(world: World) -> None:
    for _ in range(100):
        world.passed += 60
        world.error += 1.0
        assert world.apart == pytest.approx(world.error)


def test_a_step_that_stays_for_ten_minutes_is_believed_where_metastudio_was_never_heard(world: World) -> None:
    world.error = 3600
    assert world.apart == pytest.approx(0)
    world.passed += BELIEVED_S - 1
    assert world.apart == pytest.approx(0)
    world.passed += 2
    assert world.apart == pytest.approx(3600)


def test_a_step_that_metastudios_clock_contradicts_is_never_believed(world: World) -> None:
    world.clock.hear(START + world.passed)
    world.error = 3600
    for _ in range(100):
        world.passed += 60
        assert world.apart == pytest.approx(0)


def test_a_wrong_clock_that_is_put_right_is_followed_at_once_if_metastudio_agrees() -> None:
    world = World(error_s=-7200)
    assert world.apart == pytest.approx(-7200)
    world.clock.hear(START + world.passed)
    world.error = 0
    assert world.apart == pytest.approx(0)


def test_both_clocks_are_told_to_the_ledger(world: World) -> None:
    assert spoken(world.clock.witnesses()) == " @1800000000000"
    world.clock.hear(START + 5)
    world.passed += 1
    assert spoken(world.clock.witnesses()) == " @1800000001000 @1800000006000"


# -- what calls are signed with ----------------------------------------------------------------------------------------


def server_clock(world: World) -> ServerClock:
    return ServerClock(world.clock, lambda: world.passed)


def test_before_anything_was_heard_others_are_believed_and_then_the_machine(world: World) -> None:
    clock = server_clock(world)
    assert clock.now() == datetime.fromtimestamp(START, UTC)
    others = datetime(2027, 1, 1, tzinfo=UTC)
    assert clock.now(others) == others


def test_what_was_heard_goes_on_whatever_the_machines_clock_does(world: World) -> None:
    clock, date = server_clock(world), datetime(2027, 3, 1, tzinfo=UTC)
    clock.note(date)
    world.error, world.passed = 8_640_000.0, 30.0
    assert clock.now() == date + timedelta(seconds=30)
    assert clock.now(datetime(2030, 1, 1, tzinfo=UTC)) == date + timedelta(seconds=30), "it was heard a moment ago"
    world.passed = OLD_S + 1
    others = datetime(2027, 3, 2, tzinfo=UTC)
    assert clock.now(others) == others, "others have heard something since"
    assert clock.now() == date + timedelta(seconds=OLD_S + 1)


def test_what_others_found_out_is_told_with_its_age_and_goes_on(world: World) -> None:
    clock, reported = server_clock(world), datetime(2027, 3, 1, tzinfo=UTC)
    clock.note_others(reported + timedelta(hours=1), 5.0)
    clock.note_others(reported, 4.0)
    assert clock.now() == reported
    world.error, world.passed = 8_640_000.0, 30.0
    assert clock.now() == reported + timedelta(seconds=30)
    assert spoken(world.clock.witnesses()) == f" @{(START + 30) * 1000:.0f}", "it is no witness: nobody heard it here"
    clock.note_date(DATE)
    assert clock.now() == reported, "an answer's own Date is better"


def test_of_two_words_on_the_time_the_one_that_was_heard_later_counts(world: World) -> None:
    clock, date, reported = server_clock(world), datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)
    clock.note(date)
    world.passed = 10.0
    for earlier in (10.0, 11.0, math.inf):
        clock.note_others(reported, earlier)
        assert clock.now() == date + timedelta(seconds=10)
    clock.note_others(reported, 9.0)
    assert clock.now() == reported
    world.passed = 12.0
    assert clock.now() == reported + timedelta(seconds=2)
    clock.note(date)
    assert clock.now() == date


DATE, STEPPED = "Mon, 01 Mar 2027 00:00:00 GMT", "Mon, 01 Mar 2027 00:20:00 GMT"


def test_a_date_that_steps_is_heard_at_once(world: World) -> None:
    clock = server_clock(world)
    clock.note_date(DATE)
    world.passed = 0.1
    clock.note_date(STEPPED)
    assert clock.now() == datetime(2027, 3, 1, 0, 20, tzinfo=UTC)


def test_the_same_date_again_says_nothing_new(world: World) -> None:
    """Time goes on within a second, and a server that always says the same is no clock."""
    clock = server_clock(world)
    clock.note_date(DATE)
    for passed in (0.9, 30.0):
        world.passed = passed
        for text in (DATE, None, "yesterday"):
            clock.note_date(text)
        assert clock.now() == datetime(2027, 3, 1, tzinfo=UTC) + timedelta(seconds=passed)
