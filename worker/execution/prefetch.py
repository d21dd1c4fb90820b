"""What the executors of one account in one process share: leases taken ahead, and settlements for the next move.

A move of the ledger costs Redis and its caller much, whatever it does. So where calls follow each other closely a take
brings leases for those who are free soon, and whoever finds one here leaves its settlement for the next move.

    executor 1 ──settles, takes 4──▶ ledger     executor 2 ◀──lease── prefetch ◀──3 leases── executor 1
                                                executor 2 ──settlement──▶ prefetch ──▶ with the next take

Everything here is short-lived: both go on with the next take of any executor, and what is left after half a second (all
executors hang in a call, or have ended) the dispatcher takes back, so that neither is here when its lease ends.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.config.clock import elapsed
from worker.ledger.types import Lease, Settlement
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.rules.backoff import Backoff
from worker.rules.outcome import OutcomeRules

MOST_AHEAD = 7  # leases of one take for others: a process that is killed has lost so many answers more
WITHIN_MS = 20.0  # a lease is taken ahead only for a call that begins so soon
STALE_S = 0.5
_RULES = OutcomeRules(Backoff((), ()), "", 0.0)  # nothing of it matters where nothing was sent


@dataclass(frozen=True, slots=True)
class Slot:
    """A lease, and when its call may leave (by `elapsed`)."""

    lease: Lease
    at: float


@dataclass(frozen=True, slots=True)
class Result:
    """A settlement, and what the log says of its trace."""

    settlement: Settlement
    trace: dict[str, str]
    at: float = field(default_factory=elapsed)

    @property
    def can_wait(self) -> bool:
        """Nothing but a success may: whatever else was answered, the gate has to know before another call."""
        signal = self.settlement.signal
        return self.settlement.to == State.DELETED and signal is not None and signal.kind == "ok" and not signal.probe


class Prefetch:
    """Thread-safe. No method waits for anything.

    most: leases of one take for others; 0: where no dispatcher takes back what is left.
    """

    def __init__(self, most: int = 0) -> None:
        self.turn = threading.Lock()  # one take after the other: what it brings may be enough for all who wait for it
        self._most = most
        self._lock = threading.Lock()
        self._slots: deque[Slot] = deque()
        self._results: list[Result] = []
        self._executors = 0

    def __enter__(self) -> Prefetch:
        with self._lock:
            self._executors += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._executors -= 1

    def next(self, result: Result | None) -> Slot | None:
        """A lease that is here. The result is kept then, for the next move."""
        with self._lock:
            if not self._slots or (result and not result.can_wait):
                return None
            if result:
                self._results.append(result)
            return self._slots.popleft()

    def room(self, call_ms: float) -> int:
        """How many more leases the executors of this process begin soon, if their calls take so long."""
        with self._lock:
            return min(self._most, int(self._executors * WITHIN_MS / max(call_ms, 1.0))) - len(self._slots)

    @property
    def shared(self) -> bool:
        """Whether another executor is here that may use what is here."""
        return self._executors > 1

    def add(self, slots: list[Slot]) -> None:
        with self._lock:
            self._slots += slots

    @contextmanager
    def collect(self, *, give_back: bool) -> Iterator[list[Result]]:
        """What the move within settles; kept where the ledger is away. give_back: the leases that are here, too.

        What the ledger refuses is not kept: it would be refused each time. Its lease runs out, and it is looked up.
        """
        with self._lock:
            results, self._results = self._results, []
            if give_back:
                results += [_given_back(slot.lease) for slot in self._slots]
                self._slots.clear()
        try:
            yield results
        except Unreachable:
            with self._lock:
                self._results += results
            raise

    def is_stale(self) -> bool:
        """Whether nobody took something on in time."""
        before = elapsed() - STALE_S
        with self._lock:
            return any(at < before for at in (*(s.lease.taken for s in self._slots), *(r.at for r in self._results)))


def _given_back(lease: Lease) -> Result:
    return Result(_RULES.give_back(lease), {})
