"""The recheck of ERASER_RECHECK: by itself, in batches, behind people's work."""

from __future__ import annotations

import pytest

from tests.support.command import near
from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.rechecks import Rechecks
from worker.model.states import Lane
from worker.model.target import Target
from worker.receipts import rechecker
from worker.receipts.rechecker import EVERY_S, SOON_S, Rechecker
from worker.simulator import Simulator

EVERY = 30 * 86400.0


@pytest.fixture
def metastudio(simulator: Simulator) -> Simulator:
    simulator.fill(3)
    return simulator


@pytest.fixture
def app(redis_url: str, metastudio: Simulator) -> AppContext:
    return AppContext.load({"ERASER_REDIS_URL": redis_url, **near(metastudio)})


def one(app: AppContext) -> Rechecker:
    return Rechecker(app, app.settings.accounts, EVERY)


def rounds(app: AppContext) -> list[tuple[dict[str, int], bool]]:
    return [(run.results, run.ended is not None) for run in Rechecks(app.redis, "default").newest()]


def test_a_round_looks_up_what_ended_long_ago_and_says_what_came_back(
    app: AppContext, undertaker: Undertaker, metastudio: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecker, "BATCH", 2)
    undertaker.end_long_ago("a", "b", "c")
    undertaker.end("just-now", to="deleted")
    metastudio.add_jobs([{"job_id": "b"}, {"job_id": "just-now"}])
    worker = one(app)
    assert [worker.step("default") for _ in range(3)] == [0.0, 0.0, SOON_S]
    assert rounds(app) == [({"gone": 2, "back": 1, "unknown": 0}, True)]
    assert set(app.bulk_queries("default").came_back()) == {Target(PROJECT, "b")}
    called = len(metastudio.calls())
    assert worker.step("default") == EVERY_S, "the next round is in thirty days"
    assert len(metastudio.calls()) == called


def test_a_person_who_waits_goes_first(app: AppContext, undertaker: Undertaker, metastudio: Simulator) -> None:
    undertaker.end_long_ago("a")
    undertaker.request("urgent", lane=Lane.USER)
    assert one(app).step("default") == SOON_S
    assert (metastudio.calls(), rounds(app)) == ([], [])


def test_while_the_gate_is_closed_nothing_is_looked_up(
    app: AppContext, undertaker: Undertaker, metastudio: Simulator
) -> None:
    undertaker.end_long_ago("a")
    undertaker.ledger.pause(why="T-1")
    assert one(app).step("default") == EVERY_S
    assert (metastudio.calls(), rounds(app)) == ([], [])


def test_what_metastudio_did_not_answer_is_looked_up_again(
    app: AppContext, undertaker: Undertaker, metastudio: Simulator
) -> None:
    undertaker.end_long_ago("a")
    metastudio.outage("refuse")
    worker = one(app)
    assert worker._guarded("default") == EVERY_S
    assert rounds(app) == [({"gone": 0, "back": 0, "unknown": 0}, False)]
    metastudio.outage(None)
    worker.step("default")
    assert rounds(app) == [({"gone": 1, "back": 0, "unknown": 0}, False)]
