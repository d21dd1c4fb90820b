"""MetaStudio's clock as this process knows it: what was heard of it last, and the time that has passed since.

Calls are signed by it. So a machine whose own clock is wrong, or jumps, is refused nothing: the first answer says what
time it is, and nothing that steps takes part from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from worker.config.clock import PROCESS, SteadyClock, elapsed
from worker.metastudio.parsing import http_date

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
        self._date: str | None = None  # the last one, as it was written

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

    def hear_date(self, text: str | None) -> None:
        """The Date header of an answer. It changes once a second; the same one again says nothing new.

        Every other one is heard at once: each call that is signed by a clock that has stepped since is a refusal.
        """
        if text != self._date and (date := http_date(text)) is not None:
            self._date = text
            self.hear(date)

    def hear(self, time: datetime) -> None:
        """An answer says what time it is."""
        self._heard = _Heard(time, self._elapsed())
        self._own.hear(time.timestamp())
