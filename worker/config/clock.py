"""What time it is, by a clock that does not step: the machine's may be set, jump or be wrong.

The process's clock begins with the machine's and goes on with time that also counts while the machine sleeps. It
follows the machine's as long as that drifts; a step is believed when MetaStudio's clock agrees with it, or after ten
minutes in which MetaStudio said nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

Clocks = Callable[[], Sequence[float]]  # Unix times (s): by this process, and by MetaStudio where it was heard

STEP_S: Final = 10.0  # a machine's clock that differs by more from what was reckoned has stepped
SAME_S: Final = 60.0  # clocks that differ by no more agree
BELIEVED_S: Final = 600.0


def elapsed() -> float:
    """Seconds since some moment; they also count while the machine sleeps, where the system can tell."""
    return time.clock_gettime(_ELAPSED)


_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS counts sleep in the second


class SteadyClock:
    """Unix time that does not step. Thread-safe, and without a lock that a fork could leave taken."""

    def __init__(self, machine: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed) -> None:
        self._machine, self._elapsed = machine, elapsed
        self._ahead = machine() - elapsed()  # of this clock
        self._stepped: tuple[float, float] | None = None  # the same by the machine's clock, and since when
        self._heard: float | None = None  # the same by MetaStudio's clock

    def time(self) -> float:
        """Unix time, in seconds."""
        passed = self._elapsed()
        ahead = self._machine() - passed
        if abs(ahead - self._ahead) <= STEP_S or self._believes(ahead, passed):
            self._ahead, self._stepped = ahead, None
        return self._ahead + passed

    def _believes(self, ahead: float, passed: float) -> bool:
        """Whether a step of the machine's clock is followed."""
        if self._heard is not None:
            return abs(ahead - self._heard) <= SAME_S
        stepped = self._stepped
        if stepped is None or abs(ahead - stepped[0]) > STEP_S:
            self._stepped = ahead, passed
            return False
        return passed - stepped[1] >= BELIEVED_S

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def hear(self, metastudio: float) -> None:
        """What time it is by MetaStudio's clock at this moment (Unix time, in seconds)."""
        self._heard = metastudio - self._elapsed()

    def witnesses(self) -> tuple[float, ...]:
        """By this clock, and by MetaStudio's where it was heard."""
        own, heard = self.time(), self._heard
        return (own,) if heard is None else (own, heard + self._elapsed())


def spoken(clocks: Sequence[float]) -> str:
    """In ms, as scripts hear them behind an operation's number."""
    return "".join(f" @{seconds * 1000:.0f}" for seconds in clocks)


PROCESS: Final = SteadyClock()
