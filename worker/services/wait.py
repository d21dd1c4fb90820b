"""Waiting for deletions to finish, without blocking anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from worker.execution.app_context import AppContext
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.model.target import Target

WELL = frozenset({State.DELETED, State.GONE})
ENDED = WELL | {State.DEAD, State.CANCELLED, State.DISCARDED}
_SHORTEST_S, _LONGEST_S = 0.1, 1.0


def until_ended(
    app: AppContext, account: str, refs: Iterable[Target], seconds: float, tell: Callable[[int], None]
) -> dict[Target, State]:
    """The states once all have finished or the time is over. `tell(open)` is called after each check.

    It also waits out an outage of Redis; raises `Unreachable` if that lasts longer than the time.
    """
    bulk_queries, ends = app.bulk_queries(account), time.monotonic() + seconds
    waiting, pause = list(dict.fromkeys(refs)), _SHORTEST_S
    states: dict[Target, State] = {}
    while True:
        try:
            states |= {ref: state for ref, state in bulk_queries.states(waiting) if state is not None}
        except Unreachable:
            if time.monotonic() >= ends:
                raise
        waiting = [ref for ref in waiting if states.get(ref) not in ENDED]
        tell(len(waiting))
        left = ends - time.monotonic()
        if not waiting or left <= 0:
            return states
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_S)
