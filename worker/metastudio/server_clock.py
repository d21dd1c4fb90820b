"""MetaStudio's clock as this process knows it: its last known time, and the time that has passed since.

Calls are signed by it. So a machine whose own clock is wrong, or jumps, gets no refusals: the first answer says what
time it is, and from then on no clock that steps is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.config.clock import PROCESS, SteadyClock, elapsed
from worker.metastudio.parsing import http_date

OLD_S: Final = 60.0  # other processes may know something newer


@dataclass(frozen=True, slots=True)
class _Known:
    time: datetime
    at: float  # by `elapsed`


class ServerClock:
    """One endpoint's clock. Thread-safe."""

    def __init__(self, own: SteadyClock = PROCESS, elapsed: Callable[[], float] = elapsed) -> None:
        self._own = own
        self._elapsed = elapsed
        self._known: _Known | None = None
        self._date: str | None = None  # the last Date header, unchanged

    def now(self, others: datetime | None = None) -> datetime:
        """The time to sign with now. others: MetaStudio's time as other processes know it, if they do.

        What this process knows itself comes first, while it is recent; its own clock comes last.
        """
        known, at = self._known, self._elapsed()
        if known is None or (others is not None and at - known.at > OLD_S):
            return others or self._own.now()
        return known.time + timedelta(seconds=at - known.at)

    def note_others(self, time: datetime, ago_s: float) -> None:
        """Another process found out the time so long ago. What this process learned later has priority."""
        known, at = self._known, self._elapsed()
        if known is None or at - known.at > ago_s:
            self._known = _Known(time - timedelta(seconds=ago_s), at - ago_s)

    def note_date(self, text: str | None) -> None:
        """Take note of the Date header of an answer. It changes once a second; the same one again says nothing new.

        Every new one counts at once: each call that is signed by a clock that has stepped since is a refusal.
        """
        if text != self._date and (date := http_date(text)) is not None:
            self._date = text
            self.note(date)

    def note(self, time: datetime) -> None:
        """Take note of the time in an answer."""
        self._known = _Known(time, self._elapsed())
        self._own.hear(time.timestamp())
