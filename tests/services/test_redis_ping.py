"""What may hang ends in time: with its value, its error, or a TimeoutError."""

from __future__ import annotations

import json
import subprocess
import sys
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


def test_a_program_waits_for_redis_no_longer_than_it_promises() -> None:
    """In a process of its own: tests wait longer."""
    names = ("ledger.connection.TIMEOUT_S", "services.redis_ping.PATIENCE_S", "services.doctor.broker_checks.CONNECT_S")
    modules = "\n".join(f"import worker.{name.rpartition('.')[0]}" for name in names)
    program = f"{modules}\nprint([{', '.join(f'worker.{name}' for name in names)}])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    answer, ping, broker = json.loads(ended.stdout)
    assert answer <= 5
    assert ping < 4, "with the start of the program less than the promised 5 s"
    assert broker <= 5
