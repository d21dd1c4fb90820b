"""A kind that only its adapter describes, with real workers: called, repeated, dead, replayed and proven."""

from __future__ import annotations

from collections import Counter

from tests.acceptance.fleet import ATTEMPTS, Fleet
from tests.support.clips import KIND, Library, known
from worker.ledger.types import DeletionRequest
from worker.model.states import Cause, State
from worker.model.target import Target
from worker.services.request import record
from worker.simulator import DEMO_PROJECT

CLIPS = [Target(DEMO_PROJECT, f"c-{n:02d}", KIND) for n in range(40)]
POISONED, GONE = Target(DEMO_PROJECT, "poisoned", KIND), Target(DEMO_PROJECT, "gone", KIND)
JOBS = [Target(DEMO_PROJECT, f"job-{n:02d}") for n in range(40)]


def test_clips_and_jobs_are_deleted_side_by_side() -> None:
    with known(), Library() as library:
        library.clips = dict.fromkeys((*(clip.id for clip in CLIPS), POISONED.id, "bystander"), "READY")
        library.jobs = dict.fromkeys((*(job.id for job in JOBS), "bystander"), "")
        library.faults = {f"delete clip {POISONED.id}": (500, "MSS.00000004")}
        settings = {"ERASER_ENDPOINT": library.url}
        with Fleet(settings=settings, application="tests.acceptance.with_clips") as fleet:
            fleet.adds_up = False  # another MetaStudio than its own
            fleet.start_workers(2)
            list(record(fleet.app, [*CLIPS, POISONED, GONE, *JOBS], DeletionRequest()))
            fleet.wait_until_settled(len(CLIPS) + len(JOBS) + 2)
            assert fleet.states() == {State.DELETED: len(CLIPS) + len(JOBS), State.DEAD: 1, State.GONE: 1}
            letter = fleet.queries.show(POISONED)
            assert letter is not None
            assert (letter.cause, letter.used) == (Cause.SERVER_ERROR, ATTEMPTS)

            library.faults = {}
            fleet.ledger.replay([POISONED], why="the incident is closed", deadline_s=600)
            fleet.app.wake(fleet.account, 0)
            fleet.wait(lambda: POISONED.id not in library.clips, "the replay deletes it")
            fleet.wait_until_settled(len(CLIPS) + len(JOBS) + 2)
        sent = Counter(call for call in library.calls if call.startswith("delete"))
        assert sent.pop(f"delete clip {POISONED.id}") == ATTEMPTS + 1
        assert set(sent.values()) == {1}, "one call for each"
        assert (set(library.clips), set(library.jobs), library.most) == ({"bystander"}, {"bystander"}, 1)
