"""Looks at what deleted jobs left behind, asks for the deletion of what is to go, and closes each erasure.

    due erasures ──lease──▶ look at all their parts ──▶ rules/erasure.py ──▶ record: look again then, or a verdict
                                                            └─ deletions of parts, which executors carry out

A worker may die between any two lines: its lease runs out, and somebody else looks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.ledger.deletions import Ledger
from worker.ledger.erasures import ErasureStep, LeasedErasure
from worker.ledger.types import DeletionRequest
from worker.lookups.examiner import Examiner
from worker.lookups.lookups import Lookups
from worker.lookups.parts import PartLookups
from worker.model.erasure import LEFT, AssetMode, Inventory, PartEvidence, Related
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.erasure import Erasure, Look, Part, PartDeletion, Step, after_look, stored
from worker.rules.experiment import Observation, beginning

BUDGET_S = 3.0
BATCH = 100
LOOK_AGAIN_MS = 60_000  # where something could not be asked


@dataclass(frozen=True, slots=True)
class Observer:
    """Looks for one account. `lookups(project_id, kind, app_user)`: what asks from one view; `schedule`: seconds."""

    ledger: Ledger
    lookups: Callable[[str, str, str | None], Lookups]
    schedule: Sequence[float]
    mode: AssetMode
    stopping: Callable[[], bool]
    deadline_s: float
    examiner: Examiner

    def work(self, budget_s: float = BUDGET_S) -> int:
        """Look until nothing is due or the time is used up. Returns how many erasures were looked at."""
        ends, looked = time.monotonic() + budget_s, 0
        while not self.stopping() and time.monotonic() < ends:
            leased, now = self.ledger.lease_erasures(limit=BATCH)
            if not leased:
                break
            self._look_at(leased, int(now))
            looked += len(leased)
        return looked

    def _look_at(self, leased: Sequence[LeasedErasure], now: int) -> None:
        erasures = {one.record.job: self._erasure(one) for one in leased}
        parts = [
            part.target for one in leased for part in erasures[one.record.job].parts if _to_be_looked_at(one, part)
        ]
        looks = PartLookups(self.lookups, self.ledger.now_ms).look(dict.fromkeys(parts))
        answers = {one.record.job: self._examine(one, erasures[one.record.job]) for one in leased if one.watch}
        steps = [self._step(one, erasures[one.record.job], looks, answers, now) for one in leased]
        for job, step in zip(erasures, steps, strict=True):
            if step.wanted:
                self._ask_for(job, step)
        self.ledger.record_looks(
            [_recorded(one, step, answers.get(one.record.job), now) for one, step in zip(leased, steps, strict=True)]
        )

    def _erasure(self, one: LeasedErasure) -> Erasure:
        record, parts = one.record, []
        for found in one.record.parts:
            part = Part.read(found)
            if part.id in one.shared:
                part = replace(part, own=False, why_not_own="another job named it, too")
            parts.append(part)
        related, inventory = record.related or Related.VERIFY, record.inventory or Inventory.NONE
        return Erasure(record.job, related, inventory, record.opened, record.looks, tuple(parts), self.mode)

    def _examine(self, one: LeasedErasure, erasure: Erasure) -> list[Observation]:
        """What MetaStudio answers for the job of an experiment and for its parts; and first what was known before."""
        found = beginning(erasure, one.watch.status, one.watch.code) if one.watch and not erasure.looks else []
        untouched = [part for part in erasure.parts if part.wanted_at is None]  # else it is we who deleted it
        ours = [replace(part.target, project_id=erasure.job.project_id) for part in untouched]
        return found + self.examiner.examine(erasure.looks + 1, [erasure.job, *ours])

    def _step(
        self,
        one: LeasedErasure,
        erasure: Erasure,
        looks: dict[Target, Look],
        answers: Mapping[Target, Sequence[Observation]],
        now: int,
    ) -> Step:
        deletions = {target: PartDeletion(state, calls) for target, (state, calls, _) in one.deletions.items()}
        mine = {part.target: looks[part.target] for part in erasure.parts if part.target in looks}
        missing = any(_to_be_looked_at(one, part) and part.target not in looks for part in erasure.parts)
        missing = missing or any(answer.is_missing for answer in answers.get(erasure.job, ()))
        schedule = one.watch.schedule if one.watch else self.schedule
        step = after_look(erasure, mine, deletions, schedule, now)
        if missing and step.next_ms is None:  # what could not be asked is asked again before it is closed
            again = replace(step.erasure, looks=erasure.looks)
            return replace(step, erasure=again, next_ms=now + LOOK_AGAIN_MS)
        return step

    def _ask_for(self, job: Target, step: Step) -> None:
        """Merges where it was asked for already: a worker may have died right after it."""
        terms = DeletionRequest(
            lane=Lane.BULK,
            by="erasure",
            why="left behind by a deleted job",
            parent=str(job),
            deadline_s=self.deadline_s,
        )
        self.ledger.request([part.target for part in step.wanted], terms)


def _to_be_looked_at(one: LeasedErasure, part: Part) -> bool:
    """What is gone for good is not asked for again but by a recheck of what was closed, nor what belongs to others."""
    if one.record.closed is not None and part.evidence == PartEvidence.PURGED:
        return True
    return part.evidence not in (PartEvidence.PURGED, PartEvidence.FOREIGN)


def _recorded(one: LeasedErasure, step: Step, answers: Sequence[Observation] | None, now: int) -> ErasureStep:
    left = step.verdict in LEFT
    watched = one.watch is not None and step.next_ms is not None and step.erasure.looks <= len(one.watch.schedule)
    next_ms = max(now + 1, step.next_ms) if step.next_ms is not None else None
    job, looks = one.record.job, step.erasure.looks
    kept = None if answers is None else [answer.as_stored() for answer in answers]
    parts, verdict = stored(step.erasure.parts), step.verdict
    return ErasureStep(job, one.record.leases, parts, looks, verdict, next_ms, left, kept, watched)
