"""What goes into the ledger's moves and what comes out of them: plain values, no I/O."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from worker.ledger.values import as_options
from worker.model.states import Lane, State
from worker.model.target import JOB, Target

BY_ERASURE = "erasure"  # who asks for what a job left behind: `lua/cancel.lua` finds these claims by it


@dataclass(frozen=True, slots=True)
class KindPace:
    """The pace of another kind than jobs: of its DELETEs, and of its GETs."""

    kind: str
    family: str
    interval: float
    look_family: str
    look_interval: float


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The knobs of an account's gate; durations in milliseconds. See `lua/_gate.lua`."""

    interval: float  # between DELETEs at the full documented rate
    lease: float  # how long an executor may hold a deletion
    look_interval: float  # between GETs
    max_calls: int = 256  # calls under way at once, however slow they are
    outage_after: int = 5  # different jobs that fail without a sign of life between them
    outage_pause: float = 2_000  # before the first try; each that comes to nothing doubles it
    outage_pause_max: float = 180_000
    misconfigured_pause: float = 60_000
    misconfigured_pause_max: float = 900_000
    block_pause: float = 60_000  # where there is nothing to sign with: nothing is sent to find out
    kinds: tuple[KindPace, ...] = ()
    key_pause: float = 60_000  # of a refused key, where its record could not be told; see `worker.execution.key_budget`


@dataclass(frozen=True, slots=True)
class PolicyText:
    """Which text of the policies' file a process acts on; see `lua/_policy_texts.lua`. `at` in ms since 1970."""

    id: str  # a hash of its policies
    at: float  # when the file was written; where this process saw it change: when
    changed: bool = False


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """Who asks for a deletion, why and how urgently. Times in seconds from now."""

    lane: Lane = Lane.BULK
    by: str | None = None
    why: str | None = None
    run: str | None = None
    app_user: str | None = None
    delay_s: float = 0.0
    deadline_s: float = 30 * 86400.0
    after_ms: float | None = None  # a moment, ms since 1970, in the place of the delay
    force: bool = False  # also when it is `deleted` or `gone` already
    policy: str | None = None  # the retention policy that asks; it has to mean it still when the call is made
    policy_text: PolicyText | None = None  # the text that says so: a worker with an older one does not judge it
    related: str | None = None  # leave, verify or delete: what is done about what a job leaves behind; None: as set
    parent: str | None = None  # the ref of the job that left these parts behind
    looked: int | None = None  # the number of the lease of whoever found them: it counts only if nothing changed since
    for_good: bool = False  # also where others only go into the recycle bin
    listed: bool = False  # a list of MetaStudio's had these jobs a moment ago
    action: dict[str, Any] | None = None  # for the audit, where a person allowed more than the cap
    traceparent: str | None = None  # the span in which it is requested, where tracing is on


class Effect(StrEnum):
    """What a request did."""

    NEW = "new"  # there was no record of the job
    MERGED = "merged"  # with the requests that are there, and nothing else changed
    NEW_ROUND = "new_round"  # of one that had ended: dead, discarded, cancelled, or with `force` deleted or gone
    ALREADY_DONE = "already_done"  # deleted or gone: nothing is sent


@dataclass(frozen=True, slots=True)
class Accepted:
    """One request's end: it is recorded, and stands in `state`."""

    ref: Target
    state: str
    deduplicated: bool
    new_round: bool = False  # it had ended, and starts again with a whole budget of attempts

    @property
    def effect(self) -> Effect:
        """What this request did."""
        if self.new_round:
            return Effect.NEW_ROUND
        if not self.deduplicated:
            return Effect.NEW
        return Effect.ALREADY_DONE if self.state in (State.DELETED, State.GONE) else Effect.MERGED


