"""What is known of one part of an erasure, and what a look at it proves. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final

from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.registry import adapter_of
from worker.model.erasure import PartEvidence
from worker.model.ids import why_bad_id
from worker.model.target import PARTS, Target

DAY_MS: Final = 86_400_000
BIN_LOOK_MS: Final = 8 * DAY_MS  # MetaStudio empties its recycle bin after seven days, by its console guide

FAILED: Final = (PartEvidence.REFUSED, PartEvidence.BLOCKED)
_IN_VAIN: Final = ("dead", "discarded", "cancelled")  # states of a deletion that removed nothing
_WORD: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TEXTS: Final = ("part", "id", "project_id", "named_by", "evidence")
_NUMBERS: Final = ("shown_at", "calls", "absences", "wanted_at", "due", "late")


class Sight(StrEnum):
    """What one look at one part found."""

    PRESENT = "present"
    ABSENT = "absent"  # with its control question
    UNSEEN = "unseen"  # the list shows nothing at all
    FORBIDDEN = "forbidden"


BLIND: Final = (Sight.UNSEEN, Sight.FORBIDDEN)


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
    why: str = ""  # its cause, or its evidence


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
    shown_at: int | None = None
    shown_request_id: str | None = None
    after: str | None = None  # its state at the last look; None: it was not there
    removed_by: str | None = None  # service, us or operator
    evidence: str = PartEvidence.UNKNOWN.value
    calls: int = 0  # DELETEs of ours
    verified_at: tuple[int, ...] = ()
    absences: int = 0  # in a row
    wanted_at: int | None = None  # when its deletion was asked for
    ended: bool = False  # that deletion was counted in
    due: int | None = None  # of one in the bin: when it is looked at again
    late: int = 0  # looks that found it in the bin when the bin should have been emptied
    again: bool = False  # an operator asks for it once more, though it was asked for before
    for_good: bool = False  # its deletion is asked for with that in mind, though others only go into the bin

    @property
    def target(self) -> Target:
        return Target(self.project_id, self.id, self.part)

    def as_stored(self) -> dict[str, Any]:
        """As it stands in the ledger: only what it has."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False, 0, ())}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Part:
        """Read what `as_stored` wrote; a name that another version added is left out. Raises `ValueError` for what it
        cannot have written."""
        known = {one.name for one in fields(cls)}
        values = {"evidence": PartEvidence.UNKNOWN.value} | {n: v for n, v in stored.items() if n in known}
        times = values.get("verified_at") or []
        sound = (
            isinstance(times, list)
            and all(isinstance(values.get(name), str) for name in _TEXTS)
            and all(isinstance(value, int) for value in (*times, *(values.get(name, 0) for name in _NUMBERS)))
            and values["part"] in PARTS
            and values["evidence"] in tuple(PartEvidence)
        )
        if not sound or why_bad_id(values["id"]) or why_bad_id(values["project_id"]):
            raise ValueError("a part of it makes no sense")
        return cls(**values | {"verified_at": tuple(times)})


def proven(part: Part, row: Row, job_id: str) -> Part:
    """A part that its own Show described: its state, and whether it is this job's own."""
    why = why_not_own(part.part, row, part.project_id, job_id)
    evidence = PartEvidence.FOREIGN.value if row.project_id not in (None, part.project_id) else part.evidence
    return replace(part, before=word(row.state), own=why is None, why_not_own=why, evidence=evidence)


def why_not_own(kind: str, row: Row, project_id: str, job_id: str) -> str | None:
    """What speaks against it that what an answer describes is this job's own and nobody else's; None: nothing."""
    adapter = adapter_of(kind)
    if row.project_id not in (None, project_id):
        return "it belongs to another project"
    if row.project_id is None and adapter.says_project:
        return "nobody says which project it belongs to"
    return adapter.why_not_ours(row, job_id)


def word(state: str | None) -> str | None:
    """A state as it may be kept: what is no word of MetaStudio's may be a person's."""
    return state if state is None or _WORD.fullmatch(state) else "?"


