"""How long a deletion waits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.backoff import JITTER, RETRY_AFTER_MOST_S, THROTTLED_MOST_S, THROTTLED_RETRY_AFTER_MOST_S, Backoff

SCHEDULE = Backoff(retry=(10.0, 30.0, 120.0), not_deletable=(60.0, 600.0))
RANDOM = st.floats(0, 1, exclude_max=True)
STEPS = st.lists(st.floats(0.05, 86400), min_size=1, max_size=12).map(tuple)
TIMES = st.integers(1, 1000)


def test_there_is_one_attempt_more_than_steps() -> None:
    assert SCHEDULE.attempts == 4
    assert Backoff((), ()).attempts == 1


@pytest.mark.parametrize(("used", "wait"), [(1, 10.0), (2, 30.0), (3, 120.0), (4, None), (400, None)])
def test_the_nth_failure_waits_the_nth_step_and_after_the_last_step_no_attempt_is_left(
    used: int, wait: float | None
) -> None:
    assert SCHEDULE.after_failure(used, random=0.0) == wait


def test_without_steps_the_first_failure_is_the_last() -> None:
    assert Backoff((), (1.0,)).after_failure(1, random=0.0) is None


@given(STEPS, TIMES, RANDOM)
def test_jitter_is_only_added_and_at_most_a_fifth(steps: tuple[float, ...], times: int, random: float) -> None:
    schedule = Backoff(steps, steps)
    waits = {
        "failure": (schedule.after_failure(times, random=random), schedule.after_failure(times, random=0.0)),
        "not deletable": (
            schedule.while_not_deletable(times, random=random),
            schedule.while_not_deletable(times, random=0.0),
        ),
        "patience": (schedule.patiently(times, random=random), schedule.patiently(times, random=0.0)),
        "throttled": (schedule.while_throttled(times, random=random), schedule.while_throttled(times, random=0.0)),
        "look": (schedule.look_again(random=random), schedule.look_again(random=0.0)),
    }
    for name, (wait, step) in waits.items():
        if wait is None or step is None:
            assert wait is step is None, name
        else:
            assert step <= wait <= step * (1 + JITTER) + 1e-9, name
            assert wait > 0, f"{name}: a wait of nothing is a loop"


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(None, 10.0), (0.0, 10.0), (9.0, 10.0), (11.0, 11.0), (1e12, RETRY_AFTER_MOST_S)]
)
def test_a_retry_after_is_respected_up_to_a_day(retry_after: float | None, wait: float) -> None:
    assert SCHEDULE.after_failure(1, random=0.0, retry_after_s=retry_after) == wait


def test_a_retry_after_gives_no_attempt_back() -> None:
    assert SCHEDULE.after_failure(4, random=0.0, retry_after_s=5.0) is None


@pytest.mark.parametrize(("times", "wait"), [(1, 60.0), (2, 600.0), (3, 600.0), (1000, 600.0)])
def test_the_last_step_of_not_deletable_repeats(times: int, wait: float) -> None:
    assert SCHEDULE.while_not_deletable(times, random=0.0) == wait


@pytest.mark.parametrize(("times", "wait"), [(1, 10.0), (3, 120.0), (4, 120.0), (10**6, 120.0)])
def test_patience_grows_to_the_last_step_and_never_ends(times: int, wait: float) -> None:
    assert SCHEDULE.patiently(times, random=0.0) == wait
    assert Backoff((), ()).patiently(times, random=0.0) > 0


@pytest.mark.parametrize(("first", "wait"), [(10.0, 60.0), (600.0, 60.0), (0.5, 3.0)])
def test_the_second_look_comes_after_about_a_minute_or_less_on_a_shortened_schedule(first: float, wait: float) -> None:
    assert Backoff((first,), (1.0,)).look_again(random=0.0) == wait


@pytest.mark.parametrize(("times", "wait"), [(1, 1.0), (2, 2.0), (6, 32.0), (7, THROTTLED_MOST_S), (10**9, 60.0)])
def test_a_job_that_is_throttled_for_ever_is_asked_for_ever_more_rarely(times: int, wait: float) -> None:
    assert SCHEDULE.while_throttled(times, random=0.0) == wait


@given(TIMES, RANDOM, st.floats(0, 1e15))
def test_no_retry_after_puts_a_throttled_job_off_for_good(times: int, random: float, retry_after: float) -> None:
    wait = SCHEDULE.while_throttled(times, random=random, retry_after_s=retry_after)
    assert min(retry_after, THROTTLED_RETRY_AFTER_MOST_S) <= wait
    assert wait <= max(THROTTLED_RETRY_AFTER_MOST_S, THROTTLED_MOST_S * (1 + JITTER))
    assert math.isfinite(wait)
