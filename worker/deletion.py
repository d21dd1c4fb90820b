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

import re
from enum import StrEnum

from worker.errors import UsageError


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


APP_USER = "app user"
ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_OPAQUE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/#-]{0,63}")
_REASON = re.compile(r"[0-9A-Za-z][0-9A-Za-z ._:;,/#()-]{0,63}")
_PHONE = re.compile(r"(?:^|[ :;,(/#])(?:86-?)?1[3-9][0-9]-?[0-9]{4}-?[0-9]{4}(?:$|[ ;,)/.])")  # mobile, mainland China


def why_bad_id(text: object, what: str = "job id") -> str | None:
    """Say what is wrong with an id, or None when it may reach a URL.

    `..`, `.` and the empty id turn a DELETE of one job into a DELETE of something else (API reference, 4.6).
    """
    if isinstance(text, str) and ID.fullmatch(text):
        return None
    if not isinstance(text, str):
        found = f"a {type(text).__name__}"
    elif text == "":
        found = "nothing"
    elif len(text) > 64:
        found = f"{len(text)} characters"
    else:
        bad = next((c for i, c in enumerate(text) if not ID.fullmatch(c if i == 0 else f"0{c}")), text[0])
        found = f"{bad!r}"
    return f"a {what} is 1 to 64 letters, digits, '_' or '-', the first a letter or digit; found {found}"


def is_opaque(text: str) -> bool:
    return _OPAQUE.fullmatch(text) is not None


def check_opaque(text: str | None, what: str) -> str | None:
    """Return `text` if it is an opaque id (who asked, run, app user); raise `UsageError` otherwise.

    An app user is whatever MetaStudio was told: it is sent, and never shown, so nothing more is asked of it.
    """
    if text is None or (is_opaque(text) and (what == APP_USER or not _PHONE.search(text))):
        return text
    raise UsageError(
        f"{what}: use an opaque id of 1 to 64 letters, digits or . _ : / # -; never a name, e-mail or phone number"
    )


def check_reason(text: str | None) -> str | None:
    """Return `text` if it is a reason such as a ticket number; raise `UsageError` otherwise."""
    if text is None or (_REASON.fullmatch(text) and not _PHONE.search(text)):
        return text
    raise UsageError(
        "reason: use a ticket number or a few plain words, 1 to 64 letters, digits, blanks or . _ : ; , / # ( ) -; "
        "never personal data"
    )
