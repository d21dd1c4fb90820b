"""The planner: compares every job of the policy's projects with the policy, the holds and the ledger. Changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.ledger.holds import HoldList, OnHold
from worker.metastudio.response import Listing
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.errors import Unreachable
from worker.model.ids import ID
from worker.model.states import State
from worker.model.target import Target
from worker.retention.context import RetentionContext
from worker.retention.job_listing import Incomplete, JobListing
from worker.retention.matching import Mismatch, Reason, mismatch, reference_time
from worker.retention.plan import Chosen, Plan, ProjectPlan
from worker.retention.policy import Policy
from worker.rules.classify import is_of

BATCH = 500  # jobs whose deletions are looked up at once
LOOK_PATIENCE_S = 120.0
# Gate states in which no list is requested: a pause applies to every call, and a few more refusals lock a key.
CLOSED = ("paused", "credentials", "misconfigured")

LATE_S = 3600.0  # a list may show a deleted job so long

_REQUESTABLE = {None, State.CANCELLED}
_TEXT = {
    State.PENDING: "its deletion waits",
    State.RUNNING: "its deletion is in progress",
    State.DEAD: "its deletion is a dead letter and needs a person",
    State.DISCARDED: "its deletion was discarded by an operator",
}


@dataclass(frozen=True, slots=True)
class JobDecision:
    """One job and its result; `why` is None for a selected one."""

    project: str
    row: JobRow
    why: Mismatch | None


@dataclass(slots=True)
class Planner:
    """One plan of one policy. `tell` gets every job, `advance(listed, of)` the progress."""

    app: RetentionContext
    policy: Policy
    account: str
    tell: Callable[[JobDecision], None] = lambda _: None
    advance: Callable[[int, int | None], None] = lambda _listed, _of: None
    skew_ms: float | None = None  # MetaStudio's clock minus Redis's, as the gate knows it

    def plan(self) -> Plan:
        """The whole plan. A project whose list does not end has a problem. Raises `Unreachable` and `SettingsError`."""
        gate = self.app.queries(self.account).gate()
        if gate.gate in CLOSED:
            raise Unreachable(
                f"account {self.account} is closed ({gate.gate}: {gate.reason}), so no list is requested. Next: "
                + ("eraser resume --reason R" if gate.gate == "paused" else "eraser doctor")
            )
        self.skew_ms = gate.skew_ms
        self.app.check_ledger()
        self.app.places.check(self.policy.projects, self.account)
        plan = Plan(self.policy)
        on_hold = HoldList(self.app.ledger(self.account)).now()
        for project in self.policy.projects:
            plan.projects.append(self._project(project, on_hold, plan.listed))
        return plan

    def _project(self, project: str, on_hold: OnHold, before: int) -> ProjectPlan:
        found = ProjectPlan(project)
        narrowed = self._filters() if self.policy.narrow else {}
        try:
            if narrowed:
                found.total = self._count(project)
            job_listing = self._job_listing(project, narrowed)
            for rows in _batches(job_listing.rows()):
                self._judge(found, rows, on_hold, self._now(job_listing))
                self.advance(before + found.listed, before + (job_listing.count or 0))
        except Incomplete as problem:
            found.problem = str(problem)
        found.total = max(found.total, found.listed)
        if found.total > found.listed:
            found.skipped[Reason.NOT_LISTED] = found.total - found.listed
        return found

    def _judge(self, plan: ProjectPlan, rows: list[JobRow], on_hold: OnHold, now: datetime) -> None:
        plan.listed += len(rows)
        if any(row.app_user_id for row in rows):
            with suppress(Unreachable):  # a plan only reads, so it works even if Redis accepts no writes
                self.app.ledger(self.account).users.note_in(plan.project)
        known = {Target(plan.project, row.id): row for row in rows if ID.fullmatch(row.id)}
        states: dict[Target, State | None] = {}
        for ref, state, ended in self.app.bulk_queries(self.account).ends(known):
            states[ref] = state
            deleted = state in (State.DELETED, State.GONE) and ended / 1000 < now.timestamp() - LATE_S
            if deleted and is_of(known[ref], plan.project):
                plan.came_back.append(ref)
        for row in rows:
            why = mismatch(self.policy, row, now) or self._spared(Target(plan.project, row.id), row, states, on_hold)
            if why is None:
                plan.chosen.append(self._chosen(plan.project, row))
            else:
                plan.skipped[why.reason] += 1
            self.tell(JobDecision(plan.project, row, why))

    def _spared(self, ref: Target, row: JobRow, states: dict[Target, State | None], on_hold: OnHold) -> Mismatch | None:
        """Why a matching job is not requested."""
        state = states[ref]
        if not is_of(row, ref.project_id):
            return Mismatch(Reason.FILTER, "MetaStudio says that it belongs to another project")
        if ref in on_hold.refs:
            return Mismatch(Reason.HELD, "it is on hold")
        users = self.app.ledger(self.account).users
        if on_hold.users and users.hashed(row.app_user_id) in on_hold.users:
            return Mismatch(Reason.HELD, "its app user is on hold")
        if state is State.HELD:
            return Mismatch(Reason.HELD, "its deletion is on hold")
        if state not in _REQUESTABLE:
            return Mismatch(Reason.ALREADY_REQUESTED, _TEXT.get(state, f"its deletion is {state}") if state else "")
        return None

    def _chosen(self, project: str, row: JobRow) -> Chosen:
        asset = row.asset_id if row.asset_id and ID.fullmatch(row.asset_id) else None  # only a valid id
        return Chosen(Target(project, row.id), row.state, reference_time(self.policy, row) or self.app.now(), asset)

    # -- asking MetaStudio -------------------------------------------------------------------------------------------

    def _now(self, job_listing: JobListing) -> datetime:
        """The earlier one of our time and MetaStudio's, so that a clock that is ahead makes no job old enough."""
        now = self.app.now()
        return min(now, job_listing.date) if job_listing.date else now

    def _filters(self) -> dict[str, Any]:
        """Filters that are safe: each excludes only jobs that do not match, however MetaStudio interprets it."""
        policy = self.policy
        wanted: dict[str, Any] = {
            "states": tuple(sorted(policy.states)),
            "batch_name": policy.batch_name,
            "tag": policy.tag,
            "name": policy.job_name,
            "model_resolution": policy.resolution,
            "is_flexus": policy.flexus,
        }
        if policy.age_by == "create_time":  # update_until is documented wrongly
            wanted["create_until"] = self.app.now() - timedelta(seconds=policy.older_than_s) + timedelta(minutes=5)
        return {name: value for name, value in wanted.items() if value is not None}

    def _count(self, project: str) -> int:
        """The number of jobs, by one unfiltered list."""
        job_listing = self._job_listing(project, {})
        next(job_listing.rows(), None)
        return job_listing.count or 0

    def _job_listing(self, project: str, filters: dict[str, Any]) -> JobListing:
        client, _ = self.app.client(self.account)

        def page(**query: Any) -> Listing:
            return client.list(project, app_user=self.policy.app_user, signed_at=self._signed_at(), **query)

        return JobListing(page, self._turn, self._pause, client.renew, filters)

    def _signed_at(self) -> datetime | None:
        """MetaStudio's time if the gate knows that it differs from ours."""
        if self.skew_ms is None:
            return None
        return datetime.fromtimestamp((self.app.queries(self.account).now_ms() + self.skew_ms) / 1000, UTC)

    def _turn(self) -> None:
        """Wait for a slot of the lookups' rate, which all workers and commands share."""
        wait = self.app.ledger(self.account).reserve_lookup(patience_s=LOOK_PATIENCE_S)
        if wait is None:
            raise Incomplete(f"the lists of account {self.account} are busy for {LOOK_PATIENCE_S:g} s and more")
        if wait and self._pause(wait):
            raise Incomplete("stopped while the list was read")

    def _pause(self, seconds: float) -> bool:
        return self.app.stopping.wait(seconds)


def _batches(rows: Iterable[JobRow]) -> Iterator[list[JobRow]]:
    """In batches; if the list breaks off, the earlier rows come first."""
    batch: list[JobRow] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except Incomplete:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