def failed(state: str | None) -> PartEvidence:
    return PartEvidence.BLOCKED if state == "BLOCK" else PartEvidence.REFUSED


def looked_at(part: Part, look: Look | None, deletion: PartDeletion | None, now: int) -> Part:
    part = _after_deletion(part, deletion, now)
    if look is None:
        return part
    adapter, state = adapter_of(part.part), word(look.state)
    ours = "us" if part.calls and not (deletion and deletion.state in _IN_VAIN) else "service"
    looked = replace(part, verified_at=(*part.verified_at, look.at)[-10:])
    here = replace(looked, after=state, absences=0, due=None, shown_at=part.shown_at or look.at)
    match look.sight:
        case Sight.PRESENT if look.project_id not in (None, part.project_id):
            return replace(here, evidence=PartEvidence.FOREIGN, own=False)
        case Sight.PRESENT if state in adapter.gone:
            by = part.removed_by or (None if part.before in adapter.gone else ours)
            return replace(here, evidence=PartEvidence.PURGED, removed_by=by)
        case Sight.PRESENT if state in adapter.in_bin:
            by = part.removed_by or (None if part.before in adapter.in_bin else ours)
            return _in_bin(replace(here, removed_by=by), part, look.at)
        case Sight.PRESENT:
            kept = part.evidence if part.evidence == PartEvidence.ACKNOWLEDGED else PartEvidence.KEPT.value
            evidence = failed(state) if part.evidence in FAILED else kept
            return replace(here, evidence=evidence, removed_by=None, late=0)
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


def _in_bin(here: Part, before: Part, at: int) -> Part:
    """The bin is emptied after a week. If it is not, and no DELETE from the bin helps, the part is left behind."""
    late = before.late + (before.due is not None and at >= before.due)
    evidence = before.evidence if late and before.evidence in FAILED else PartEvidence.IN_BIN.value
    due = (before.due or at + BIN_LOOK_MS) if not late else at + DAY_MS if late == 1 else None
    return replace(here, evidence=evidence, late=late, due=due)


def _absent(part: Part, ours: str) -> Part:
    """Twice, because one list may be behind the others."""
    absences = part.absences + 1
    part = replace(part, after=None, absences=absences, due=None)
    if absences < 2:
        return replace(part, evidence=PartEvidence.ACKNOWLEDGED.value if part.calls else PartEvidence.UNKNOWN.value)
    if part.shown_at is None and part.before is None:
        return replace(part, evidence=PartEvidence.ABSENT_NEVER_SEEN)
    return replace(part, evidence=PartEvidence.ABSENT_SEEN_BEFORE, removed_by=part.removed_by or ours)


def _after_deletion(part: Part, deletion: PartDeletion | None, now: int) -> Part:
    """What became of its own deletion. Who asked for it may have died before he wrote that down."""
    if deletion is None:
        return part
    is_new = not part.ended or deletion.calls > part.calls
    part = replace(part, calls=max(part.calls, deletion.calls), wanted_at=part.wanted_at or now)
    if part.evidence == PartEvidence.PURGED:  # a look was faster than the answer: what it saw stays true
        ended = deletion.state not in ("pending", "running", "held")
        ours = deletion.state in ("deleted", "gone") and (part.calls or deletion.why == "after_our_call")
        return replace(part, ended=ended, removed_by="us" if ours else part.removed_by)
    match deletion.state:
        case "deleted" if is_new:
            return replace(
                part, ended=True, again=False, removed_by="us", evidence=PartEvidence.ACKNOWLEDGED, absences=0
            )
        case "gone" if is_new:
            by = (
                "us" if deletion.why == "after_our_call" else part.removed_by
            )  # a call whose worker died was not counted
            return replace(part, ended=True, again=False, absences=0, removed_by=by)
        case "dead" | "discarded":
            return replace(part, ended=True, evidence=failed(part.after))
        case "cancelled":
            return replace(part, ended=True)
        case "pending" | "running" | "held":
            return replace(part, ended=False, evidence=PartEvidence.UNKNOWN.value)
    return part


def stored(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Parts as they stand in the ledger."""
    return [part.as_stored() for part in parts]
