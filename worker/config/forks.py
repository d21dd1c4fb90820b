"""What a forked child sets up anew: locks that a thread of its parent may hold, and what that thread was about to do.

Celery's prefork pool, and servers that load the application first, fork while other threads run. The child has none of
them, so nobody would release what they held. Threads of ours, and their events, stay where they were started.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import ismethod
from weakref import WeakMethod, ref

_renewals: list[ref[Callable[[], None]]] = []


def when_forked(renew: Callable[[], None]) -> None:
    """Call it in each forked child, before anything else there; a method, for as long as its object lives."""
    _renewals.append((WeakMethod if ismethod(renew) else ref)(renew, _renewals.remove))


def _renew() -> None:
    for each in [*_renewals]:
        if renew := each():
            renew()


os.register_at_fork(after_in_child=_renew)
