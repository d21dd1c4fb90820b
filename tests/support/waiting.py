"""Waiting in tests: for something to become true, never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0  # far more than anything takes, on a slow and busy machine too; only a fault of ours reaches it


def wait_until(
    predicate: Callable[[], object], timeout: float = PATIENCE_S, what: str = "", *, every: float = 0.01
) -> None:
    """Return as soon as `predicate()` is true; fail, saying what was awaited, after `timeout` seconds.

    every: seconds between two looks; more where a look costs something.
    """
    end = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout:g} s still not so: {what or predicate}")
        time.sleep(every)


def unless_it_stalls(seconds: float, run: Callable[[], None], tries: int = 3) -> None:
    """For what can only be shown in real time: a run that takes longer than `seconds` and fails shows nothing, because
    this machine may have stood still. It is repeated.
    """
    for left in reversed(range(tries)):
        began = time.monotonic()
        try:
            run()
        except AssertionError:
            if time.monotonic() - began < seconds or left == 0:
                raise
        else:
            return
