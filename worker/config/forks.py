"""What a forked child sets up anew: locks that a thread of its parent may hold, and what that thread was about to do.

Celery's prefork pool, and servers that load the application first, fork while other threads run. The child has none of
them, so nobody would release what they held. Threads of ours, and their events, stay where they were started.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import ismethod
from typing import Any
from weakref import ref


class _Renewal(ref[Any]):
    """Of an object that is not kept alive: what it calls, itself or one of its methods."""

    method: Callable[[Any], None] | None = None

    def run(self) -> None:
        owner = self()
        if owner is not None:
            self.method(owner) if self.method else owner()


_renewals: list[_Renewal] = []


def when_forked(renew: Callable[[], None]) -> None:
    """Call it in each forked child, before anything else there; a method, for as long as its object lives."""
    renewal = _Renewal(renew.__self__ if ismethod(renew) else renew, _renewals.remove)
    renewal.method = renew.__func__ if ismethod(renew) else None
    _renewals.append(renewal)


def _renew() -> None:
    for each in [*_renewals]:
        each.run()


os.register_at_fork(after_in_child=_renew)
