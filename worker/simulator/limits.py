"""Sliding windows of one second: the rate limit, and the highest rate so far; and locks after too many failures."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

WINDOW_S = 1.0


class SlidingWindow:
    """Admits at most `limit` calls in any second; refused calls do not count."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: deque[float] = deque()

    def admits(self, now: float) -> bool:
        """Count this call if it is admitted. `now` is monotonic and never goes back."""
        if self.used(now) >= self._limit:
            return False
        self._passed.append(now)
        return True

    def used(self, now: float) -> int:
        """How many calls of the last second were admitted."""
        while self._passed and now - self._passed[0] >= WINDOW_S:
            self._passed.popleft()
        return len(self._passed)


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
    """One window per (family of calls, project). A family that is not in `per_s` has no limit."""

    def __init__(self, per_s: Mapping[str, int]) -> None:
        self.per_s = per_s
        self._windows: dict[tuple[str, str], SlidingWindow] = {}

    def admits(self, family: str, project: str, now: float) -> bool:
        limit = self.per_s.get(family)
        if limit is None:
            return True
        key = (family, project)
        if key not in self._windows:
            self._windows[key] = SlidingWindow(limit)
        return self._windows[key].admits(now)

    def left(self, family: str, project: str, now: float) -> int:
        """How many more calls this second admits, of a family with a limit."""
        window = self._windows.get((family, project))
        return self.per_s[family] - (window.used(now) if window else 0)


class Locks(Generic[K]):
    """Locks a key or a user that failed `allowed` times in a row, for `lock_s`."""

    def __init__(self, allowed: int, lock_s: float) -> None:
        self._allowed, self._lock_s = allowed, lock_s
        self._failures: Counter[K] = Counter()
        self._until: dict[K, float] = {}

    def locked(self, who: K, now: float) -> bool:
        return now < self._until.get(who, 0.0)

    def fail(self, who: K, now: float) -> bool:
        """Count a failure; returns whether it locks."""
        self._failures[who] += 1
        if self._failures[who] < self._allowed:
            return False
        self._until[who] = now + self._lock_s
        del self._failures[who]
        return True

    def succeed(self, who: K) -> None:
        """Forget the failures."""
        self._failures.pop(who, None)

    def clear(self, who: K) -> None:
        """End the lock and forget the failures."""
        self._until.pop(who, None)
        self.succeed(who)

    def known(self) -> set[K]:
        return {*self._failures, *self._until}
