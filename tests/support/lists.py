"""MetaStudio's lists, Redis and the time, as far as lookups know them: what is shown is what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.responses import JOB, listing, row
from worker.lookups.lookups import Lookups
from worker.lookups.sightings import Sightings, View
from worker.metastudio.response import Listing, Response
from worker.model.errors import Unreachable
from worker.rules.classify import Presence

VIEW = View("k1", JOB.project_id, None)
OTHERS = listing(row("other-1"), row("other-2"))
EMPTY = listing()


@dataclass
class World:
    """MetaStudio, Redis and the time, as far as lookups know them. `takes` is how long each question takes."""

    now: float = 1000.0
    takes: float = 1.0
    jobs: Callable[[World], Listing] = lambda _: OTHERS  # what the whole list shows
    job: Callable[[World], Listing] = lambda _: EMPTY  # what the list by id shows
    slot: float | None = 0.0
    redis_away: bool = False
    has_users: bool = False
    queries: list[str] = field(default_factory=list)
    account: str = "default"

    def __post_init__(self) -> None:
        self.sightings = Sightings(lambda: self.now)

    @property
    def users(self) -> World:
        return self

    def known_in(self, project_id: str) -> bool:
        if self.redis_away:
            raise Unreachable("away")
        return self.has_users

    def note_in(self, project_id: str) -> None:
        self.has_users = True

    def reserve_lookup(self, *, kind: str, patience_s: float) -> float | None:
        if self.redis_away:
            raise Unreachable("away")
        return self.slot

    def ask(
        self,
        project_id: str,
        ids: Sequence[str] = (),
        *,
        kind: str,
        rows: int = 100,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        within_s: float | None = None,
    ) -> Listing:
        self.now += self.takes
        self.queries.append(",".join(ids) or "all")
        return self.job(self) if ids else self.jobs(self)

    def renew(self, refused: Response) -> bool:
        return False

    def lookups(self, view: View = VIEW, **more: Any) -> Lookups:
        return Lookups(self, self, self.sightings, view, pause=self.pause, **more)

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def find(self, job_id: str = JOB.id, *, view: View = VIEW, **how: Any) -> Presence:
        return self.lookups(view).find(job_id, **{"listed": False} | how).what
