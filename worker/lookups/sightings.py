"""Recent lists and their views: the control questions that all absences between them share.

A list is empty if nothing is left, but also if a key cannot see the jobs: it lost the project, half a service
answers, an app user's jobs are hidden. So an absence is evidence only between two control questions, at most `NEAR_S`
before and after it, from the same view, that showed jobs. Kept by this process, by its own monotonic clock: no clock
that jumps makes an old one recent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from worker.config.forks import when_forked
from worker.model.target import JOB

NEAR_S: Final = 10.0
_KEPT_S: Final = 6 * NEAR_S  # longer than a lookup and its control questions take


@dataclass(frozen=True, slots=True)
class View:
    """Key, project, app user and kind of a list: what one view shows says nothing about another."""

    key: str  # the credential's fingerprint
    project_id: str
    app_user: str | None = field(repr=False)
    kind: str = JOB


@dataclass(frozen=True, slots=True)
class Sighting:
    """The result of one list of the project. Times are of the process's monotonic clock."""

    sent: float
    answered: float
    jobs: frozenset[str] = frozenset()  # the ids in it; none: it was empty
    others: bool = False  # one of them belongs to an app user whom the view does not name: no jobs are hidden


class Sightings:
    """The recent lists of one account. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._by_view: dict[View, deque[Sighting]] = {}
        self._users: set[tuple[str, str]] = set()
        self._begin()
        when_forked(self._begin)

    def _begin(self) -> None:
        """Nobody reads these, and no thread of this process has a question that others wait for."""
        self._lock = threading.Lock()
        self._waiting: dict[View, threading.Event] = {}

    def note(self, view: View, sighting: Sighting) -> None:
        """Keep it, and drop those that are too old to be of use."""
        with self._lock:
            self._by_view.setdefault(view, deque()).append(sighting)
            for old in list(_old(self._by_view.items(), self.clock() - _KEPT_S)):
                del self._by_view[old]
            recent = self._by_view.get(view)
            while recent and recent[0].answered < self.clock() - _KEPT_S:
                recent.popleft()

    def before(self, view: View, moment: float) -> Sighting | None:
        """The last one that was answered before the moment, if it is recent."""
        with self._lock:
            near = [s for s in self._by_view.get(view, ()) if moment - NEAR_S <= s.answered <= moment]
        return max(near, key=lambda s: s.answered, default=None)

    def after(self, view: View, moment: float) -> Sighting | None:
        """The first one that was sent after the moment, if it is close."""
        with self._lock:
            near = [s for s in self._by_view.get(view, ()) if moment <= s.sent <= moment + NEAR_S]
        return min(near, key=lambda s: s.sent, default=None)

    def note_users(self, project_id: str, how: str) -> bool:
        """The project has jobs of app users: a request `named` one, or a list `showed` one. Returns whether that is
        new.
        """
        with self._lock:
            known = (project_id, how) in self._users
            self._users.add((project_id, how))
            return not known

    def has_users(self, project_id: str) -> bool:
        with self._lock:
            return any((project_id, how) in self._users for how in ("named", "showed"))

    # -- shared questions ----------------------------------------------------------------------------------------------

    def queue(self, view: View) -> threading.Event | None:
        """A control question that waits for its slot: to share it, wait for the event. None: the caller has to ask
        it.
        """
        with self._lock:
            event = self._waiting.get(view)
            if event is None:
                self._waiting[view] = threading.Event()
            return event

    def leaves(self, view: View) -> threading.Event:
        """Our control question is sent now, or never: later absences need another one. Its answer sets the event."""
        with self._lock:
            return self._waiting.pop(view)


def _old(by_view: Iterable[tuple[View, deque[Sighting]]], before: float) -> Iterable[View]:
    return (view for view, sightings in by_view if not sightings or sightings[-1].answered < before)
