"""The fields of an account's gate. They are stored under their names: there is one gate an account."""

from __future__ import annotations

from enum import StrEnum


class GateField(StrEnum):
    """One field of the hash `gate`. Times are ms since 1970 by the ledger's time, spans ms."""

    meaning: str

    def __new__(cls, stored: str, meaning: str) -> GateField:
        field = str.__new__(cls, stored)
        field._value_ = stored
        field.meaning = meaning
        return field

    PAUSED = "paused", "an operator's reason to stop all calls"
    PAUSED_AT = "paused_at", "when"
    PAUSED_BY = "paused_by", "by whom"
    CLOSED = "closed", "how many scopes are closed, or have to be tried first (see `closures`)"
    GOOD_KEY = "good:<key>", "when this key (a fingerprint) last worked for this account"
    BAD_KEY = "bad:<key>", "this key was refused: closed for its holders until then"
    TRYING_KEY = "trying:<key>", "somebody tries a key that nobody here knows, until then"
    SLOT = "slot", "the next free slot of a DELETE"
    LOOK_SLOT = "look_slot", "the next free slot of a GET; with `:user` one of a person's"
    LOOK_PAUSE = "look_pause", "no GET before: one was answered 429"
    NTH = "nth", "how many DELETEs were let through"
    LEFT = "left", "when the last second's DELETEs left, each at the place of its number: see _limiter.lua"
    CALLED_UNTIL = "called_until", "an executor was called: no other one before"
    SHARE = "share", "of the documented rate: what part of it is used"
    SLOW = "slow", "how many times slower than that, after 429s"
    THROTTLES = "throttles", "429s lately; good answers and time make up for them"
    THROTTLED_AT = "throttled_at", "when the last one came"
    THROTTLED_UNTIL = "throttled_until", "no call before"
    CALL_MS = "call_ms", "moving average of a call's length"
    FAILING = "failing", "how many different jobs failed since the last answered DELETE"
    FORBIDDEN = "forbidden", "1: some DELETE was forbidden while lists were answered"
    WELL = "well", "when the last job that was answered was due"
    WELL_AT = "well_at", "when it was answered"
    PERSON_AT = "person_at", "when a person's deletion last went"
    HOME = "home", "its project"
    PAST = "past:<queue>", "the queue (`<lane>`, `<lane>:<kind>`) is closed up to this due time: see _lanes.lua"
    TIES = "ties:<queue>", "so many of that very due time as well"
    PAST_AT = "past_at", "when that was found"
    OF_FAMILY = "<name>:<family>", "what is about a pace or failures, of another family of calls than the jobs' DELETE"
    STRAY = "stray:<project>", "since when a worker whose settings lack the project comes for it"
    SERVED = "served:<project>", "when one of its deletions was last called for, while there is such a worker"
    PREPARE_MS = "prepare_ms", "how long what is asked right before a DELETE takes, in most cases"
    COUNT = "n:<counter>", "what turns counted since `counted_at`: not in `counters` yet"
    ENDED = "e:<minute> <state>", "the same of `ends:<hour>`"
    COUNTED_AT = "counted_at", "when that was last added up"
    CLOCK_KEPT = "clock_kept", "when the hash `clock` was last written, by a clock that agrees with its caller's"
    SKEW = "skew", "MetaStudio's clock less Redis's; calls are signed with it"
    SKEW_AT = "skew_at", "when it was measured"
    QUOTA = "quota:<family>", "what the API gateway says of its limit: JSON scope, limit, period_s, remaining, at"
