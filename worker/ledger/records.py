"""What people see of one account: a deletion with its history, the gate and what is closed, the account in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from worker.ledger import values
from worker.ledger.archived import Archived
from worker.ledger.bindings import Binding
from worker.ledger.erasures import ErasureRecord
from worker.ledger.schema.fields import Field
from worker.ledger.values import Shape
from worker.model.quota import Quota
from worker.model.states import State, WaitingFor
from worker.model.target import JOB, Target

_T = TypeVar("_T")


def of_record(kind: Callable[..., _T], /, **stored: Field) -> Shape[_T]:
    """How a dataclass is read from a deletion's record: each field stands there as the schema's field of its name."""
    known = {field.name.lower(): field.value for field in Field}
    names = {one.name: stored.get(one.name, known.get(one.name)) for one in fields(kind)}  # type: ignore[arg-type]
    return Shape(kind, **names)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One DELETE call. `at` in ms since 1970, Redis's clock."""

    n: int
    round: int
    at: float
    fields: dict[str, Any]  # status, code, message, request_id, ms, outcome, failure


@dataclass(frozen=True, slots=True)
class Event:
    """Anything else that happened: requested again, looked, lost, replayed, …"""

    at: float
    name: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One record as it stands, its fields in the order of its JSON. All times in ms since 1970, Redis's clock."""

    ref: Target
    state: State
    waiting_for: WaitingFor | None
    cause: str | None
    evidence: str | None
    lane: str = "bulk"
    reason: str | None
    requested_by: str | None
    requested_at: float
    due_at: float | None
    deadline_at: float
    finished_at: float | None
    round: int = 1
    attempts: tuple[Attempt, ...] = ()
    account: str
    run: str | None
    replay: str | None = None  # that began its present round
    may_be_deleted: bool
    claims: tuple[dict[str, Any], ...]  # further ones: by, why, run, pol, at, lane, due, dl
    events: tuple[Event, ...] = ()
    used: int  # attempts of this round's budget that are used up
    cancel_wanted: bool
    status: int | None  # of the last DELETE
    code: str | None
    asset_id: str | None
    voice_train_job_id: str | None
    cut: int = 0  # lines of earlier rounds that its history let go of
    whole: ErasureRecord | None = None  # what it left behind; None: nobody looks
    archived: Archived | None = None  # its record has left Redis; `worker.services.archived` finds the rest


DELETION = of_record(
    Deletion,
    deadline_at=Field.DEADLINE,
    used=Field.ATTEMPTS_USED,
    voice_train_job_id=Field.VOICE_JOB_ID,
    cut=Field.HISTORY_DROPPED,
)


@dataclass(frozen=True, slots=True)
class Closure:
    """What is closed: see `lua/_closures.lua`. Times in ms since 1970."""

    scope: str  # account, key, family or project
    name: str  # the account's, the key's fingerprint, the family's, the project's id (and `/<kind>`, if it is no job's)
    cause: str  # outage, misconfigured, credentials, paused or throttled
    since: float | None
    until: float | None  # when it is tried again; None: when a person acts
    target: str | None  # the job that closed it
    requested_by: str | None  # whoever asked for that, or paused it
    reason: str | None
    project_id: str | None = None  # of that job, where it is known


_QUOTA = Shape(Quota, family=None)


def quotas(fields: Mapping[str, str]) -> tuple[Quota, ...]:
    """Those in a gate's fields; what another program wrote there is left out."""
    found = (
        _QUOTA.read(values.fields(text), family=name.removeprefix("quota:"))
        for name, text in sorted(fields.items())
        if name.startswith("quota:")
    )
    return tuple(one for one in found if one.limit > 0 and one.period_s > 0)


@dataclass(frozen=True, slots=True)
class Gate:
    """An account's gate for people: ok, throttled, outage, credentials, clock, misconfigured or paused."""

    account: str
    gate: str
    since: float | None  # ms since 1970
    until: float | None  # when it is tried again; None: when a person acts, or does not apply
    rate: float  # calls a second it aims at now
    reason: str | None
    skew_ms: float | None
    closures: tuple[Closure, ...] = ()
    quotas: tuple[Quota, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether calls may be made at all."""
        return self.gate in ("ok", "clock", "throttled")

    @property
    def shut(self) -> Closure | None:
        """The closure that the gate's state is about, if it is not a project's."""
        return next((one for one in self.closures if one.cause == self.gate and one.scope != "project"), None)

    def closes(self, target: Target) -> bool:
        """Whether the project alone is closed for targets of this kind."""
        name = target.project_id if target.kind == JOB else f"{target.project_id}/{target.kind}"
        return any(one.scope == "project" and one.name == name for one in self.closures)


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account in numbers."""

    gate: Gate
    states: dict[State, int]  # of jobs
    oldest_due_s: float | None  # how long the most overdue pending deletion has been due; None: nothing is due
    parts: dict[State, int] = field(default_factory=dict)  # the same of what jobs left behind, and of other kinds
    erasures: dict[str, int] = field(default_factory=dict)  # how many have each verdict
    due: dict[str, int] = field(default_factory=dict)  # by lane, due now
    oldest_due_by_lane: dict[str, float] = field(default_factory=dict)  # the same, of each lane that has some
    next_due_at: float | None = None  # when the next pending one is due, where none is due now
    holds: int = 0  # of jobs and of app users
    bound: Binding | None = None  # its address at MetaStudio; None: nobody used it yet
    archived: int = 0  # of those that ended: their records have left Redis (see `worker.ledger.archived`)
    came_back: int = 0  # deleted jobs that MetaStudio has again and nobody requested since
    damaged: int = 0  # entries that another program spoilt and nobody has looked at yet (see `worker.ledger.damage`)

    @property
    def every(self) -> dict[State, int]:
        """Deletions of all kinds."""
        return {state: number + self.parts.get(state, 0) for state, number in self.states.items()}
