"""The fields of an erasure's record: what is known of what a training job leaves behind."""

from __future__ import annotations

from enum import StrEnum


class ErasureField(StrEnum):
    """One field: its stored name, what it holds, and which move sets it. Times are ms since 1970."""

    meaning: str
    set_by: str

    def __new__(cls, stored: str, meaning: str, set_by: str) -> ErasureField:
        field = str.__new__(cls, stored)
        field._value_ = stored
        field.meaning, field.set_by = meaning, set_by
        return field

    RELATED = "related", "verify or delete", "confirm, settle, erase_related"
    INVENTORY = "inventory", "done: what belonged to the job is known; none: nobody could say", "confirm, settle"
    ROUND = "round", "in which round of the deletion that was found; none: the first", "confirm"
    PARTS = "parts", "JSON: the parts, each as `worker.rules.parts.Part` writes it", "confirm, record_look"
    OPENED_AT = "opened", "when the job, or the last part, was deleted: the looks count from here", "settle"
    LOOKS = "looks", "how many looks there were since then", "record_look"
    LEASES = "leases", "how often somebody began to look: only the last one may say what it saw", "lease_erasures"
    VERDICT = "verdict", "what became of the whole, so far", "settle, record_look"
    APP_USER = "user", "the app user in whose name the parts are looked for, until it is closed", "settle"
    APP_USER_HASH = "au", "the same, hashed: for holds", "settle"
    OWNER_HASH = "owner", "the app user whose job it was, hashed: for holds", "settle"
    CLOSED_AT = "closed", "when its last look was made", "record_look"
