"""A machine that sleeps: its time goes on, and of what this process measures only `worker.config.clock.elapsed`
sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def sleeper(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """What makes the machine sleep for so many seconds, at once."""
    awake, slept = time.clock_gettime, 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds

    monkeypatch.setattr(time, "clock_gettime", lambda clock: awake(clock) + slept)
    return sleep
