"""How long to wait before the next attempt. Pure: randomness is an argument.

After the n-th failed attempt a deletion waits the n-th step, plus 0 to 20 % so that many do not come back at once, and
never less than the Retry-After it was given. After the last step there is no attempt left.
"""

from __future__ import annotations

from dataclasses import dataclass

JITTER = 0.2  # added, never subtracted: a step is a promise to the other side
RETRY_AFTER_MOST_S = 24 * 3600.0  # a server that says more is taken to mean "much later"
THROTTLED_FIRST_S = 1.0  # for the job itself, doubling; the gate controls the account's rate
THROTTLED_MOST_S = 60.0  # rarely enough that one job that is always throttled does not slow the others down
THROTTLED_RETRY_AFTER_MOST_S = 15 * 60.0  # as long as the gate honours it


@dataclass(frozen=True, slots=True)
class Backoff:
    """All the waits of one deletion, in seconds."""

    retry: tuple[float, ...]  # after a failure; one attempt more than steps
    not_deletable: tuple[float, ...]  # while the job is in a state that forbids deletion; the last step repeats

    @property
    def attempts(self) -> int:
        """How many attempts a round has."""
        return len(self.retry) + 1

    def after_failure(self, used: int, *, random: float, retry_after_s: float | None = None) -> float | None:
        """The wait after the `used`-th used-up attempt (1 is the first), or None when no attempt is left."""
        if used > len(self.retry):
            return None
        return self._at_least(self.retry[used - 1], random, retry_after_s)

    def while_not_deletable(self, times: int, *, random: float) -> float:
        """The wait after it was found not deletable for the `times`-th time (1 is the first)."""
        return self._at_least(self.not_deletable[min(times, len(self.not_deletable)) - 1], random, None)

    def patiently(self, times: int, *, random: float) -> float:
        """The wait after something that uses no attempt failed for the `times`-th time (1 is the first)."""
        steps = self.retry or (10.0,)
        return self._at_least(steps[min(times, len(steps)) - 1], random, None)

    def while_throttled(self, times: int, *, random: float, retry_after_s: float | None = None) -> float:
        """The wait after a 429, when `times` calls (this one included) used no attempt."""
        step = min(THROTTLED_MOST_S, THROTTLED_FIRST_S * 2 ** min(times - 1, 16))
        retry_after = min(retry_after_s, THROTTLED_RETRY_AFTER_MOST_S) if retry_after_s else None
        return self._at_least(step, random, retry_after)

    def look_again(self, *, random: float) -> float:
        """The wait before the second lookup of a job that was never seen: about a minute by default."""
        first = self.retry[0] if self.retry else 10.0
        return self._at_least(min(60.0, first * 6), random, None)

    def while_unseen(self, times: int, *, random: float) -> float | None:
        """The wait after a whole project looked empty for the `times`-th time; None: it becomes a dead letter."""
        if times > max(1, len(self.retry)):
            return None
        return max(self.patiently(times, random=random), self.look_again(random=random))

    @staticmethod
    def _at_least(step: float, random: float, retry_after_s: float | None) -> float:
        wait = step * (1 + JITTER * random)
        return max(wait, min(retry_after_s, RETRY_AFTER_MOST_S)) if retry_after_s else wait
