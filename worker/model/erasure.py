"""Words of a whole erasure: what becomes of what a training job leaves behind. Each stands in records and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from worker.model.moments import rfc3339


class Related(StrEnum):
    """What is done about what a job leaves behind."""

    LEAVE = "leave"  # nothing
    VERIFY = "verify"  # it is looked for: reads only
    DELETE = "delete"  # what is still there, and provably this job's own, is deleted


class AssetMode(StrEnum):
    """How an asset is deleted."""

    FORCE = "force"  # for good
    BIN = "bin"  # into the recycle bin: it can be restored for seven days


class Inventory(StrEnum):
    """Whether it is known what belonged to the job."""

    DONE = "done"
    NONE = "none"


class PartEvidence(StrEnum):
    """What was seen of one part, from the strongest to the weakest."""

    PURGED = "purged"  # MetaStudio says that its files are deleted
    ABSENT_SEEN_BEFORE = "absent_seen_before"  # this key saw it before, and twice no more
    ABSENT_NEVER_SEEN = "absent_never_seen"  # the job named it, and nobody ever saw it
    IN_BIN = "in_bin"  # not erased: it can be restored
    ACKNOWLEDGED = "acknowledged"  # our DELETE was answered with 200, and nobody looked since
    KEPT = "kept"  # it is there, and nobody was to delete it
    REFUSED = "refused"  # its deletion is a dead letter
    BLOCKED = "blocked"  # the same, and MetaStudio froze it
    FOREIGN = "foreign"  # it belongs to another project
    NOT_VISIBLE = "not_visible"  # this key sees nothing of its kind
    NOT_PERMITTED = "not_permitted"  # this key may not ask
    UNKNOWN = "unknown"  # nobody could say


class Verdict(StrEnum):
    """What became of the whole."""

    WHOLE = "whole"
    WHOLE_BY_ACKNOWLEDGEMENT = "whole_by_acknowledgement"  # all but the job's own files, which nobody can ask for
    PENDING = "pending"
    PARTIAL = "partial"
    INCOMPLETE = "incomplete"
    UNVERIFIABLE = "unverifiable"


LEFT: Final = (Verdict.PARTIAL, Verdict.INCOMPLETE)
"""Verdicts of erasures that left something behind."""


def part_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    """One part for people and programs, as every JSON says it; `stored` is as the ledger has it."""
    named = ("part", "id", "project_id", "before", "after", "removed_by", "evidence")
    return {name: stored.get(name) for name in named} | {
        "calls": stored.get("calls", 0),
        "verified_at": [rfc3339(at) for at in stored.get("verified_at") or ()],
        "due": rfc3339(stored["due"]) if stored.get("due") is not None else None,
    }
