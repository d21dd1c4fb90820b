"""Batching of single requests: those that arrive during one round trip share the next.

A thousand requests a second are then some hundred round trips, and Redis syncs its file as often. Each caller gets
"accepted" only after the script with its own request has run, and each gets its own answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

from worker.interfaces.web import problem_details
from worker.ledger.deletions import BATCH
from worker.ledger.types import Accepted, DeletionRequest
from worker.model.errors import NotConfirmed, Unreachable
from worker.model.target import Target

WAITING = 2000  # requests of one project that may wait; if Redis hangs, more would only be answered too late
PAUSE_S = 0.003  # between two round trips under load, for fewer and larger ones; a single request never waits

Wanted = list[tuple[Target, DeletionRequest]]


@dataclass(frozen=True, slots=True)
class _Queued:
    ref: Target
    terms: DeletionRequest
    response: asyncio.Future[Accepted]


class Batcher:
    """`write` records requests of one project, all or none, and returns an answer for each. For one event loop.

    A project stored under another account than the settings say is refused as a whole; others must not be affected.
    """

    def __init__(self, write: Callable[[Wanted], Awaitable[list[Accepted]]]) -> None:
        self._write = write
        self._waiting: dict[str, list[_Queued]] = defaultdict(list)
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def record(self, project: str, ref: Target, terms: DeletionRequest) -> Accepted:
        """Returns when it is recorded. Raises what writing raises."""
        waiting = self._waiting[project]
        if len(waiting) >= WAITING:
            raise problem_details.busy()
        queued = _Queued(ref, terms, asyncio.get_running_loop().create_future())
        waiting.append(queued)
        if project not in self._writers:
            # a context of its own: what it does is not of the request that happened to come first
            self._writers[project] = asyncio.create_task(self._write_all(project), context=Context())
        return await queued.response

    async def _write_all(self, project: str) -> None:
        waiting = self._waiting[project]
        try:
            while waiting:
                batch = waiting[:BATCH]
                del waiting[:BATCH]
                await self._write_together(batch, waiting)
                if waiting:
                    await asyncio.sleep(PAUSE_S)
        finally:
            del self._writers[project]

    def _too_late(self, waiting: list[_Queued], error: Exception) -> list[_Queued]:
        """Fail the requests that came in the meantime: with Redis unreachable they would wait again for the same
        error.
        """
        away = isinstance(error, Unreachable) and not isinstance(error, NotConfirmed)
        too_late = waiting[:] if away else []
        del waiting[: len(too_late)]
        return too_late

    async def _write_together(self, batch: list[_Queued], waiting: list[_Queued]) -> None:
        try:
            responses = await self._write([(queued.ref, queued.terms) for queued in batch])
        except Exception as error:  # each caller gets it
            for queued in [*batch, *self._too_late(waiting, error)]:
                if not queued.response.done():
                    queued.response.set_exception(error)
            return
        for queued, response in zip(batch, responses, strict=True):
            if not queued.response.done():
                queued.response.set_result(response)
