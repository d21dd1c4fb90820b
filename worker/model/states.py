"""The model: what a deletion is, its states, and which ids may be part of a URL.

    pending ──take──▶ running ──settle──▶ deleted | gone | pending (again, later) | dead
       │ ▲                │
       │ └──── rescue ────┘         (the lease ran out)
       ├── hold ▶ held ── release ▶ pending
       ├── cancel ▶ cancelled ── request ▶ pending
       dead ── replay | request ▶ pending (a new round); the replay stops before any call ▶ dead, as it was
       dead ── discard ▶ discarded ── restore ▶ dead, request ▶ pending (a new round)

A 200 from MetaStudio wins against every state, however late it comes.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a deletion. A deletion is in exactly one index, which its state names."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    DELETED = "deleted"
    GONE = "gone"
    DEAD = "dead"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


class WaitingFor(StrEnum):
    """What a pending deletion waits for. The first five are its own; the rest are its account's gate."""

    TURN = "turn"
    GRACE = "grace"
    RETRY = "retry"
    NOT_DELETABLE_YET = "not_deletable_yet"
    POLICIES = "policies"
    THROTTLED = "throttled"
    OUTAGE = "outage"
    CREDENTIALS = "credentials"
    PAUSED = "paused"
    MISCONFIGURED = "misconfigured"


class Cause(StrEnum):
    """Why a deletion is dead and needs a person."""

    SERVER_ERROR = "server_error"  # 5xx, reset or silence until the attempts were used up
    REFUSED = "refused"  # the job exists and is deletable by the documents, but MetaStudio refuses
    DEADLINE = "deadline"  # its deadline passed while it waited
    WORKER_LOST = "worker_lost"  # three workers died while they processed it
    NOT_OURS = "not_ours"  # what a job left behind is not provably that job's own
    NOT_VISIBLE = "not_visible"  # the project's whole list stayed empty, so absence is no proof


class Evidence(StrEnum):
    """How sure it is that a `gone` job existed and no longer does."""

    AFTER_OUR_CALL = "after_our_call"  # a call was sent, or may have been; then it was absent
    SEEN_BEFORE = "seen_before"  # a list or show had it; then it was absent
    NEVER_SEEN = "never_seen"  # it was never seen


class Outcome(StrEnum):
    """The outcome of one DELETE call, as in its line of the record's history."""

    DELETED = "deleted"
    GONE = "gone"  # it was absent, and lookups showed how sure that is
    ABSENT = "absent"  # it was absent, and has to be looked up once more
    UNSEEN = "unseen"  # it was absent, but the whole list is empty: no proof, looked up again over hours
    NOT_DELETABLE_YET = "not_deletable_yet"
    FAILED = "failed"
    REFUSED = "refused"  # it exists and looks deletable
    UNKNOWN = "unknown"  # the answer needed a lookup, which got no usable answer
    DEAD = "dead"  # it was absent, and the whole list stayed empty
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    FORBIDDEN = "forbidden"
    MISCONFIGURED = "misconfigured"


class Lane(StrEnum):
    """Who requested it: a person (`user`, always first) or a sweep or file (`bulk`)."""

    USER = "user"
    BULK = "bulk"