ABSENT_ONCE = 1000  # added to `lookup_count` when a well-formed list did not have the job


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one attempt, until `expires`: by `elapsed`, so that whoever slept through it knows."""

    ref: Target
    token: str
    lane: Lane
    round: int
    attempts_used: int  # of this round's budget
    calls: int  # DELETE calls made in this round
    not_deletable_count: int  # times it was not deletable yet
    refused_count: int  # times MetaStudio refused although it looked deletable
    lookup_count: int  # 0: call DELETE; n: look first, for the n-th time; above ABSENT_ONCE: and it was absent already
    outcome_unknown: bool  # of an earlier attempt: it may be deleted
    listed: bool  # a list or show had it
    empty_lookup_count: int  # lookups in a row at which the whole project looked empty
    cancel_requested: bool
    app_user: str | None
    probe: str | None  # this lease tries whether what is closed may open: its name in `lua/_closures.lua`
    skew_ms: float | None  # MetaStudio's clock less Redis's
    redis_ms: float  # Redis's clock when it was taken
    taken: float  # by `elapsed`, before the script was sent
    expires: float
    deadline_left_s: float
    ahead_s: float = 0.0  # its slot is so far ahead: the call waits for it
    call_seq: int | None = None  # the number of the call that it allows; none yet where something is asked first
    owner_lookup: bool = False  # an app user is on hold and nobody knows whose job this is: look first
    policies: tuple[str, ...] = ()  # nobody but these policies asks for it: one of them has to mean it still
    skew_ago_ms: float = math.inf  # so long ago it was measured
    related: str | None = None  # what is done about what the job leaves behind
    inventory: bool = False  # nobody has found out yet what belongs to the job
    inventory_tries: int = 0  # times that failed
    parent: str | None = None  # the job that left this part behind
    shared: bool = False  # another job named this part, too
    for_good: bool = False  # also where others only go into the recycle bin
    experiment: bool = False  # it is to show how MetaStudio treats what a job leaves: see `worker.rules.experiment`
    unsent: bool = False  # something is asked first: `Ledger.confirm` has to say that the DELETE may leave
    traceparent: str | None = None  # the span of its request

    @property
    def absent_once(self) -> bool:
        """Whether an earlier list of this round did not have it."""
        return self.lookup_count > ABSENT_ONCE

    @property
    def first(self) -> bool:
        """Whether nothing was ever sent for it in this round."""
        return self.calls == 0


@dataclass(frozen=True, slots=True)
class GateSignal:
    """What a call taught about the account; the gate learns from it. Times in milliseconds."""

    kind: str  # see `learn` in `lua/_breaker.lua`
    key: str | None = None
    ms: float | None = None
    probe: str | None = None
    retry_after: float | None = None
    skew: float | None = None
    why: str | None = None
    quota: dict[str, Any] | None = None  # what the gateway said of its limit: see `schema/gate.py`


_AS_TEXT = ("attempt", "event", "status")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a lease. Written by `worker.rules.outcome`, carried out by `lua/_settle.lua`."""

    ref: Target
    token: str
    to: str  # pending, or a state that ends it
    wait: str | None = None
    delay_s: float = 0.0
    cause: str | None = None
    evidence: str | None = None
    used: bool = False  # the attempt counts against the round's budget
    called: bool = False  # a DELETE was made
    ms: float = 0.0
    attempt: dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    code: str | None = None
    signal: GateSignal | None = None
    policy_text: PolicyText | None = None  # by which policies were asked
    call_seq: int | None = None  # the number of the call that the lease allowed
    prepared_ms: float | None = None  # how long what was asked before the DELETE took
    erasure: dict[str, Any] | None = None  # of a job: related, first_look_ms; see `lua/_erasure.lua`
    departed_ms: float | None = None  # when it left, after the lease was asked for; None: no DELETE was sent

    def as_options(self) -> dict[str, Any]:
        """The script's form; what the history and the receipts keep is text there."""
        outcome = {"outcome": self.attempt["outcome"]} if self.attempt and "outcome" in self.attempt else {}
        texts = {name: compact(value) for name in _AS_TEXT if (value := getattr(self, name)) is not None}
        options = as_options(self) | texts | outcome
        return {name: value for name, value in options.items() if value or name not in ("delay_s", "fields")}


@dataclass(frozen=True, slots=True)
class Rebound:
    """What came of giving an account another address."""

    was: str | None  # the address before; None: it had none yet
    bound: bool  # it has the new one now
    waits: dict[str, int]  # pending, running, held, dead: while there are any it keeps the old one

    @property
    def free(self) -> bool:
        return not any(self.waits.values())


@dataclass(frozen=True, slots=True)
class Trial:
    """A harmless list to ask for before anything else is called: it tries what is closed, or a key."""

    name: str  # of the closure, or `key`
    project_id: str | None  # whose list; None: of any, and nobody knows one
    skew_ms: float | None
    redis_ms: float
    taken: float  # by `elapsed`, before the script was sent
    skew_ago_ms: float = math.inf
    kind: str = JOB  # what is listed

    @property
    def own(self) -> bool:
        """Whether it is about the account, so that a project of the account's own is asked for."""
        return not self.name.startswith("project ")


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial's list taught."""

    name: str
    project_id: str
    signal: GateSignal
    kind: str = JOB


@dataclass(frozen=True, slots=True)
class TakeResult:
    """What an executor gets: a lease, or a list to ask for, or to wait, or that there is nothing for it."""

    lease: Lease | None = None
    ahead: tuple[Lease, ...] = ()  # more of them, for whoever of this process is free soon
    trial: Trial | None = None
    wait_s: float | None = None
    settled: str | None = None  # what became of the settlement that came along
    earlier: tuple[str, ...] = ()  # the same of each one that went before it
    wakeup: str | None = None  # call another executor with this wake-up
    erasures: bool = False  # what jobs left behind is to be looked for now
    next_ms: float | None = None  # Redis time when somebody should look again


class Look(NamedTuple):
    """What a dispatcher finds in an account."""

    wakeup: str | None  # to be sent to an executor
    next_ms: float | None  # Redis time when to look again
    replays: list[str]  # ids of those that have to be driven
    lost: bool = False  # a lease ran out: `rescue` brings back what it held


compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def lean(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value is not False}
