"""Decides what an erasure's looks prove: the evidence of each part, when to look again, and the verdict. Pure.

inventory ──▶ job deleted ──▶ look ──▶ look ──▶ … ──▶ verdict
                               └─ related = delete: what is still there and provably the job's own is deleted,
                                  and the looks begin anew when that is done
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.registry import adapter_of
from worker.model.erasure import AssetMode, Inventory, PartEvidence, Related, Verdict
from worker.model.target import PARTS, Target

BIN_LIFE_MS: Final = 7 * 86_400_000.0  # MetaStudio's recycle bin, by its console guide
BIN_LOOK_MS: Final = 8 * 86_400_000.0
ACT_AT_LOOK: Final = 2  # MetaStudio may delete a part by itself, and late

_ERASED: Final = (PartEvidence.PURGED, PartEvidence.ABSENT_SEEN_BEFORE)
_FAILED: Final = (PartEvidence.REFUSED, PartEvidence.BLOCKED)


class Sight(StrEnum):
    """What one look at one part found."""

    PRESENT = "present"
    ABSENT = "absent"  # with its control question
    UNSEEN = "unseen"  # the list shows nothing at all
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


_BLIND: Final = (Sight.UNSEEN, Sight.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one part. `at` in ms since 1970."""

    sight: Sight
    at: int
    state: str | None = None
    project_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class PartDeletion:
    """The deletion of a part, as the ledger has it."""

    state: str
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that belonged to the job: ids, states, codes and times only. Times in ms since 1970."""

    part: str  # a kind of target
    id: str
    project_id: str
    named_by: str  # job, or voice_job: whose answer named it
    own: bool = False  # it is proven to be this job's own
    why_not_own: str | None = None
    before: str | None = None  # its state before the job's DELETE
    seen_at: int | None = None
    seen_request_id: str | None = None
    after: str | None = None  # its state at the last look; None: it was not there
    removed_by: str | None = None  # service, us or operator
    evidence: str = PartEvidence.UNKNOWN.value
    calls: int = 0  # DELETEs of ours
    verified_at: tuple[int, ...] = ()
    absences: int = 0  # in a row
    wanted_at: int | None = None  # when its deletion was asked for
    ended: bool = False  # that deletion was counted in
    due: int | None = None  # of one in the bin: when it is looked at again

    @property
    def target(self) -> Target:
        return Target(self.project_id, self.id, self.part)

    def as_stored(self) -> dict[str, Any]:
        """As it stands in the ledger: only what it has."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False, 0, ())}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Part:
        """Read what `as_stored` wrote; a name that another version added is left out."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        return cls(**values | {"verified_at": tuple(values.get("verified_at") or ())})


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as its looks know it. Times in ms since 1970."""

    job: Target
    related: Related
    inventory: Inventory
    opened: int  # when the job, or the last part, was deleted: the schedule of looks counts from here
    looks: int = 0  # of this schedule
    parts: tuple[Part, ...] = ()
    mode: AssetMode = AssetMode.FORCE


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from a look."""

    erasure: Erasure
    verdict: Verdict
    next_ms: int | None  # when to look again; None: it is closed
    wanted: tuple[Part, ...] = field(default=())  # parts whose deletion is asked for now


def proven(part: Part, row: Row, job_id: str) -> Part:
    """A part that its own Show described: its state, and whether it is this job's own."""
    adapter = adapter_of(part.part)
    why = "it belongs to another project" if row.project_id not in (None, part.project_id) else None
    why = why or adapter.why_not_ours(row, job_id)
    evidence = PartEvidence.FOREIGN.value if row.project_id not in (None, part.project_id) else part.evidence
    return replace(part, before=row.state, own=why is None, why_not_own=why, evidence=evidence)


def after_look(
    erasure: Erasure,
    looks: Mapping[Target, Look],
    deletions: Mapping[Target, PartDeletion],
    schedule: Sequence[float],
    now: int,
) -> Step:
    """What one look at all parts makes of an erasure. `schedule`: seconds after the job's end."""
    over = erasure.looks >= len(schedule)  # a recheck of what was closed: what shows nothing disproves nothing
    looks = {one: look for one, look in looks.items() if not over or look.sight not in _BLIND}
    parts = [_looked(part, looks.get(part.target), deletions.get(part.target)) for part in erasure.parts]
    erasure = replace(erasure, looks=erasure.looks + 1, parts=tuple(parts))
    wanted = _wanted(erasure, schedule)
    if wanted:
        marked = tuple(replace(part, wanted_at=now) if part in wanted else part for part in parts)
        erasure = replace(erasure, parts=marked)
    under_way = any(part.wanted_at and not part.ended for part in erasure.parts)
    due = [int(erasure.opened + after_s * 1000) for after_s in schedule[erasure.looks :]]
    bins = [part.due for part in erasure.parts if part.due is not None]
    next_ms: int | None = None
    if under_way:  # its end opens the erasure again; without one the schedule goes on
        next_ms = max(now, due[0]) if due else now + int(schedule[-1] * 1000)
    elif parts and due:
        next_ms = max(now, due[0])
    elif bins:
        next_ms = max(now, min(bins))
    return Step(erasure, verdict(erasure, closed=next_ms is None), next_ms, tuple(wanted))


