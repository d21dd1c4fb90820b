"""No wake-up can be sent, because Redis is full or the broker is away: what was accepted is carried out."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.acceptance.fleet import PATIENCE_S, Fleet
from tests.acceptance.judge import judge
from worker.ledger.keys import OURS
from worker.local.embedded import EmbeddedRedis
from worker.model.errors import EraserError
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

JOBS = [f"job-{n:03d}" for n in range(300)]


def test_a_full_redis_refuses_requests_clearly_and_drains_what_is_pending() -> None:
    with Fleet() as fleet:
        fleet.plant(*JOBS, "late")
        workers = fleet.start_workers(2)
        fleet.ledger.pause(why="let it fill up")
        fleet.ask(*JOBS)
        info: Any = fleet.client.info("memory")
        fleet.client.config_set("maxmemory", info["used_memory"] // 2)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            fleet.client.set("anything", "x" * 100)
        with pytest.raises(EraserError, match=r"(?i)memory"):
            fleet.ask("late")
        fleet.ledger.resume(why="T-9")
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: len(JOBS)}
        judge(fleet, JOBS)
        assert all(worker.alive for worker in workers)

        fleet.client.config_set("maxmemory", 0)
        fleet.ask("late")
        fleet.wait_until_settled(len(JOBS) + 1)
        assert fleet.state("late") is State.DELETED


def test_a_worker_that_starts_while_redis_is_full_drains_it_and_goes_on_afterwards() -> None:
    """Celery cannot even declare its queues then, and gave up; with every worker restarted nothing would ever drain."""
    with Fleet() as fleet:
        fleet.plant(*JOBS, "late")
        fleet.ask(*JOBS)
        info: Any = fleet.client.info("memory")
        fleet.client.config_set("maxmemory", info["used_memory"] // 2)
        worker = fleet.start_worker()
        fleet.wait_until_settled(len(JOBS))
        assert worker.alive
        assert fleet.states() == {State.DELETED: len(JOBS)}
        judge(fleet, JOBS)

        fleet.client.config_set("maxmemory", 0)
        fleet.producer().send_task("eraser.delete", args=[DEMO_PROJECT, "late"], queue=OURS.requests)
        fleet.wait_until_settled(len(JOBS) + 1)
        assert "Traceback" not in worker.text


def test_a_broker_of_its_own_that_is_away_does_not_stop_deletions() -> None:
    with Fleet(settings={"ERASER_BROKER_URL": "redis+socket:///nowhere/redis.sock"}) as fleet:
        fleet.plant(*JOBS)
        worker = fleet.start_worker()
        fleet.ask(*JOBS)
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: len(JOBS)}
        judge(fleet, JOBS)
        fleet.wait(lambda: "Trying again" in worker.text, "Celery says that it tries again")
        worker.ask_to_end()
        worker.popen.wait(PATIENCE_S)


def test_a_broker_of_its_own_that_hangs_does_not_stop_deletions(tmp_path: Path) -> None:
    """Without a timeout the first wake-up never came back: the dispatcher stood still, and executors with leases."""
    with EmbeddedRedis(tmp_path / "broker") as broker, Fleet(settings={"ERASER_BROKER_URL": broker.url}) as fleet:
        fleet.plant("meanwhile", "afterwards")
        worker = fleet.start_worker()
        assert broker.pid
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            fleet.ask("meanwhile")
            fleet.wait_until_settled(1)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        producer = Celery("somebody-elses", broker=broker.broker_url, set_as_current=False)
        producer.send_task("eraser.delete", args=[DEMO_PROJECT, "afterwards"], queue=OURS.requests)
        fleet.wait_until_settled(2)
        assert fleet.states() == {State.DELETED: 2}
        assert worker.alive
