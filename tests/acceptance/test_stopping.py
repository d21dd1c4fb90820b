"""SIGTERM: what is under way is finished and recorded, nothing new is begun, and the rest goes on elsewhere."""

from __future__ import annotations

import signal
import time
from itertools import pairwise

from tests.acceptance.fleet import PATIENCE_S, Fleet, Process, tell
from tests.acceptance.judge import every_call_is_recorded, judge
from worker.execution.executor import BUDGET_S
from worker.model.states import State

CALL_S = 2.0
CALL_DEADLINE_S = 30.0
LEASE_S = 60.0
GOODBYE_S = 30.0  # for Celery to leave, on a busy machine too
SLOW = {"ERASER_CALL_TIMEOUT": f"{CALL_DEADLINE_S:g}s", "ERASER_LEASE": f"{LEASE_S:g}s", "ERASER_RATE": "10"}
UNDER_WAY = 4  # calls: a fraction of a second after the first one, when nearly all the others still wait
LATENCY = ("--latency", str(CALL_S))
JOBS = [f"job-{n:03d}" for n in range(50)]


def under_way(fleet: Fleet) -> int:
    return int(fleet.metastudio.stats()["under_way"])


def end(worker: Process) -> float:
    """SIGTERM; returns the seconds until the process was gone."""
    began = time.monotonic()
    worker.ask_to_end()
    worker.popen.wait(PATIENCE_S)
    return time.monotonic() - began


def nobody_noticed(fleet: Fleet) -> None:
    """Every job took exactly one call, which was answered: none was cut off, rescued or repeated."""
    deletions = judge(fleet, JOBS)
    assert len(deletions) == len(JOBS)
    every_call_is_recorded(fleet, deletions)
    assert fleet.states() == {State.DELETED: len(JOBS)}
    assert [job for job, d in deletions.items() if len(d.attempts) != 1 or d.events] == []
    assert not any(call["client_left"] for call in fleet.metastudio.calls())


def test_a_stopped_worker_finishes_its_calls_and_the_rest_goes_on_elsewhere() -> None:
    with Fleet(settings=SLOW, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS)
        first, _second = fleet.start_workers(2)
        fleet.ask(*JOBS)
        fleet.wait(lambda: under_way(fleet) >= UNDER_WAY, "slow calls are under way")
        since = time.monotonic()
        took = end(first)
        assert first.popen.returncode == 0
        assert took <= CALL_DEADLINE_S + GOODBYE_S, "the calls' deadline, and a moment to say goodbye"
        fleet.wait_until_settled(len(JOBS))
        nobody_noticed(fleet)
        starts = sorted(call["started"] for call in fleet.metastudio.calls() if call["started"] >= since - 1.0)
        gap = max(b - a for a, b in pairwise(starts))
        tell(f"gone {took:.1f} s after SIGTERM with calls of {CALL_S} s; the longest pause between calls: {gap:.2f} s")
        assert gap < LEASE_S - CALL_S, "the rest waited for the worker that was stopped"


def test_the_last_worker_leaves_nothing_leased_and_its_successor_goes_on() -> None:
    with Fleet(settings=SLOW, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS)
        (only,) = fleet.start_workers(1)
        fleet.ask(*JOBS)
        fleet.wait(lambda: under_way(fleet) >= UNDER_WAY, "slow calls are under way")
        end(only)
        assert only.popen.returncode == 0
        states = fleet.states()
        assert set(states) == {State.DELETED, State.PENDING}
        assert under_way(fleet) == 0
        assert fleet.live_workers() == 0
        fleet.start_workers(1)
        fleet.wait_until_settled(len(JOBS))
        nobody_noticed(fleet)


def test_sigterm_while_redis_is_away_keeps_every_answer_until_it_is_recorded() -> None:
    with Fleet(settings=SLOW, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS)
        (only,) = fleet.start_workers(1)
        fleet.ask(*JOBS)
        fleet.wait(lambda: under_way(fleet) >= UNDER_WAY, "slow calls are under way")
        fleet.kill_redis()
        only.send(signal.SIGTERM)
        fleet.wait(lambda: under_way(fleet) == 0, "the calls are answered")
        fleet.start_redis()
        only.popen.wait(PATIENCE_S)
        assert only.popen.returncode == 0
        assert fleet.states().get(State.RUNNING, 0) == 0
        assert fleet.states()[State.DELETED] == len(fleet.metastudio.effects())
        fleet.start_workers(1)
        fleet.wait_until_settled(len(JOBS))
        nobody_noticed(fleet)


def test_a_worker_whose_only_thread_is_free_again_is_called_at_once() -> None:
    jobs = [f"job-{n}" for n in range(6)]
    with Fleet(
        settings=SLOW, simulator=("--latency", f"{BUDGET_S + 0.1}")
    ) as fleet:  # each call has an executor of its own
        fleet.plant(*jobs)
        fleet.start_worker("--concurrency", "1")
        fleet.ask(*jobs)
        fleet.wait_until_settled(len(jobs))
        judge(fleet, jobs)
        calls = [call for call in fleet.metastudio.calls() if call["operation"] == "delete"]
        idle = sorted(later["started"] - before["ended"] for before, later in pairwise(calls))
        tell(f"idle between two calls: {[round(pause, 3) for pause in idle]}")
        assert idle[0] < 0.5, "Celery's event loop slept although a thread was free: then each pause is nearly a second"
