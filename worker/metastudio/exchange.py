"""One exchange with a server: its time and size limits, and the received bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests
from requests.structures import CaseInsensitiveDict

from worker.config.clock import elapsed
from worker.metastudio.response import Obstacle, TransportFailure


@dataclass(slots=True)
class Call:
    """The clock of one call. After a machine slept through the deadline nothing more is sent."""

    connect_timeout_s: float
    read_timeout_s: float
    deadline: float  # by `elapsed`
    sent_at: float | None = None  # `time.monotonic` just before the first byte was sent; None proves that none was
    failure: TransportFailure | None = None  # why the head was not received
    obstacle: Obstacle | None = None  # what stood in the way of a connection…
    why: str | None = None  # …and the same for people
    refuse: Callable[[str], str | None] = lambda _: None  # why an address is not connected to; None: it may be

    def wait(self, at_most_s: float) -> float:
        """How long to wait for the next byte. Raises `TimeoutError` when the deadline has passed."""
        left = self.deadline - elapsed()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return min(at_most_s, left)


@dataclass(frozen=True, slots=True)
class Reply:
    """The received bytes. They are kept only until they are read, because the body may hold personal data."""

    status: int | None
    failure: TransportFailure | None
    ms: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    sent_at: float | None = None  # seconds of `time.monotonic`; None proves that no byte was sent
    obstacle: Obstacle | None = None  # to a connection
    why: str | None = None  # there is no answer, for people


def prepare(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> requests.PreparedRequest:
    """A request without a Session, which would cost more than the call itself."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, body
    request.headers = CaseInsensitiveDict(
        {
            "User-Agent": "avatar-eraser",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that no small response can become a large one
            **headers,
        }
    )
    return request
