"""MetaStudio's clock as this process knows it: what was heard of it last, and the time that has passed since.

Calls are signed by it. So a machine whose own clock is wrong, or jumps, is refused nothing: the first answer says what
time it is, and nothing that steps takes part from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.clock import PROCESS, SteadyClock, elapsed

FRESH_S: Final = 1.0  # an answer's Date is read so often at most
OLD_S: Final = 60.0  # others may have heard something newer


@dataclass(frozen=True, slots=True)
class _Heard:
    time: datetime
    at: float  # by `elapsed`


class ServerClock:
    """One endpoint's clock. Thread-safe."""

    def __init__(self, own: SteadyClock = PROCESS, elapsed: Callable[[], float] = elapsed) -> None:
        self._own = own
        self._elapsed = elapsed
        self._heard: _Heard | None = None

    def now(self, others: datetime | None = None) -> datetime:
        """What to sign with at this moment. others: what time it is as other processes found out, if they did.

        What this process heard itself comes first, as long as it is not old; its own clock comes last.
        """
        heard, at = self._heard, self._elapsed()
        if heard is None or (others is not None and at - heard.at > OLD_S):
            return others or self._own.now()
        return heard.time + timedelta(seconds=at - heard.at)

    def told(self, time: datetime, ago_s: float) -> None:
        """Somebody else found out so long ago; now it is that time. What this process heard later comes first."""
        heard, at = self._heard, self._elapsed()
        if heard is None or at - heard.at > ago_s:
            self._heard = _Heard(time - timedelta(seconds=ago_s), at - ago_s)

    @property
    def is_stale(self) -> bool:
        """Whether the next answer's Date is worth a look."""
        return self._heard is None or self._elapsed() - self._heard.at >= FRESH_S

    def hear(self, time: datetime) -> None:
        """An answer says what time it is."""
        self._heard = _Heard(time, self._elapsed())
        self._own.hear(time.timestamp())
