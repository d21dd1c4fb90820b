"""Two installations on one Redis database and one broker: nothing of one ever reaches the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import judge
from worker.model.states import Lane, State
from worker.simulator import DEMO_PROJECT

JOBS = [f"job-{n:02d}" for n in range(20)]


@pytest.fixture
def both() -> Iterator[tuple[Fleet, Fleet]]:
    with Fleet() as ours:
        shared = {"ERASER_REDIS_URL": ours.redis_server.url, "ERASER_NAMESPACE": "staging"}
        with Fleet(settings=shared) as theirs:
            yield ours, theirs


def deleted(fleet: Fleet) -> set[str]:
    return {call["job_id"] for call in fleet.metastudio.calls() if call["operation"] == "delete"}


def test_a_message_reaches_its_own_installation_and_no_other(both: tuple[Fleet, Fleet]) -> None:
    for fleet in both:
        fleet.plant(*JOBS, "only-asked-for")
        fleet.start_workers(1)
    for fleet, jobs in zip(both, (JOBS[:10], JOBS[10:]), strict=True):
        with fleet.producer() as app:
            for job in jobs:
                app.send_task("eraser.delete", args=[DEMO_PROJECT, job], queue=fleet.app.keys.requests)
        fleet.ask("only-asked-for", lane=Lane.USER)
    for fleet, jobs in zip(both, (JOBS[:10], JOBS[10:]), strict=True):
        fleet.wait_until_settled(len(jobs) + 1)
        assert fleet.states() == {State.DELETED: len(jobs) + 1}
        assert deleted(fleet) == {*jobs, "only-asked-for"}, "each asked its own MetaStudio for its own jobs"
        judge(fleet, [*jobs, "only-asked-for"])


def test_every_key_belongs_to_one_of_them(both: tuple[Fleet, Fleet]) -> None:
    for fleet in both:
        fleet.plant(*JOBS)
        fleet.start_workers(1)
        fleet.ask(*JOBS)
    for fleet in both:
        fleet.wait_until_settled(len(JOBS))
    keys = [key.decode() for key in both[0].client.scan_iter()]
    bindings = {key for key in keys if key.startswith("_kombu.binding.")}
    beginnings = tuple(f"{begin}{mark}" for begin in ("eraser", "staging") for mark in (":", "."))
    ours = [key for key in keys if not key.startswith("_kombu.")]
    assert [key for key in ours if not key.removeprefix("{").startswith(beginnings)] == []
    for binding in bindings:
        others = b"staging" if "eraser" in binding else b"eraser"
        bound = both[0].client.smembers(binding)
        assert not [one for one in bound if others in one], f"{binding} would bring a message of one to the other"


def test_a_command_of_celerys_reaches_the_workers_of_its_own_installation_only(both: tuple[Fleet, Fleet]) -> None:
    for fleet in both:
        fleet.start_workers(1)
    ours, theirs = both
    assert list(theirs.inspect("ping")) == ["worker-1@test"], "one answer: each has a worker of this name"
    theirs.run(*theirs.celery("control", "shutdown"))
    theirs.wait(lambda: not theirs.workers[0].alive, "their worker stops")
    ours.plant("job-00")
    ours.ask("job-00")
    ours.wait_until_settled(1)
    assert ours.workers[0].alive


def test_a_staging_that_shares_productions_ledger_by_mistake_takes_nothing_of_it() -> None:
    """Its MetaStudio has none of production's jobs: each of them would look like one that is gone."""
    with Fleet() as production:
        jobs = production.plant(*JOBS)
        with Fleet(settings={"ERASER_REDIS_URL": production.redis_server.url}) as staging:
            staging.adds_up = False  # the ledger is of production's jobs
            production.ask(*jobs)
            worker = staging.start_worker()
            beat = staging.start("beat", staging.celery("beat", "--schedule", str(staging.directory / "beat")))
            for process in (worker, beat):
                staging.wait(lambda process=process: not process.alive, f"it ends\n{process.text}")  # type: ignore[misc]
                assert process.popen.returncode == 2, process.text
                for expected in (production.metastudio.url, staging.metastudio.url, "eraser accounts rebind"):
                    assert expected in process.text
                assert "Traceback" not in process.text
            assert production.states() == {State.PENDING: len(JOBS)}
            production.start_worker()
            production.wait_until_settled(len(JOBS))
            assert production.states() == {State.DELETED: len(JOBS)}
            judge(production, jobs)
            assert staging.metastudio.calls() == []
