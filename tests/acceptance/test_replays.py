"""A replay of many: one look names what died, one group is replayed, and who is killed meanwhile changes nothing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from tests.acceptance.fleet import BYSTANDER, Fleet, tell
from tests.acceptance.judge import (
    each_is_in_exactly_one_index,
    everything,
    no_calls_overlapped,
    what_is_deleted_was_deleted_once,
)
from tests.support.dead_letters import Undertaker
from worker.ledger.keys import OURS
from worker.ledger.replays import Replays, ReplayState
from worker.model.states import Cause, State
from worker.services import replay as replay_service
from worker.simulator import DEMO_PROJECT, FaultKind

FAILED, REFUSED, LATE = "server_error-500-MSS.00000004", "refused-400-MSS.00000003", "deadline"
BRISK = {"ERASER_RATE": "250"}
KILLED_SOON = {"ERASER_RATE": "120", "ERASER_CALL_TIMEOUT": "6s", "ERASER_LEASE": "8s"}


def bury(fleet: Fleet, **groups: int) -> dict[str, list[str]]:
    """Dead letters of up to three causes, whose jobs are there and would go."""
    undertaker = Undertaker(fleet.redis_server.url, project=DEMO_PROJECT)
    died = {
        "failed": {},
        "refused": {"cause": Cause.REFUSED.value, "status": 400, "code": "MSS.00000003"},
        "late": {"cause": Cause.DEADLINE.value, "status": None, "code": None},
    }
    jobs = {name: [f"{name}-{n:04d}" for n in range(number)] for name, number in groups.items()}
    for name, of_group in jobs.items():
        fleet.plant(*of_group)
        undertaker.end(*of_group, **died[name])
    fleet.client.delete(f"{fleet.ledger.prefix}gate", f"{fleet.ledger.prefix}wakeups")  # the undertaker's own
    return jobs


def eraser(fleet: Fleet, name: str, *words: str) -> Any:
    return fleet.start(name, [sys.executable, "-c", "from worker.interfaces.cli import main; main()", *words])


def ended(fleet: Fleet, replay: str) -> bool:
    found = Replays(fleet.ledger).find(replay)
    return found is not None and found.state not in (ReplayState.RUNNING, ReplayState.STOPPING)


def latest(fleet: Fleet) -> replay_service.ReplayProgress | None:
    found = replay_service.history(fleet.app, 1)
    return found[0] if found else None


def dispatching(fleet: Fleet) -> int:
    """The process of the worker that drives replays now."""
    held: list[Any] = []
    fleet.wait(lambda: held.append(fleet.client.get(OURS.dispatcher)) or held[-1], "a worker dispatches")
    return int(held[-1].decode().split(":")[1])


def by_group(fleet: Fleet) -> dict[str, int]:
    process = eraser(fleet, "groups", "dead", "groups", "--json")
    assert process.popen.wait() == 0
    return {group["group"]: group["count"] for group in map(json.loads, process.text.splitlines())}


def test_one_look_names_1378_dead_letters_of_three_causes_and_one_group_is_replayed() -> None:
    good = [f"good-{n:03d}" for n in range(100)]
    with Fleet(settings=BRISK) as fleet:
        jobs = bury(fleet, failed=1_000, refused=318, late=60)
        fleet.plant(*good)
        fleet.start_workers(2)
        fleet.ask(*good)
        assert by_group(fleet) == {FAILED: 1_000, REFUSED: 318, LATE: 60}

        words = ["dead", "replay", FAILED, "--reason", "TICKET-4711", "--by", "ops-7", "--yes", "--max", "1000"]
        process = eraser(fleet, "replay", *words)
        took = fleet.wait(lambda: not process.alive, "the replay has ended")
        tell(f"1,000 dead letters replayed in {took:.1f} s\n{process.text}")
        assert process.popen.returncode == 0
        assert "is done after" in process.text
        assert "1,000 deleted" in process.text

        progress = latest(fleet)
        assert progress is not None
        assert (progress.first.by, progress.first.why, progress.first.what) == ("ops-7", "TICKET-4711", FAILED)
        assert (progress.count("deleted"), progress.count("ok"), progress.count("open")) == (1_000, 1_000, 0)
        fleet.wait_until_settled(1_478)
        assert fleet.states() == {State.DELETED: 1_100, State.DEAD: 378}
        deletions = everything(fleet)
        assert {deletions[job].round for job in jobs["failed"]} == {2}
        for untouched in (*jobs["refused"], *jobs["late"]):
            assert (deletions[untouched].state, deletions[untouched].round) == (State.DEAD, 1)
        calls = [call for call in fleet.metastudio.calls() if call["operation"] == "delete"]
        first = [call["job_id"] for call in calls if call["job_id"] in set(jobs["failed"])]
        assert Counter(first) == dict.fromkeys(jobs["failed"], 1), "each was called once"


def test_a_canary_that_fails_stops_the_rest() -> None:
    with Fleet(settings=BRISK | {"ERASER_RETRY_SCHEDULE": "0.2s"}) as fleet:
        jobs = bury(fleet, failed=400)
        for job in jobs["failed"]:
            fleet.metastudio.fault(FaultKind.ERROR, job, times=None)
        fleet.start_workers(1)
        process = eraser(fleet, "replay", "dead", "replay", FAILED, "--reason", "T-1", "--yes", "--max", "400")
        fleet.wait(lambda: not process.alive, "the replay has ended")
        assert process.popen.returncode == 1
        assert "the canary failed again at its first attempt." in process.text
        assert "399 more dead letters unchanged" in process.text
        fleet.wait_until_settled(400)
        deletions = everything(fleet)
        assert Counter((d.state, d.round) for d in deletions.values()) == {(State.DEAD, 1): 399, (State.DEAD, 2): 1}
        assert {call["job_id"] for call in fleet.metastudio.calls() if call["operation"] == "delete"} == {
            d.ref.id for d in deletions.values() if d.round == 2
        }


def test_the_process_that_drives_a_replay_is_killed_and_nothing_happens_twice() -> None:
    with Fleet(settings=KILLED_SOON, simulator=("--latency", "0.02", "--jitter", "0.02")) as fleet:
        jobs = bury(fleet, failed=900)["failed"]
        fleet.plant(BYSTANDER)
        crew = {worker.pid: worker for worker in fleet.start_workers(3)}
        process = eraser(fleet, "replay", "dead", "replay", "--all", "--reason", "T-1", "--yes", "--max", "900")
        for threshold in (5, 150, 400):
            fleet.wait(lambda t=threshold: fleet.states().get(State.DELETED, 0) >= t, f"{threshold} are deleted")
            if process.alive:
                process.kill()  # who started it
            driver = dispatching(fleet)
            if driver in crew:
                crew.pop(driver).kill()
                worker = fleet.start_worker()
                crew[worker.pid] = worker
        replay = latest(fleet)
        assert replay is not None
        fleet.wait(lambda: ended(fleet, replay.replay), "the replay has ended")

        each_is_in_exactly_one_index(fleet, jobs)
        deletions = everything(fleet)
        what_is_deleted_was_deleted_once(fleet, deletions.values())
        no_calls_overlapped(fleet.metastudio.calls(), frozen=())
        calls = Counter(call["job_id"] for call in fleet.metastudio.calls() if call["operation"] == "delete")
        lost = {job for job, d in deletions.items() if any(event.name == "deletion.lost" for event in d.events)}
        unanswered = {
            job for job, d in deletions.items() if any("status" not in attempt.fields for attempt in d.attempts)
        }
        again = {job for job, times in calls.items() if times > 1}
        assert again <= lost | unanswered, "but for calls of killed workers, and on a machine that stood still"
        ends = Counter((d.state, d.round) for d in deletions.values())
        tell(str(ends))
        assert {state for state, _ in ends} <= {State.DELETED, State.GONE}
        assert {number for _, number in ends} == {2}, "each began one new round, and only one"
        assert len(fleet.metastudio.effects()) == len(jobs)
        progress = replay_service.progress_of(fleet.app, replay.replay)
        assert progress.state is ReplayState.DONE
        assert progress.count("fed") == progress.count("deleted") + progress.count("gone") == len(jobs)
