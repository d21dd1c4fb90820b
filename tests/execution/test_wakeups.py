"""Wake-ups: while nobody answers they become rare, and where nobody takes messages none is added."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from tests.support.ledgers import Bench
from worker.config.redis_urls import broker_form
from worker.execution import wakeups
from worker.execution.beat import Scheduler
from worker.execution.wakeups import MOST, send_wakeup
from worker.ledger.connection import connect
from worker.ledger.types import DeletionRequest
from worker.model.states import Lane
from worker.model.target import Target

LONGEST_S = 32  # below the minute after which a message is not heard any more


@pytest.fixture
def bench(redis_url: str) -> Bench:
    made = Bench(connect(redis_url))
    made.open()
    return made


def ask(bench: Bench) -> list[str]:
    """A person asks once more for the same job."""
    return called_for(bench, "job-1")


def called_for(bench: Bench, job: str) -> list[str]:
    """A person asks, and the dispatcher that was woken calls."""
    bench.woken.clear()
    bench.ledger.request([Target("p", job)], DeletionRequest(lane=Lane.USER))
    wakeup = bench.ledger.due_wakeup()[0] if bench.woken == [True] else None
    return [wakeup] if wakeup else []


def test_without_a_worker_wakeups_become_rare(bench: Bench) -> None:
    began, at = bench.now, []
    for _ in range(500):
        at += [(bench.now - began) / 1000 for _ in ask(bench)]
        bench.pass_time(2.001)
    pauses = [later - before for before, later in pairwise(at)]
    assert len(at) < 500 * 2 / LONGEST_S + 6, "it were 500, one in two seconds"
    assert pauses[:4] == sorted(pauses[:4])
    assert max(pauses) <= LONGEST_S + 2.001


def test_a_wakeup_that_arrives_makes_the_next_as_quick_as_ever(bench: Bench) -> None:
    wakeups = ask(bench)
    for _ in range(20):
        bench.pass_time(2.001)
        wakeups += ask(bench)
    lease = bench.turn(wakeup=wakeups[-1]).lease
    assert lease is not None
    bench.settle(lease)
    bench.ledger.request([Target("p", "job-2")], DeletionRequest(lane=Lane.USER))
    bench.pass_time(2.001)
    assert called_for(bench, "job-3")


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with Celery("us", broker=broker_form(redis_url), set_as_current=False) as made:
        made.conf.update(
            task_queues=[Queue("eraser", routing_key="eraser"), Queue("eraser.wakeups", routing_key="eraser.wakeups")],
            task_default_queue="eraser",
            task_routes={"eraser.work": {"queue": "eraser.wakeups"}},
        )
        yield made


def test_a_queue_that_had_room_is_not_looked_at_again_at_once(
    app: Celery, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "ROOM_S", 3600.0)
    bench.client.config_resetstat()
    assert send_wakeup(app, "default", "1")
    first = bench.client.info("commandstats")["cmdstat_llen"]["calls"]
    assert send_wakeup(app, "default", "2")
    assert bench.client.info("commandstats")["cmdstat_llen"]["calls"] == first


def test_a_queue_from_which_nobody_takes_gets_no_more(
    app: Celery, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "ROOM_S", 0.0)
    assert send_wakeup(app, "default", "1")
    bench.client.lpush("eraser.wakeups", *["x"] * MOST)
    assert not send_wakeup(app, "default", "2"), "who works for the dispatcher hears it, not the broker"
    assert bench.client.llen("eraser.wakeups") == MOST + 1


def test_neither_does_beat_add_to_it(app: Celery, bench: Bench, tmp_path: Any) -> None:
    app.conf.beat_schedule = {"sweep-due": {"task": "eraser.sweep_due", "schedule": 60.0}}
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "schedule"))
    try:
        entry = scheduler.schedule["sweep-due"]
        with app.producer_pool.acquire(block=True) as producer:
            scheduler.apply_async(entry, producer=producer)
            assert bench.client.llen("eraser") == 1
            bench.client.lpush("eraser", *["x"] * MOST)
            scheduler.apply_async(scheduler.schedule["sweep-due"], producer=producer)
        assert bench.client.llen("eraser") == MOST + 1
        assert scheduler.schedule["sweep-due"].total_run_count == 2, "the next one is due a minute later, not at once"
    finally:
        scheduler.close()
