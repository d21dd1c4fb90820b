"""A bounded thread pool for blocking work: a request that would wait too long for a thread gets an error.

While Redis hangs, each thread is busy for seconds. A caller behind a hundred others would get its answer a minute
later, when it no longer waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread

from worker.model.errors import Unreachable

T = TypeVar("T")

THREADS = 16  # that use Redis at the same time; more would only wait elsewhere
PATIENCE_S = 5.0  # for a thread: the same as Redis's timeout


class Busy(Unreachable):
    """Too many requests wait already. Nothing was done."""

    def __init__(self) -> None:
        super().__init__("too many requests wait for Redis; nothing was done")


@dataclass
class BoundedPool:
    """`await threads.run(work)`. Raises `Busy`, and whatever the work raises."""

    most: int = field(default_factory=lambda: THREADS)
    patience_s: float = field(default_factory=lambda: PATIENCE_S)
    _places: anyio.CapacityLimiter = field(init=False)
    _threads: anyio.CapacityLimiter = field(init=False)  # anyio needs one, too; it never blocks here

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
