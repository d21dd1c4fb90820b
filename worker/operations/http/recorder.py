"""Writes single requests together: those that arrive while one round trip is under way share the next.

A thousand requests a second are then some hundred round trips, and Redis syncs its file as often. Each caller hears
"accepted" only after the script with its own request has run, and each has an answer of its own.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.errors import Unreachable
from worker.ledger.moves import Accepted, Claim, Ref
from worker.ledger.store import BATCH
from worker.operations.http import problems

WAITING = 2000  # requests of one project that may wait; while Redis hangs more would only be answered too late
PAUSE_S = 0.003  # between two round trips under load: fewer and fuller ones; a request that comes alone never waits

Wanted = list[tuple[Ref, Claim]]


@dataclass(frozen=True, slots=True)
class _Asked:
    ref: Ref
    claim: Claim
    answer: asyncio.Future[Accepted]


class Recorder:
    """`write` records requests of one project, all or none, and returns an answer for each. Used by one event loop.

    One that lies under another account than the settings say is refused whole, and must take no other with it.
    """

    def __init__(self, write: Callable[[Wanted], Awaitable[list[Accepted]]]) -> None:
        self._write = write
        self._waiting: dict[str, list[_Asked]] = defaultdict(list)
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def record(self, project: str, ref: Ref, claim: Claim) -> Accepted:
        """Returns when it is recorded. Raises what writing raises."""
        waiting = self._waiting[project]
        if len(waiting) >= WAITING:
            raise problems.busy()
        asked = _Asked(ref, claim, asyncio.get_running_loop().create_future())
        waiting.append(asked)
        if project not in self._writers:
            self._writers[project] = asyncio.create_task(self._write_all(project))
        return await asked.answer

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

    def _too_late(self, waiting: list[_Asked], error: Exception) -> list[_Asked]:
        """Those who came meanwhile: while Redis is away they would wait as long again, for the same answer."""
        too_late = waiting[:] if isinstance(error, Unreachable) else []
        del waiting[: len(too_late)]
        return too_late

    async def _write_together(self, batch: list[_Asked], waiting: list[_Asked]) -> None:
        try:
            answers = await self._write([(asked.ref, asked.claim) for asked in batch])
        except Exception as error:  # each caller hears of it
            for asked in [*batch, *self._too_late(waiting, error)]:
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            return
        for asked, answer in zip(batch, answers, strict=True):
            if not asked.answer.done():
                asked.answer.set_result(answer)
