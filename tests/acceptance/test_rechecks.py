"""Real workers look by themselves whether what was deleted is still gone."""

from __future__ import annotations

from tests.acceptance.fleet import BYSTANDER, Fleet
from worker.ledger.rechecks import Rechecks
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

HOURS_MS = 2 * 3_600_000
JOBS = [f"job-{n}" for n in range(60)]


def lists(fleet: Fleet) -> int:
    return sum(call["operation"] == "list" for call in fleet.metastudio.calls())


def test_a_job_that_a_backup_brought_back_is_found_by_a_worker_and_deleted_again() -> None:
    with Fleet() as fleet:
        back = Target(DEMO_PROJECT, "job-7")
        fleet.plant(BYSTANDER, *JOBS)
        fleet.ask(*JOBS)
        first = fleet.start_worker()
        fleet.wait(lambda: fleet.states() == {State.DELETED: len(JOBS)}, "all are deleted")
        first.ask_to_end()
        fleet.wait(lambda: not first.alive, "the worker has ended")
        for ref in (str(Target(DEMO_PROJECT, job)) for job in JOBS):
            at = int(fleet.client.zincrby(fleet.ledger.prefix + "deleted", -HOURS_MS, ref))
            fleet.client.hset(f"{fleet.ledger.prefix}d:{ref}", "end", at)
        fleet.plant(back.id)
        fleet.restored.add(back.id)
        looked = lists(fleet)
        for _ in range(2):
            fleet.start_worker(env=fleet.env | {"ERASER_RECHECK": "30d"})
        fleet.wait(lambda: set(fleet.app.bulk_queries(fleet.account).came_back()) == {back}, "it is found")
        runs = Rechecks(fleet.client, fleet.account)
        fleet.wait(lambda: runs.newest()[0].ended, "the round is over")
        assert [(run.by, run.results) for run in runs.newest()] == [(None, {"gone": 59, "back": 1, "unknown": 0})]
        assert lists(fleet) - looked < 2 * len(JOBS), "two workers do not look twice"
        fleet.ask(back.id, lane=Lane.USER, force=True)
        fleet.wait(lambda: fleet.show(back.id).round == 2 and fleet.state(back.id) is State.DELETED, "deleted again")
        assert fleet.app.bulk_queries(fleet.account).came_back() == {}
