"""Looks at what deleted jobs left behind, asks for the deletion of what is to go, and closes each erasure.

    due erasures ──lease──▶ look at all their parts ──▶ rules/erasure.py ──▶ record: look again then, or a verdict
                                                            └─ deletions of parts, which executors carry out

A worker may die between any two lines: its lease runs out, and somebody else looks again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.ledger.deletions import Ledger
from worker.ledger.erasures import NOT_NOW, ErasureStep, LeasedErasure
from worker.ledger.types import BY_ERASURE, DeletionRequest
from worker.lookups.examiner import Examiner
from worker.lookups.lookups import Lookups
from worker.lookups.parts import PartLookups
from worker.model.erasure import LEFT, AssetMode, Inventory, PartEvidence, Related, Verdict
from worker.model.errors import EraserError
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.erasure import Erasure, Step, after_look, verdict
from worker.rules.experiment import Observation, beginning
from worker.rules.parts import Look, Part, PartDeletion, stored

log = logging.getLogger(__name__)

BUDGET_S = 3.0
BATCH = 100
LOOK_AGAIN_MS, LONGEST_MS = 60_000, 86_400_000  # where something could not be asked; longer the longer that lasts


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

    def _look_at(self, every: Sequence[LeasedErasure], now: int) -> None:
        erasures, leased = {}, []
        for one in every:
            try:
                erasures[one.record.job] = self._erasure(one)
                leased.append(one)
            except ValueError as error:  # another program wrote there: it is put aside, and stops nobody else
                damaged = ErasureStep(
                    one.record.job, one.record.leases, (), 0, Verdict.UNVERIFIABLE, None, False, damaged=str(error)
                )
                self.ledger.record_looks([damaged])
        looks = self._looks(leased, erasures)
        answers = {one.record.job: self._examine(one, erasures[one.record.job]) for one in leased if one.watch}
        steps = [self._step(one, erasures[one.record.job], looks, answers, now) for one in leased]
        recorded = [self._ask_for(one, step) for one, step in zip(leased, steps, strict=True)]
        self.ledger.record_looks(
            [
                _recorded(one, step, answers.get(one.record.job), now)
                for one, step, may in zip(leased, steps, recorded, strict=True)
                if may
            ]
        )

    def _looks(
        self, leased: Sequence[LeasedErasure], erasures: Mapping[Target, Erasure]
    ) -> dict[tuple[Target, str | None], Look]:
        """A look at each part, in the name of the app user whose job it was: others may not see it."""
        wanted: dict[str | None, list[Target]] = {}
        for one in leased:
            parts = [part.target for part in erasures[one.record.job].parts if _to_be_looked_at(one, part)]
            wanted.setdefault(one.record.app_user, []).extend(parts)
        ask = PartLookups(self.lookups, self.ledger.now_ms).look
        return {
            (part, app_user): look
            for app_user, parts in wanted.items()
            for part, look in ask(dict.fromkeys(parts), app_user).items()
        }

    def _erasure(self, one: LeasedErasure) -> Erasure:
        record, parts = one.record, []
        if record.damaged:
            raise ValueError("what belonged to the job cannot be read")
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
        looks: Mapping[tuple[Target, str | None], Look],
        answers: Mapping[Target, Sequence[Observation]],
        now: int,
    ) -> Step:
        deletions = {target: PartDeletion(*found) for target, found in one.deletions.items()}
        found = {part.target: looks.get((part.target, one.record.app_user)) for part in erasure.parts}
        mine = {target: look for target, look in found.items() if look is not None}
        missing = any(_to_be_looked_at(one, part) and part.target not in mine for part in erasure.parts)
        missing = missing or any(answer.is_missing for answer in answers.get(erasure.job, ()))
        schedule = one.watch.schedule if one.watch else self.schedule
        step = after_look(erasure, mine, deletions, schedule, now, held=one.held)
        waited = now - erasure.opened
        if (
            missing and step.next_ms is None and waited < self.deadline_s * 1000
        ):  # it is asked again before it is closed
            again = replace(step.erasure, looks=erasure.looks)
            next_ms = now + min(max(LOOK_AGAIN_MS, waited // 4), LONGEST_MS)
            return replace(step, erasure=again, next_ms=next_ms, verdict=verdict(again, closed=False))
        return step

    def _ask_for(self, one: LeasedErasure, step: Step) -> bool:
        """Merges where it was asked for already: a worker may have died right after it. False: not now, and what was
        seen counts for nothing: it is looked at again."""
        if not step.wanted:
            return True
        terms = DeletionRequest(
            lane=Lane.BULK,
            by=BY_ERASURE,
            why="left behind by a deleted job",
            parent=str(one.record.job),
            looked=one.record.leases,
            app_user=one.record.app_user,
            deadline_s=self.deadline_s,
        )
        for_good = [part.target for part in step.wanted if part.late]
        again = [part.target for part in step.wanted if part.again and not part.late]
        others = [part.target for part in step.wanted if not (part.again or part.late)]
        try:
            accepted = [
                *self.ledger.request(others, terms),
                *self.ledger.request(again, replace(terms, force=True)),
                *self.ledger.request(for_good, replace(terms, force=True, for_good=True)),
            ]
        except EraserError as error:  # Redis is nearly full, or its project is being moved
            log.warning("erasure.postponed", extra={"account": self.ledger.account, "error": str(error)})
            return False
        return all(result.state not in NOT_NOW for result in accepted)


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
