"""A clock that can be moved on, and what the service does by itself at its time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count


class Later:
    """Actions with their time. Whoever looks at what they change settles first."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def unix(self) -> float:
        """The moved clock's Unix time."""
        return time.time() + self._ahead_s

    def do(self, after_s: float, action: Callable[[], None]) -> None:
        """Now if there is nothing to wait for."""
        if after_s <= 0:
            action()
        else:
            heapq.heappush(self._due, (self._now() + after_s, next(self._numbers), action))

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds

    def settle(self) -> None:
        """Do what is due, in the order of its time."""
        while self._due and self._due[0][0] <= self._now():
            heapq.heappop(self._due)[2]()

    def _now(self) -> float:
        return time.monotonic() + self._ahead_s
