"""What a look makes of an erasure whose part is being deleted meanwhile: what was seen once is not unlearnt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.model.erasure import Inventory, PartEvidence, Related, Verdict
from worker.model.target import MODEL_ASSET, Target
from worker.rules.erasure import Erasure, Step, after_look
from worker.rules.parts import Look, Part, PartDeletion, Sight

JOB = Target("p", "job-1")
SCHEDULE = (1.0, 2.0)
WANTED = Part(MODEL_ASSET, "asset-1", "p", "job", own=True, before="UNACTIVED", after="UNACTIVED", wanted_at=500)


def look(part: Part, deletion: PartDeletion, shown: str | None = None, *, looks: int = 0) -> Step:
    """One look; `seen`: the asset's state, None: nobody asked for it."""
    erasure = Erasure(JOB, Related.DELETE, Inventory.DONE, opened=0, looks=looks, parts=(part,))
    looks_at = {} if shown is None else {part.target: Look(Sight.PRESENT, 1_000, shown, "p")}
    return after_look(erasure, looks_at, {part.target: deletion}, SCHEDULE, 1_000)


@pytest.mark.parametrize(
    ("then", "removed_by"),
    [("deleted", "us"), ("gone", "us"), ("dead", "service"), ("cancelled", "service"), ("discarded", "service")],
)
def test_a_part_that_was_purged_before_its_deletion_was_counted_stays_purged(then: str, removed_by: str) -> None:
    early = look(WANTED, PartDeletion("running"), "DELETED")
    (part,) = early.erasure.parts
    assert (part.evidence, part.ended, early.verdict) == (PartEvidence.PURGED, False, Verdict.PENDING)
    late = look(part, PartDeletion(then, 1), looks=1)
    (part,) = late.erasure.parts
    assert (part.evidence, part.ended, part.removed_by, part.calls) == (PartEvidence.PURGED, True, removed_by, 1)
    assert (late.verdict, late.next_ms) == (Verdict.WHOLE_BY_ACKNOWLEDGEMENT, None)


@pytest.mark.parametrize("state", ["pending", "running", "held"])
def test_a_purged_part_waits_for_the_end_of_its_deletion(state: str) -> None:
    (part,) = look(WANTED, PartDeletion("running"), "DELETED").erasure.parts
    step = look(part, PartDeletion(state), looks=1)
    assert (step.erasure.parts[0].evidence, step.erasure.parts[0].ended) == (PartEvidence.PURGED, False)
    assert step.verdict is Verdict.PENDING


@pytest.mark.parametrize("evidence", [PartEvidence.PURGED, PartEvidence.ABSENT_SEEN_BEFORE])
@pytest.mark.parametrize("sight", [Sight.ABSENT, Sight.UNSEEN, Sight.FORBIDDEN, Sight.PRESENT])
def test_a_recheck_takes_back_what_was_proven_only_where_it_sees_the_part(evidence: PartEvidence, sight: Sight) -> None:
    part = Part(MODEL_ASSET, "asset-1", "p", "job", own=True, before="ACTIVED", evidence=evidence.value, absences=2)
    part = replace(part, absences=0 if evidence is PartEvidence.PURGED else 2, removed_by="service")
    erasure = Erasure(JOB, Related.VERIFY, Inventory.DONE, opened=0, looks=len(SCHEDULE), parts=(part,))
    state = "ACTIVED" if sight is Sight.PRESENT else None
    step = after_look(erasure, {part.target: Look(sight, 9_000, state, "p")}, {}, SCHEDULE, 9_000)
    (after,) = step.erasure.parts
    if sight is Sight.PRESENT:
        assert (after.evidence, after.removed_by, step.verdict) == (PartEvidence.KEPT, None, Verdict.PARTIAL)
    else:
        assert (after.evidence, after.removed_by) == (evidence, "service")
        assert (step.verdict, step.next_ms) == (Verdict.WHOLE_BY_ACKNOWLEDGEMENT, None)
