"""Repeated 500s: dead letters that keep their attempts, a replay with a whole new budget, and no harm to the others."""

from __future__ import annotations

from tests.acceptance.fleet import ATTEMPTS, Fleet, tell
from tests.acceptance.judge import judge
from worker.model.states import Cause, State
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT, FaultKind

GOOD = [f"good-{n:03d}" for n in range(400)]
TO_DEATH = ["failed"] * ATTEMPTS


def die_of_500s(fleet: Fleet, poisoned: list[str]) -> None:
    """Each is a dead letter with every one of its attempts, and the server's own request ids."""
    for job in poisoned:
        letter = fleet.show(job)
        assert (letter.state, letter.cause, letter.used) == (State.DEAD, Cause.SERVER_ERROR, ATTEMPTS)
        assert [attempt.fields["outcome"] for attempt in letter.attempts] == TO_DEATH
        answered = {(call["request_id"], call["status"]) for call in fleet.metastudio.calls(job_id=job)}
        for attempt in letter.attempts:
            assert attempt.fields["code"] == "MSS.00000004"
            assert (attempt.fields["request_id"], attempt.fields["status"]) in answered


def replay(fleet: Fleet, jobs: list[str]) -> None:
    refs = [Target(DEMO_PROJECT, job) for job in jobs]
    results = fleet.ledger.replay(refs, why="the incident is closed", deadline_s=600)
    fleet.app.wake(fleet.account, 0)
    assert {state for _, state in results} == {"pending"}


def test_repeated_500s_end_as_dead_letters_and_their_replay_has_a_whole_new_budget() -> None:
    poisoned = [f"poisoned-{n}" for n in range(4)]
    with Fleet() as fleet:
        fleet.plant(*GOOD, *poisoned)
        for job in poisoned:
            fleet.metastudio.fault(FaultKind.ERROR, job, times=None)
        fleet.start_workers(2)
        fleet.ask(*GOOD[:200], *poisoned, *GOOD[200:])
        fleet.wait_until_settled(len(GOOD) + len(poisoned))
        assert fleet.states() == {State.DELETED: len(GOOD), State.DEAD: len(poisoned)}
        die_of_500s(fleet, poisoned)
        judge(fleet, [*GOOD, *poisoned])

        fleet.metastudio.clear_faults()
        for job in poisoned:  # as many failures as a whole budget bears
            fleet.metastudio.fault(FaultKind.ERROR, job, times=ATTEMPTS - 1)
        replay(fleet, poisoned)
        fleet.wait_until_settled(len(GOOD) + len(poisoned))

        deletions = judge(fleet, [*GOOD, *poisoned])
        for job in poisoned:
            deletion = deletions[job]
            assert (deletion.state, deletion.round) == (State.DELETED, 2)
            first, second = ([a.fields["outcome"] for a in deletion.attempts if a.round == n] for n in (1, 2))
            assert first == TO_DEATH
            assert second == ["failed"] * (ATTEMPTS - 1) + ["deleted"]


def test_ten_poisoned_jobs_and_nothing_else_die_although_it_looks_like_an_outage() -> None:
    poisoned = [f"poisoned-{n}" for n in range(10)]
    with Fleet(settings={"ERASER_RETRY_SCHEDULE": "0.05s,0.1s,0.2s"}) as fleet:  # an outage's pauses follow from it
        fleet.plant(*poisoned)
        for job in poisoned:
            fleet.metastudio.fault(FaultKind.ERROR, job, times=None)
        fleet.start_workers(2)
        fleet.ask(*poisoned)
        took = fleet.wait_until_settled(len(poisoned))
        tell(f"ten poisoned jobs were dead after {took:.1f} s")
        die_of_500s(fleet, poisoned)
        judge(fleet, poisoned)


def test_one_poisoned_job_costs_four_hundred_good_ones_no_attempt_and_no_pause() -> None:
    with Fleet() as fleet:
        fleet.plant("poisoned", *GOOD)
        fleet.metastudio.fault(FaultKind.ERROR, "poisoned", times=None)
        fleet.start_workers(2)
        fleet.ask("poisoned", *GOOD)
        fleet.wait_until_settled(1 + len(GOOD))
        die_of_500s(fleet, ["poisoned"])
        deletions = judge(fleet, ["poisoned", *GOOD])
        assert all(len(deletions[job].attempts) == 1 for job in GOOD)
        assert not any(event.name == "deletion.looked" for d in deletions.values() for event in d.events)
