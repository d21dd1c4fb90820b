"""The fields of a deletion's record.

Python says `Field.DEADLINE`, a Lua source `F.deadline`; both become the stored name when they run (see
`worker.ledger.scripts`). Stored names are short because there are millions of records: at full length a waiting
deletion takes half as much memory again.
"""

from __future__ import annotations

from enum import StrEnum

OVER = ("deleted", "gone", "cancelled")  # nothing more is asked of it: what was personal goes
ENDS = (*OVER, "dead", "discarded")
WAITS = ("pending", "held", *ENDS)
NEW_ROUND = "new round"  # not a state: a replay or another request of what had ended


class Field(StrEnum):
    """One field: its stored name, what it holds, and which states drop it when a deletion enters them.

    Times are ms since 1970 by the ledger's time.
    """

    type: str
    meaning: str
    set_by: str
    dropped_on: tuple[str, ...]

    def __new__(cls, stored: str, type_: str, meaning: str, set_by: str, dropped_on: tuple[str, ...] = ()) -> Field:
        field = str.__new__(cls, stored)
        field._value_ = stored
        field.type, field.meaning, field.set_by, field.dropped_on = type_, meaning, set_by, dropped_on
        return field

    # where it stands
    STATE = "state", "state", "where the deletion stands: the index that it is in", "every transition"
    LANE = "lane", "user|bulk", "the more urgent lane of its claims", "claims"
    WAITING_FOR = "wait", "word", "what a pending one waits for; none: its turn", "settle, request", (*WAITS, "running")
    CAUSE = "cause", "word", "why it is dead", "settle, rescue, take", (*ENDS, NEW_ROUND)
    EVIDENCE = "evidence", "word", "how sure it is that a gone one is gone", "settle", (*ENDS, NEW_ROUND)
    FINISHED_AT = "end", "ms", "when it entered its end", "every end", (NEW_ROUND,)
    HELD_SINCE = "ht", "ms", "since when it is held; its deadlines stand still meanwhile", "hold", ("pending", *ENDS)

    # who asked for it: its first claim
    REQUESTED_AT = "at", "ms", "when it was first requested", "claims"
    DEADLINE = "dl", "ms", "when it dies of time: the earliest of its claims", "claims"
    REQUESTED_BY = "by", "id", "who requested it", "claims"
    REASON = "why", "text", "why", "claims"
    RUN = "run", "id", "the run of a policy that requested it", "claims"
    POLICY = "pol", "name", "the policy that requested it", "claims"
    POLICY_TEXT = "text", "ms", "since when the policy's text was the text", "claims"
    EXACT_TIME = "moment", "1", "its due time is a moment that was named, not a delay", "claims"
    RELATED = "related", "word", "what it wants done about what the job leaves behind; none: as is set", "claims"
    CLAIMS = "claims", "claims", "all claims, where there are several", "claims"

    TRACEPARENT = "tp", "traceparent", "the span of its first request (W3C), where tracing was on", "request"

    # whose it is
    APP_USER = "user", "id", "the app user that a caller named; sent as a header", "request", OVER
    APP_USER_HASH = "au", "HMAC", "the same, hashed: for holds", "request", OVER
    OWNER_HASH = "owner", "HMAC|-", "the app user whose job a lookup found; -: nobody's", "confirm, settle", OVER

    # what is known of it
    LISTED = "listed", "1", "a list or a lookup showed the job", "request, settle"
    ASSET_ID = "asset", "id", "its model asset", "request, settle"
    VOICE_JOB_ID = "voice", "id", "its voice training job", "settle"
    PARENT = "par", "ref", "the job that left it behind; only of a part", "request"
    FOR_GOOD = "force", "1", "also where others only go into the recycle bin; only of a part", "request"
    INVENTORY_TRIES = "inv", "number", "times nobody could say what belongs to the job", "settle", (*ENDS, NEW_ROUND)

    # the present round: one budget of attempts
    ROUND = "round", "number", "which round it is; none: the first", "new round"
    ATTEMPTS_USED = "used", "number", "attempts of this round's budget that are used up", "settle", (*OVER, NEW_ROUND)
    CALLS = "cl", "number", "DELETE calls of this round", "settle", (NEW_ROUND,)
    STATUS = "sc", "HTTP status", "HTTP status of the last DELETE", "settle", (NEW_ROUND,)
    CODE = "code", "word", "MetaStudio's code in that answer", "settle", (NEW_ROUND,)
    LEASES_LOST = "lost", "number", "leases whose worker was gone", "rescue", (NEW_ROUND,)
    NOT_DELETABLE_COUNT = "later", "number", "times it was in a state that forbids deletion", "settle", (NEW_ROUND,)
    REFUSED_COUNT = "refused", "number", "times it was refused though it looks deletable", "settle", (NEW_ROUND,)
    LOOKUP_COUNT = "look", "number", "lookups without result; set: look first", "settle, cancel", (*OVER, NEW_ROUND)
    EMPTY_LOOKUP_COUNT = "unseen", "number", "times its whole project looked empty", "settle", (*OVER, NEW_ROUND)
    OUTCOME_UNKNOWN = "unk", "1", "a call may have left whose answer nobody knows", "settle, rescue"
    CANCEL_REQUESTED = "wish", "cancel", "it was withdrawn while a call may be under way", "cancel", (*OVER, NEW_ROUND)
    CALL_ENDS_AT = "busy", "ms", "until when a call of an earlier round may be under way", "settle", ("running",)

    # the lease
    LEASE_TOKEN = "tok", "token", "what the holder of the lease has to show", "take", WAITS
    WORKER = "wrk", "id", "the worker that holds it", "take", WAITS
    TAKEN_AT = "tk", "ms", "when it was leased", "take", WAITS
    PREVIOUS_DUE = "was", "ms", "when it was due before", "take", WAITS
    UNSENT = "unsent", "1", "it is looked up first: no call has left under this lease", "take, confirm", WAITS

    # history
    HISTORY = "log", "lines", "attempts and events of this round", "every move"
    PAST_HISTORY = "past", "lines", "the same of the rounds before", "new round"
    HISTORY_DROPPED = "cut", "count", "how many lines of those went", "new round"

    # dead letters
    GROUP = "grp", "name", "the group in which it is dead", "every death", ("pending", *OVER, "discarded")
    DEATH_NUMBER = "dn", "number", "which death of the account it was, so that a plan says which it saw", "every death"
    REPLAY = "rp", "id", "the replay that began its present round", "replay", (NEW_ROUND,)
    BEFORE_REPLAY = "back", "round|-", "what it was before, until the first result; -: it stays", "replay", (NEW_ROUND,)
