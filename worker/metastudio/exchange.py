"""One exchange with a server: how long it may take and how much it may bring, and what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.config.clock import elapsed
from worker.metastudio.response import TransportFailure


@dataclass(slots=True)
class Call:
    """The clock of one call. A machine that sleeps through the deadline sends nothing more."""

    connect_timeout_s: float
    read_timeout_s: float
    deadline: float  # by `elapsed`
    sent_at: float | None = None  # `time.monotonic` when the first byte was about to leave; None proves that none did
    failure: TransportFailure | None = None  # how the head failed to come

    def wait(self, at_most_s: float) -> float:
        """How long to wait for the next byte. Raises `TimeoutError` when the deadline has passed."""
        left = self.deadline - elapsed()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return min(at_most_s, left)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came over the wire. Lives only until it is read: the body may hold personal data."""

    status: int | None
    failure: TransportFailure | None
    ms: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    sent_at: float | None = None  # seconds of `time.monotonic`; None proves that no byte left
