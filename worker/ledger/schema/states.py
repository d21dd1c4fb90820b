"""States of a deletion: the index of each, what entering it drops, and which move may make the step."""

from __future__ import annotations

from typing import Final

from worker.ledger.schema.fields import Field
from worker.ledger.schema.keys import Key
from worker.model.target import JOB, KINDS

VERSION: Final = 2  # of all that Redis holds: one step apart work side by side (see `lua/_once.lua`, docs/upgrading.md)

INDEX: Final[dict[str, tuple[Key, ...]]] = {
    "pending": (Key.DUE_USER, Key.DUE_BULK),
    "running": (Key.RUNNING,),
    "held": (Key.HELD,),
    "deleted": (Key.DELETED,),
    "gone": (Key.GONE,),
    "dead": (Key.DEAD,),
    "cancelled": (Key.CANCELLED,),
    "discarded": (Key.DISCARDED,),
}


def queues_of(kind: str) -> list[str]:
    """The indexes of what is pending of a kind."""
    return [str(index) if kind == JOB else f"{index}:{kind}" for index in INDEX["pending"]]


def indexes_of(state: str) -> list[str]:
    """The indexes of a state."""
    if state == "pending":
        return [queue for kind in KINDS for queue in queues_of(kind)]
    return [str(index) for index in INDEX[state]]


def indexes() -> list[str]:
    """All of them."""
    return [index for state in INDEX for index in indexes_of(state)]


TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    ("", "pending"): "request",
    ("pending", "running"): "take",
    ("pending", "held"): "hold, take",
    ("pending", "dead"): "take: its deadline",
    ("pending", "cancelled"): "cancel",
    ("pending", "dead as before"): "revert_unstarted",
    ("running", "pending"): "settle, rescue, cancel",
    ("running", "held"): "settle, hold",
    ("running", "deleted"): "settle",
    ("running", "gone"): "settle",
    ("running", "dead"): "settle, rescue",
    ("running", "cancelled"): "settle, cancel",
    ("held", "pending"): "release, cancel",
    ("held", "cancelled"): "cancel",
    ("dead", "pending"): "replay, requeue_batch, request: a new round",
    ("dead", "discarded"): "discard",
    ("discarded", "dead"): "restore",
    ("discarded", "pending"): "request: a new round",
    ("cancelled", "pending"): "request: a new round",
    ("deleted", "pending"): "request --force: a new round",
    ("gone", "pending"): "request --force: a new round",
    ("any", "deleted"): "settle: a late 200",
}


def dropped_on(state: str) -> list[Field]:
    """The fields that a record loses when it enters a state, or begins a new round."""
    return [field for field in Field if state in field.dropped_on]
