"""What may hang ends in time: with its value, its error, or a TimeoutError."""

from __future__ import annotations

import threading

import pytest

from worker.services.redis_ping import in_time


def test_the_value_and_the_error_of_the_work_are_passed_on() -> None:
    assert in_time(lambda: 7, 5.0) == 7
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 5.0)


def test_work_that_hangs_is_left_running_after_a_timeout() -> None:
    done = threading.Event()
    with pytest.raises(TimeoutError):
        in_time(done.wait, 0.01)
    done.set()
