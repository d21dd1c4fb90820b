"""What the tests of retention share: a runtime on any Redis, with a MetaStudio that is only a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from worker.execution.app_context import AppContext
from worker.ledger.holds import HoldList
from worker.ledger.runs import Run
from worker.ledger.types import DeletionRequest
from worker.metastudio.response import Listing, Response
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.target import Target
from worker.retention.plan import CapOverride, Plan
from worker.retention.planner import JobDecision, Planner
from worker.retention.policy import Policy
from worker.retention.sweep import Swept, new_run, sweep

PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = f'projects = ["{PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'


def job(job_id: str, state: str = "TRAIN_FAILED", days: float | None = 100, **more: Any) -> JobRow:
    """A job that was created so many days ago; None: nobody says when."""
    created = None if days is None else NOW - timedelta(days=days)
    return JobRow(job_id, state, create_time=created, last_update_time=more.pop("last_update_time", created), **more)


@dataclass
class Lister:
    """MetaStudio's list and nothing else. `faults` are given instead of pages, one each."""

    jobs: list[JobRow] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    date: datetime | None = None

    def list(self, project: str, *, offset: int, limit: int, **filters: Any) -> Listing:
        self.queries.append({"project": project, "offset": offset, **filters})
        if self.faults:
            return Listing(Response(self.faults.pop(0), None, None, None, None, 1), None, None)
        page = tuple(self.jobs[offset : offset + limit])
        return Listing(Response(200, None, None, None, None, 1, date=self.date), len(self.jobs), page)

    def renew(self, refused: Response) -> bool:
        return False


@dataclass
class House:
    """A runtime whose clock stands still and whose policies are one text."""

    client: redis.Redis
    directory: Path
    text: str = POLICY
    lister: Lister = field(default_factory=Lister)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.file = self.directory / "eraser.toml"
        self.write(self.text)
        environ = {
            "ERASER_REDIS_URL": "redis://127.0.0.1:1/0",
            "ERASER_CONFIG": str(self.file),
            "ERASER_RATE": "1000",
            "ERASER_PROJECTS": "*",
            "ERASER_ENDPOINT": "http://127.0.0.1:1",
        }
        self.app = self.process(environ)

    def process(self, environ: dict[str, str]) -> AppContext:
        """One more process of the same installation."""
        app = AppContext.load(environ)
        app.__dict__["redis"] = self.client
        app.now = lambda: self.now
        app._clients["default"] = (self.lister, lambda: "k1")  # type: ignore[assignment]
        self.environ = environ
        return app

    def write(self, text: str, name: str = "old") -> None:
        """The only policy."""
        self.text = text
        self.file.write_text(f"[policies.{name}]\n{text}", encoding="utf-8")

    # -- short forms -------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        return next(iter(self.app.policies.current().values()))

    @property
    def holds(self) -> HoldList:
        return HoldList(self.app.ledger("default"))

    def plan(self, tell: Any = lambda _: None) -> Plan:
        return Planner(self.app, self.policy, "default", tell=tell).plan()

    def verdicts(self) -> dict[str, str | None]:
        """Why each job is not chosen; None for those that are."""
        found: dict[str, str | None] = {}

        def note(judged: JobDecision) -> None:
            found[judged.row.id] = judged.why.reason.value if judged.why else None

        self.plan(note)
        return found

    def run(self, *, allowed: CapOverride | None = None, partial: bool = False, by: str | None = None) -> Swept:
        begun: Run = new_run(self.policy, "default", self.now, by=by)
        return sweep(self.app, begun, self.plan, cap_override=allowed, partial=partial)

    def request(self, *jobs: str, **claim: Any) -> None:
        self.app.ledger("default").request([Target(PROJECT, name) for name in jobs], DeletionRequest(**claim))

    def record(self, name: str) -> dict[str, str]:
        raw: Any = self.client.hgetall(f"eraser:{{default}}:d:{PROJECT}/{name}")
        return {key.decode(): value.decode() for key, value in raw.items()}

    def requested(self) -> set[str]:
        """Every job that a run asked for."""
        found: Iterable[Any] = self.client.scan_iter("eraser:{default}:d:*")
        refs = [Target.parse(key.decode().split(":d:", 1)[1]) for key in found]
        return {ref.id for ref in refs if "run" in self.record(ref.id)}
