"""What happened to assets and voice jobs, and by whom: the judge of what a deletion took along."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from enum import StrEnum

SERVICE = "service"  # MetaStudio by itself: it took the part along with its job, or the bin's seven days were over
OPERATOR = "operator"  # a command of the control API


class What(StrEnum):
    """What can happen to one."""

    ADDED = "added"
    BINNED = "binned"  # an asset, recoverable
    PURGED = "purged"  # an asset, not recoverable
    DELETED = "deleted"  # a voice job
    RESTORED = "restored"
    DEACTIVATED = "deactivated"
    ACTIVATED = "activated"
    UPDATED = "updated"  # its name, text or tags, or another state
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    TRANSFERRED = "transferred"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, in the order of `n`."""

    n: int
    at: float  # Unix time of this machine
    kind: str
    project: str
    id: str
    what: What
    by: str  # the key of the call (iam:<user> for a token), or service, or operator
    call: int | None  # number of the call in the log


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it."""

    name: str
    call: int | None = None


AS_SERVICE, AS_OPERATOR = Actor(SERVICE), Actor(OPERATOR)


class Events:
    """All of them since the last reset."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, kind: str, project: str, id: str, what: What, actor: Actor) -> None:
        n = len(self._events) + 1
        self._events.append(Event(n, time.time(), kind, project, id, what, actor.name, actor.call))

    def page(self, since: int, limit: int, id: str | None) -> list[dict[str, object]]:
        """The first `limit` after number `since`."""
        found = (event for event in self._events[since:] if id is None or event.id == id)
        return [asdict(event) for event, _ in zip(found, range(limit), strict=False)]

    def tally(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        """{kind:id: {what: {by: how often}}} by project."""
        counts: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
        for event in self._events:
            by = counts.setdefault(event.project, {}).setdefault(f"{event.kind}:{event.id}", {})
            times = by.setdefault(event.what.value, {})
            times[event.by] = times.get(event.by, 0) + 1
        return counts
