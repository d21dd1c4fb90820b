"""Threads for what blocks: so many and no more, and who would wait too long for one hears so.

While Redis hangs each thread is kept for seconds. Whoever came behind a hundred others would be answered a minute
later, when nobody listens any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread

from worker.model.errors import Unreachable

T = TypeVar("T")

THREADS = 16  # that talk to Redis at once; more only wait in another place
PATIENCE_S = 5.0  # for a thread: as long as Redis has for an answer


class Busy(Unreachable):
    """Too many wait already. Nothing was done."""

    def __init__(self) -> None:
        super().__init__("too many requests wait for Redis; nothing was done")


@dataclass
class BoundedPool:
    """`await threads.run(work)`. Raises `Busy`, and whatever the work raises."""

    most: int = field(default_factory=lambda: THREADS)
    patience_s: float = field(default_factory=lambda: PATIENCE_S)
    _places: anyio.CapacityLimiter = field(init=False)
    _threads: anyio.CapacityLimiter = field(init=False)  # anyio wants one too; who has a place never waits for it

    def __post_init__(self) -> None:
        self._places, self._threads = anyio.CapacityLimiter(self.most), anyio.CapacityLimiter(self.most)

    async def run(self, work: Callable[[], T]) -> T:
        place = object()
        try:
            with anyio.fail_after(self.patience_s):
                await self._places.acquire_on_behalf_of(place)
        except TimeoutError:
            raise Busy from None
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        finally:
            self._places.release_on_behalf_of(place)
