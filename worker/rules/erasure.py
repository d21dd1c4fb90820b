"""Decides what an erasure's looks prove: when to look again, and the verdict, from the evidence of each part. Pure.

inventory ──▶ job deleted ──▶ look ──▶ look ──▶ … ──▶ verdict
                               └─ related = delete: what is still there and provably the job's own is deleted,
                                  and the looks begin anew when that is done
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from worker.model.erasure import AssetMode, Inventory, PartEvidence, Related, Verdict
from worker.model.target import PARTS, Target
from worker.rules.parts import BLIND, FAILED, Look, Part, PartDeletion, failed, looked_at

ACT_AT_LOOK: Final = 2  # MetaStudio may delete a part by itself, and late

_ERASED: Final = (PartEvidence.PURGED, PartEvidence.ABSENT_SEEN_BEFORE)


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


def after_look(
    erasure: Erasure,
    looks: Mapping[Target, Look],
    deletions: Mapping[Target, PartDeletion],
    schedule: Sequence[float],
    now: int,
    *,
    held: bool = False,
) -> Step:
    """What one look at all parts makes of an erasure. `schedule`: seconds after the job's end; `held`: nothing may be
    deleted now, and what is to be waits."""
    over = erasure.looks >= len(schedule)  # a recheck of what was closed: what shows nothing disproves nothing
    blind = {part.target for part in erasure.parts if over and part.evidence != PartEvidence.IN_BIN}
    looks = {one: look for one, look in looks.items() if one not in blind or look.sight not in BLIND}
    parts = tuple(looked_at(part, looks.get(part.target), deletions.get(part.target), now) for part in erasure.parts)
    passed = sum(erasure.opened + after_s * 1000 <= now for after_s in schedule)  # one late look stands for several
    erasure = replace(erasure, looks=max(erasure.looks + 1, passed), parts=parts)
    to_go = _to_go(erasure, schedule)
    wanted = () if held else tuple(to_go)
    marked = {part.target: _marked(part, now) for part in wanted}
    erasure = replace(erasure, parts=tuple(marked.get(part.target, part) for part in parts))
    next_ms = _next_look(erasure, schedule, now, waits=held and bool(to_go))
    if next_ms is None:
        erasure = replace(erasure, parts=tuple(map(_at_last, erasure.parts)))
    return Step(erasure, verdict(erasure, closed=next_ms is None), next_ms, wanted)


def _next_look(erasure: Erasure, schedule: Sequence[float], now: int, *, waits: bool) -> int | None:
    """When to look again. Two looks are never nearer than the first one is to the job's end: what is behind in
    MetaStudio gets its time, however long nobody looked."""
    soonest, at_last = now + int(schedule[0] * 1000), now + int(schedule[-1] * 1000)
    due = [int(erasure.opened + after_s * 1000) for after_s in schedule[erasure.looks :]]
    bins = [part.due for part in erasure.parts if part.due is not None]
    if erasure.parts and due:
        return max(soonest, due[0])
    if waits or any(part.wanted_at and not part.ended for part in erasure.parts):
        return at_last  # the end of a deletion opens the erasure again
    if any(part.absences == 1 for part in erasure.parts):
        return soonest
    return max(soonest, min(bins)) if bins else None


def _at_last(part: Part) -> Part:
    """Its DELETE was answered with 200, and it is still there."""
    ineffective = part.evidence == PartEvidence.ACKNOWLEDGED and part.after is not None
    return replace(part, evidence=failed(part.after)) if ineffective else part


def verdict(erasure: Erasure, *, closed: bool) -> Verdict:
    """What became of the whole, so far."""
    found = {part.evidence for part in erasure.parts}
    if found & set(FAILED):
        return Verdict.INCOMPLETE
    if not closed:
        return Verdict.PENDING
    if erasure.inventory is Inventory.NONE and not erasure.parts:
        return Verdict.UNVERIFIABLE
    if found & {PartEvidence.KEPT, PartEvidence.FOREIGN, PartEvidence.IN_BIN}:
        return Verdict.PARTIAL
    if erasure.inventory is Inventory.NONE or found - set(_ERASED):
        return Verdict.UNVERIFIABLE
    return Verdict.WHOLE_BY_ACKNOWLEDGEMENT


def _to_go(erasure: Erasure, schedule: Sequence[float]) -> list[Part]:
    """The parts whose deletion is to be asked for: still there, proven to be the job's own, and nobody did so yet."""
    if erasure.related is not Related.DELETE or erasure.looks < min(ACT_AT_LOOK, len(schedule)):
        return []
    found = [part for part in erasure.parts if part.own and _has_to_go(erasure, part)]
    return sorted(found, key=lambda part: PARTS.index(part.part))


def _has_to_go(erasure: Erasure, part: Part) -> bool:
    if part.evidence == PartEvidence.IN_BIN and erasure.mode is AssetMode.BIN:
        return part.late > 0 and not part.for_good
    return (part.again or part.wanted_at is None) and part.evidence in (PartEvidence.IN_BIN, PartEvidence.KEPT)


def _marked(part: Part, now: int) -> Part:
    return replace(part, wanted_at=now, ended=False, again=False, for_good=part.late > 0)
