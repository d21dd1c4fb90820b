"""Makes the plan: every job of the policy's projects against the policy, the holds and the ledger. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.deletion import ID, State
from worker.errors import Unreachable
from worker.ledger.holds import HoldList, OnHold
from worker.ledger.moves import Ref
from worker.meaning import is_of
from worker.metastudio.answer import JobRow, Listing
from worker.retention.catalogue import Catalogue, Incomplete
from worker.retention.context import RetentionContext
from worker.retention.matching import Mismatch, Reason, mismatch, touched
from worker.retention.plan import Chosen, Plan, ProjectPlan
from worker.retention.policy import Policy

BATCH = 500  # jobs whose deletions are looked up at once
LOOK_PATIENCE_S = 120.0
# Gates at which no list is asked for: a pause is for every call, and some refusals more lock a key.
CLOSED = ("paused", "credentials", "misconfigured")

_REQUESTABLE = {None, State.CANCELLED}
_TEXT = {
    State.PENDING: "its deletion waits",
    State.RUNNING: "its deletion is in progress",
    State.DEAD: "its deletion is a dead letter and needs a person",
    State.DISCARDED: "its deletion was discarded by an operator",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One job as the plan sees it; `why` is None for one that is chosen."""

    project: str
    row: JobRow
    why: Mismatch | None


@dataclass(slots=True)
class Survey:
    """One reading of MetaStudio for one policy. `tell` gets every job, `advance(listed, of)` how far it is."""

    running: RetentionContext
    policy: Policy
    account: str
    tell: Callable[[Judged], None] = lambda _: None
    advance: Callable[[int, int | None], None] = lambda _listed, _of: None
    skew_ms: float | None = None  # MetaStudio's clock less Redis's, as the gate learnt it

    def plan(self) -> Plan:
        """The whole plan. A project whose list does not end carries its problem. Raises `Unreachable` and settings'."""
        gate = self.running.reads(self.account).gate()
        if gate.gate in CLOSED:
            raise Unreachable(
                f"account {self.account} is closed ({gate.gate}: {gate.reason}), so no list is requested. Next: "
                + ("eraser resume --reason R" if gate.gate == "paused" else "eraser doctor")
            )
        self.skew_ms = gate.skew_ms
        self.running.check_endpoints()
        self.running.places.check(self.policy.projects, self.account)
        plan = Plan(self.policy)
        on_hold = HoldList(self.running.ledger(self.account)).now()
        for project in self.policy.projects:
            plan.projects.append(self._project(project, on_hold, plan.listed))
        return plan

    def _project(self, project: str, on_hold: OnHold, before: int) -> ProjectPlan:
        found = ProjectPlan(project)
        narrowed = self._filters() if self.policy.narrow else {}
        try:
            if narrowed:
                found.total = self._count(project)
            catalogue = self._catalogue(project, narrowed)
            for rows in _batches(catalogue.rows()):
                self._judge(found, rows, on_hold, self._now(catalogue))
                self.advance(before + found.listed, before + (catalogue.count or 0))
        except Incomplete as problem:
            found.problem = str(problem)
        found.total = max(found.total, found.listed)
        if found.total > found.listed:
            found.skipped[Reason.NOT_LISTED] = found.total - found.listed
        return found

    def _judge(self, plan: ProjectPlan, rows: list[JobRow], on_hold: OnHold, now: datetime) -> None:
        plan.listed += len(rows)
        if any(row.app_user_id for row in rows):
            with suppress(Unreachable):  # a list can be read where nothing can be written
                self.running.ledger(self.account).users.note_in(plan.project)
        matching = [row for row in rows if mismatch(self.policy, row, now) is None]
        refs = [Ref(plan.project, row.job_id) for row in matching]
        states = dict(self.running.glance(self.account).states(refs))
        for row in rows:
            why = mismatch(self.policy, row, now) or self._spared(Ref(plan.project, row.job_id), row, states, on_hold)
            if why is None:
                plan.chosen.append(self._chosen(plan.project, row))
            else:
                plan.skipped[why.reason] += 1
            self.tell(Judged(plan.project, row, why))

    def _spared(self, ref: Ref, row: JobRow, states: dict[Ref, State | None], on_hold: OnHold) -> Mismatch | None:
        """What speaks against a job that matches."""
        state = states[ref]
        if not is_of(row, ref.project_id):
            return Mismatch(Reason.FILTER, "MetaStudio says that it belongs to another project")
        if ref in on_hold.refs:
            return Mismatch(Reason.HELD, "it is on hold")
        users = self.running.ledger(self.account).users
        if on_hold.users and users.hashed(row.app_user_id) in on_hold.users:
            return Mismatch(Reason.HELD, "its app user is on hold")
        if state is State.HELD:
            return Mismatch(Reason.HELD, "its deletion is on hold")
        if state not in _REQUESTABLE:
            return Mismatch(Reason.ALREADY_REQUESTED, _TEXT.get(state, f"its deletion is {state}") if state else "")
        return None

    def _chosen(self, project: str, row: JobRow) -> Chosen:
        asset = row.asset_id if row.asset_id and ID.fullmatch(row.asset_id) else None  # only what is surely an id
        return Chosen(Ref(project, row.job_id), row.state, touched(self.policy, row) or self.running.now(), asset)

    # -- asking MetaStudio -------------------------------------------------------------------------------------------

    def _now(self, catalogue: Catalogue) -> datetime:
        """The earlier one of our clock and MetaStudio's: no clock that runs ahead makes a job old enough."""
        now = self.running.now()
        return min(now, catalogue.date) if catalogue.date else now

    def _filters(self) -> dict[str, Any]:
        """What may safely narrow the list: each may leave out only what does not match, however it is read."""
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
            wanted["create_until"] = self.running.now() - timedelta(seconds=policy.older_than_s) + timedelta(minutes=5)
        return {name: value for name, value in wanted.items() if value is not None}

    def _count(self, project: str) -> int:
        """How many jobs there are, by one unfiltered question."""
        catalogue = self._catalogue(project, {})
        next(catalogue.rows(), None)
        return catalogue.count or 0

    def _catalogue(self, project: str, filters: dict[str, Any]) -> Catalogue:
        client, _ = self.running.client(self.account)

        def page(**asked: Any) -> Listing:
            return client.list(project, app_user=self.policy.app_user, signed_at=self._signed_at(), **asked)

        return Catalogue(page, self._turn, self._pause, client.renew, filters)

    def _signed_at(self) -> datetime | None:
        """MetaStudio's clock where the gate knows that it differs from ours."""
        if self.skew_ms is None:
            return None
        return datetime.fromtimestamp((self.running.reads(self.account).now_ms() + self.skew_ms) / 1000, UTC)

    def _turn(self) -> None:
        """Wait for a slot of the lookups' pace, which all workers and commands share."""
        wait = self.running.ledger(self.account).look(patience_s=LOOK_PATIENCE_S)
        if wait is None:
            raise Incomplete(f"the lists of account {self.account} are busy for {LOOK_PATIENCE_S:g} s and more")
        if wait and self._pause(wait):
            raise Incomplete("stopped while the list was read")

    def _pause(self, seconds: float) -> bool:
        return self.running.stopping.wait(seconds)


def _batches(rows: Iterable[JobRow]) -> Iterator[list[JobRow]]:
    """So many at once; where the list breaks off, what came before first."""
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
