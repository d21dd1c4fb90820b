"""The words of the project: what a deletion is, its states, and which ids may reach a URL.

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
    """Where a deletion stands. A deletion is in exactly one index, and its state names it."""

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
    REFUSED = "refused"  # the job is there and deletable by the documents, yet MetaStudio refuses
    DEADLINE = "deadline"  # its deadline passed while it waited
    WORKER_LOST = "worker_lost"  # three workers died holding it
    NOT_VISIBLE = "not_visible"  # the project's whole list stayed empty: absence is no proof


class Evidence(StrEnum):
    """How sure we are that a `gone` job was there and is no more."""

    AFTER_OUR_CALL = "after_our_call"  # an earlier attempt's answer was lost; then it was absent
    SEEN_BEFORE = "seen_before"  # a list or show had it, then it was absent
    NEVER_SEEN = "never_seen"  # nobody here ever saw it


class Outcome(StrEnum):
    """What one DELETE call came to, as its line in the record's history says it."""

    DELETED = "deleted"
    GONE = "gone"  # it was not there; asking told how sure that is
    ABSENT = "absent"  # it was not there, and has to be asked for once more
    UNSEEN = "unseen"  # it was not there, but the whole list is empty: no proof, asked again over hours
    NOT_DELETABLE_YET = "not_deletable_yet"
    FAILED = "failed"
    REFUSED = "refused"  # it is there and looks deletable
    UNKNOWN = "unknown"  # the answer needed another question, and that was not answered
    DEAD = "dead"  # it was not there, and the whole list stayed empty
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    FORBIDDEN = "forbidden"
    MISCONFIGURED = "misconfigured"


class Lane(StrEnum):
    """Who waits: a person (`user`, always first) or a sweep or file (`bulk`)."""

    USER = "user"
    BULK = "bulk"