def verdict(erasure: Erasure, *, closed: bool) -> Verdict:
    """What became of the whole, so far."""
    found = {part.evidence for part in erasure.parts}
    if found & set(_FAILED):
        return Verdict.INCOMPLETE
    if not closed:
        return Verdict.PENDING
    if erasure.inventory is Inventory.NONE and not erasure.parts:
        return Verdict.UNVERIFIABLE
    if PartEvidence.IN_BIN in found:
        return Verdict.PENDING
    if found & {PartEvidence.KEPT, PartEvidence.FOREIGN}:
        return Verdict.PARTIAL
    if erasure.inventory is Inventory.NONE or found - set(_ERASED):
        return Verdict.UNVERIFIABLE
    return Verdict.WHOLE_BY_ACKNOWLEDGEMENT


def _looked(part: Part, look: Look | None, deletion: PartDeletion | None) -> Part:
    part = _after_deletion(part, deletion)
    if look is None:
        return part
    adapter = adapter_of(part.part)
    ours = "us" if part.calls else "service"
    looked = replace(part, verified_at=(*part.verified_at, look.at)[-10:])
    match look.sight:
        case Sight.PRESENT if look.project_id not in (None, part.project_id):
            return replace(looked, after=look.state, evidence=PartEvidence.FOREIGN, own=False, absences=0, due=None)
        case Sight.PRESENT if look.state in adapter.gone:
            by = part.removed_by or (None if part.before in adapter.gone else ours)
            return replace(looked, after=look.state, evidence=PartEvidence.PURGED, removed_by=by, absences=0, due=None)
        case Sight.PRESENT if look.state in adapter.in_bin:
            by = part.removed_by or (None if part.before in adapter.in_bin else ours)
            due = part.due or int(look.at + BIN_LOOK_MS)
            late = part.due is not None and look.at >= part.due
            due = int(look.at + BIN_LIFE_MS / 7) if late else due
            return replace(looked, after=look.state, evidence=PartEvidence.IN_BIN, removed_by=by, absences=0, due=due)
        case Sight.PRESENT:
            failed = part.evidence in _FAILED
            evidence = part.evidence if failed else PartEvidence.KEPT.value
            return replace(looked, after=look.state, evidence=evidence, removed_by=None, absences=0, due=None)
        case Sight.ABSENT if part.evidence == PartEvidence.PURGED:
            return replace(looked, after=None)  # not even its tombstone is left
        case Sight.ABSENT:
            return _absent(looked, ours)
        case Sight.UNSEEN:
            return replace(looked, evidence=PartEvidence.NOT_VISIBLE)
        case Sight.FORBIDDEN:
            return replace(looked, evidence=PartEvidence.NOT_PERMITTED)
        case _:
            return part


def _absent(part: Part, ours: str) -> Part:
    """Twice, because one list may be behind the others."""
    absences = part.absences + 1
    part = replace(part, after=None, absences=absences, due=None)
    if absences < 2:
        return replace(part, evidence=PartEvidence.ACKNOWLEDGED.value if part.calls else PartEvidence.UNKNOWN.value)
    if part.before is None:
        return replace(part, evidence=PartEvidence.ABSENT_NEVER_SEEN)
    return replace(part, evidence=PartEvidence.ABSENT_SEEN_BEFORE, removed_by=part.removed_by or ours)


def _after_deletion(part: Part, deletion: PartDeletion | None) -> Part:
    """What became of its own deletion."""
    if deletion is None or part.wanted_at is None:
        return part
    part = replace(part, calls=max(part.calls, deletion.calls))
    if part.evidence == PartEvidence.PURGED:  # a look was faster than the answer: what it saw stays true
        ended = deletion.state not in ("pending", "running", "held")
        ours = deletion.state in ("deleted", "gone") and part.calls
        return replace(part, ended=ended, removed_by="us" if ours else part.removed_by)
    match deletion.state:
        case "deleted" if not part.ended:
            return replace(part, ended=True, removed_by="us", evidence=PartEvidence.ACKNOWLEDGED, absences=0)
        case "gone" if not part.ended:
            return replace(part, ended=True, absences=0)
        case "dead" | "discarded":
            evidence = PartEvidence.BLOCKED if part.after == "BLOCK" else PartEvidence.REFUSED
            return replace(part, ended=True, evidence=evidence)
        case "cancelled":
            return replace(part, ended=True)
        case "pending" | "running" | "held":
            return replace(part, ended=False, evidence=PartEvidence.UNKNOWN.value)
    return part


def _wanted(erasure: Erasure, schedule: Sequence[float]) -> list[Part]:
    """The parts whose deletion is to be asked for: still there, proven to be the job's own, and nobody did so yet."""
    if erasure.related is not Related.DELETE or erasure.looks < min(ACT_AT_LOOK, len(schedule)):
        return []
    found = [part for part in erasure.parts if part.own and part.wanted_at is None and _is_there(erasure, part)]
    return sorted(found, key=lambda part: PARTS.index(part.part))


def _is_there(erasure: Erasure, part: Part) -> bool:
    if part.evidence == PartEvidence.IN_BIN:
        return erasure.mode is AssetMode.FORCE
    return part.evidence == PartEvidence.KEPT


def stored(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Parts as they stand in the ledger."""
    return [part.as_stored() for part in parts]
