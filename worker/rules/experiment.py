"""What one experiment shows of MetaStudio: a throw-away job is deleted, and what it left is looked at for eight days.

    inventory (look 0) ──▶ DELETE of the job ──▶ look 1 ──▶ look 2 ──▶ … ──▶ facts ──▶ proposed settings

No document says what the DELETE of a job does to its avatar and its voice, nor what is answered for what is not there.
The experiment itself makes that one DELETE and otherwise only reads. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final

from worker.metastudio.targets.registry import ADAPTERS
from worker.model.target import JOB
from worker.rules.erasure import Erasure

SCHEDULE: Final = (60.0, 600.0, 3600.0, 86_400.0, 8 * 86_400.0)  # seconds after the DELETE; a bin is kept for 7 days


class Question(StrEnum):
    """What was asked of one resource."""

    SHOW = "show"
    LIST = "list"  # by its id
    DELETE = "delete"


class Fate(StrEnum):
    """How a resource was found."""

    PRESENT = "present"
    IN_BIN = "in_bin"  # recoverable
    PURGED = "purged"  # still described, and its files are deleted
    ABSENT = "absent"  # no longer described


class Cascade(StrEnum):
    """What MetaStudio did to a part by itself when the job was deleted."""

    NONE = "none"  # it is still there
    BIN = "bin"
    PURGED = "purged"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # it was not there before, or no look was answered


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer of MetaStudio's: ids, states, codes and times only."""

    look: int  # 0: before the DELETE, and the DELETE itself
    at: int  # ms since 1970
    kind: str  # of the resource: job, or a kind of part
    id: str
    question: str
    status: int | None = None
    code: str | None = None
    state: str | None = None  # as the answer describes the resource; None: it does not

    @property
    def is_missing(self) -> bool:
        """Whether it has to be asked again: nothing was answered, or that MetaStudio cannot answer now."""
        unanswered = self.status is None or self.status in (401, 429) or self.status >= 500
        return unanswered and self.question != Question.DELETE

    def as_stored(self) -> dict[str, Any]:
        """Only what it has."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Observation | None:
        """What `as_stored` wrote; None for what is no observation."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        texts = all(isinstance(values.get(name), str) for name in ("kind", "id", "question"))
        numbers = all(isinstance(values.get(name), int) for name in ("look", "at"))
        return cls(**values) if texts and numbers else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered for something that is not there."""

    status: int | None
    code: str | None

    def in_words(self) -> str:
        return " ".join(str(part) for part in (self.status, self.code) if part is not None)


@dataclass(frozen=True, slots=True)
class Change:
    """A resource was first found like this `by_s` seconds after the DELETE, and `after_s` before otherwise."""

    fate: Fate
    after_s: float
    by_s: float


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What became of one part."""

    kind: str
    id: str
    before: str | None  # its state before the DELETE; None: it was not described
    changes: tuple[Change, ...]  # from what it was before; empty: nothing happened, or nothing was answered
    last: Fate | None  # at the last look that was answered
    last_s: float  # when that was, in seconds after the DELETE

    @property
    def cascade(self) -> Cascade:
        """What MetaStudio did to it."""
        if self.before is None or self.last is None:
            return Cascade.UNKNOWN
        return {Fate.IN_BIN: Cascade.BIN, Fate.PURGED: Cascade.PURGED, Fate.ABSENT: Cascade.ABSENT}.get(
            self.changes[0].fate if self.changes else Fate.PRESENT, Cascade.NONE
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the experiment has shown so far. None: that could not be seen."""

    delete: Answer | None  # of the job
    looks: int
    parts: tuple[PartFacts, ...]
    absent_job: Answer | None  # what Show answers for a job that is deleted
    deleted_job_listed: bool | None  # whether the list by its id still has it
    absent_part: Mapping[str, Answer]  # the same by kind of part
    tombstone_listed: bool | None  # whether the list has assets whose files are deleted
    bin_listed: bool | None  # whether the list has assets that are in the bin


@dataclass(frozen=True, slots=True)
class Proposal:
    """A setting that fits what was seen, and why."""

    setting: str
    value: str
    why: str


def beginning(erasure: Erasure, status: int | None, code: str | None) -> list[Observation]:
    """What was known before the DELETE of the job, and what that was answered."""
    found = [
        Observation(0, part.shown_at or erasure.opened, part.part, part.id, Question.SHOW, 200, None, part.before)
        for part in erasure.parts
        if part.before is not None
    ]
    return [*found, Observation(0, erasure.opened, JOB, erasure.job.id, Question.DELETE, status, code)]


def fate_of(kind: str, state: str) -> Fate:
    """What a state of a kind of resource means."""
    adapter = ADAPTERS.get(kind)
    if adapter is not None and state in adapter.gone:
        return Fate.PURGED
    return Fate.IN_BIN if adapter is not None and state in adapter.in_bin else Fate.PRESENT


def facts_of(observations: Sequence[Observation]) -> Facts:
    """What the answers prove."""
    deletes = [one for one in observations if one.question == Question.DELETE and one.kind == JOB]
    start = deletes[0].at if deletes else None  # looks that began anew note it again
    later = [one for one in observations if one.look > 0]
    job = [one for one in later if one.kind == JOB]
    parts = dict.fromkeys((one.kind, one.id) for one in observations if one.kind != JOB)
    return Facts(
        delete=_answer(deletes[0]) if deletes else None,
        looks=len({one.look for one in later}),
        parts=tuple(_part(kind, id, observations, start) for kind, id in parts) if start is not None else (),
        absent_job=next((_answer(one) for one in job if _denies(one)), None),
        deleted_job_listed=_last(one.state is not None for one in job if _is_list(one)),
        absent_part=_absent(later),
        tombstone_listed=_listed(later, Fate.PURGED),
        bin_listed=_listed(later, Fate.IN_BIN),
    )


def proposals(facts: Facts, schedule: Sequence[float] = SCHEDULE) -> tuple[Proposal, ...]:
    """Settings for the account; none where it is too early, or where nothing could be seen.

    What is still there at the look before the last one (a day later) is no matter of delay; a bin is kept until after
    the last one.
    """
    known = [part for part in facts.parts if part.cascade is not Cascade.UNKNOWN]
    if not known:
        return ()
    left = [part for part in known if part.last is Fate.PRESENT]
    if left:
        if any(part.last_s < schedule[-2:][0] for part in left):
            return ()
        why = f"MetaStudio leaves {_words(left)} when a job is deleted"
        return (Proposal("ERASER_RELATED", "delete", why), _FORCE)
    if bins := [part for part in known if part.last is Fate.IN_BIN]:
        if any(part.last_s < schedule[-1] for part in bins):
            return ()
        why = f"MetaStudio puts {_words(bins)} into the recycle bin, and it was still there after the last look"
        return (Proposal("ERASER_RELATED", "delete", why), _FORCE)
    why = f"MetaStudio deletes {_words(known)} by itself; `verify` proves it for each job"
    return (Proposal("ERASER_RELATED", "verify", why),)


_FORCE: Final = Proposal(
    "ERASER_RELATED_ASSETS",
    "force",
    "what is in the recycle bin can be restored: `bin` erases it a week later, if at all",
)


def _part(kind: str, id: str, observations: Sequence[Observation], start: int) -> PartFacts:
    mine = [one for one in observations if (one.kind, one.id) == (kind, id)]
    before = next((one.state for one in mine if one.look == 0 and one.state is not None), None)
    last, last_s = (None if before is None else fate_of(kind, before)), 0.0
    changes, answered = [], None
    for look in sorted({one.look for one in mine if one.look > 0}):
        fate = _fate([one for one in mine if one.look == look])
        at_s = (max(one.at for one in mine if one.look == look) - start) / 1000
        if fate is None:
            continue
        if fate is not last and last is not None:
            changes.append(Change(fate, last_s, at_s))
        last, last_s, answered = fate, at_s, fate
    return PartFacts(kind, id, before, tuple(changes), answered, last_s)


def _fate(look: Iterable[Observation]) -> Fate | None:
    """How one look found it: as Show describes it, else the list. Absent only if both say so."""
    by = {one.question: one for one in look}
    show, listed = by.get(Question.SHOW), by.get(Question.LIST)
    for one in (show, listed):
        if one is not None and one.state is not None:
            return fate_of(one.kind, one.state)
    if show is not None and _denies(show) and listed is not None and _is_list(listed):
        return Fate.ABSENT
    return None


def _denies(one: Observation) -> bool:
    """Whether a Show says that there is none."""
    return one.question == Question.SHOW and one.status in (400, 404) and one.state is None


def _is_list(one: Observation) -> bool:
    return one.question == Question.LIST and one.status == 200


def _answer(one: Observation) -> Answer:
    return Answer(one.status, one.code)


def _absent(later: Sequence[Observation]) -> dict[str, Answer]:
    """What Show answers for a part that its list does not have either."""
    missing = {(one.look, one.id) for one in later if _is_list(one) and one.state is None}
    found: dict[str, Answer] = {}
    for one in later:
        if one.kind != JOB and _denies(one) and (one.look, one.id) in missing:
            found.setdefault(one.kind, _answer(one))
    return found


def _listed(later: Sequence[Observation], fate: Fate) -> bool | None:
    """Whether the list has what Show describes as such."""
    shown = {(one.look, one.id) for one in later if one.question == Question.SHOW and _is(one, fate)}
    lists = [one for one in later if _is_list(one) and one.kind != JOB]
    return _last(one.state is not None for one in lists if (one.look, one.id) in shown or _is(one, fate))


def _is(one: Observation, fate: Fate) -> bool:
    return one.state is not None and one.kind != JOB and fate_of(one.kind, one.state) is fate


def _last(found: Iterable[bool]) -> bool | None:
    return next(iter(list(found)[::-1]), None)


def _words(parts: Iterable[PartFacts]) -> str:
    return " and ".join(f"the {kind.replace('_', ' ')}" for kind in dict.fromkeys(part.kind for part in parts))
