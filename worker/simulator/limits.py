"""Sliding windows of one second: the rate limit, and the highest rate so far."""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0


class SlidingWindow:
    """Admits at most `limit` calls in any second; refused calls do not count."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: deque[float] = deque()

    def admits(self, now: float) -> bool:
        """Count this call if it is admitted. `now` is monotonic and never goes back."""
        while self._passed and now - self._passed[0] >= WINDOW_S:
            self._passed.popleft()
        if len(self._passed) >= self._limit:
            return False
        self._passed.append(now)
        return True


class Peak:
    """Remembers the most arrivals in any sliding second."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self.highest = 0

    def count(self, now: float) -> None:
        self._recent.append(now)
        while now - self._recent[0] >= WINDOW_S:
            self._recent.popleft()
        self.highest = max(self.highest, len(self._recent))


class Throttle:
    """One window per (kind of call, project). None means no limit."""

    def __init__(self, delete_per_s: int | None, get_per_s: int | None, retry_after_s: float | None) -> None:
        self.per_s = {"DELETE": delete_per_s, "GET": get_per_s}
        self.retry_after_s = retry_after_s
        self._windows: dict[tuple[str, str], SlidingWindow] = {}

    def admits(self, method: str, project: str, now: float) -> bool:
        limit = self.per_s.get(method)
        if limit is None:
            return True
        key = (method, project)
        if key not in self._windows:
            self._windows[key] = SlidingWindow(limit)
        return self._windows[key].admits(now)
