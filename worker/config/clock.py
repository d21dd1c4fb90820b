"""The current time, by a clock that does not step: the machine's clock may be set, jump or be wrong.

The process's clock starts with the machine's and continues with a clock that also counts while the machine sleeps. It
follows the machine's clock while that only drifts; a step is accepted if MetaStudio's clock agrees with it, or after
ten minutes in which MetaStudio's clock did not contradict it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

Clocks = Callable[[], Sequence[float]]  # Unix times (s): of this process, and of MetaStudio if known

STEP_S: Final = 10.0  # a machine's clock that differs by more from the expected time has stepped
SAME_S: Final = 60.0  # clocks that differ by at most this agree
BELIEVED_S: Final = 600.0


def elapsed() -> float:
    """Seconds since some moment. They also count while the machine sleeps, if the system supports it."""
    return time.clock_gettime(_ELAPSED)


_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # on macOS the second one counts sleep


class SteadyClock:
    """Unix time that does not step. Thread-safe, and without a lock that a fork could leave taken."""

    def __init__(self, machine: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed) -> None:
        self._machine, self._elapsed = machine, elapsed
        self._ahead = machine() - elapsed()  # of this clock
        self._stepped: tuple[float, float] | None = None  # the same of the machine's clock, and since when
        self._metastudio: float | None = None  # the same of MetaStudio's clock

    def time(self) -> float:
        """Unix time, in seconds."""
        passed = self._elapsed()
        ahead = self._machine() - passed
        if abs(ahead - self._ahead) <= STEP_S or self._believes(ahead, passed):
            self._ahead, self._stepped = ahead, None
        return self._ahead + passed

    def _believes(self, ahead: float, passed: float) -> bool:
        """Whether to follow a step of the machine's clock."""
        if self._metastudio is not None:
            return abs(ahead - self._metastudio) <= SAME_S
        stepped = self._stepped
        if stepped is None or abs(ahead - stepped[0]) > STEP_S:
            self._stepped = ahead, passed
            return False
        return passed - stepped[1] >= BELIEVED_S

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def hear(self, metastudio: float) -> None:
        """Take note of MetaStudio's time at this moment (Unix time, in seconds)."""
        self._metastudio = metastudio - self._elapsed()

    def witnesses(self) -> tuple[float, ...]:
        """The time of this clock, and of MetaStudio's if known."""
        own, metastudio = self.time(), self._metastudio
        return (own,) if metastudio is None else (own, metastudio + self._elapsed())


def spoken(clocks: Sequence[float]) -> str:
    """In ms, in the form that scripts take after an operation's number."""
    return "".join(f" @{seconds * 1000:.0f}" for seconds in clocks)


PROCESS: Final = SteadyClock()
