"""The judge itself: each way in which the two sides can disagree is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from benchmarks import cost
from tests.acceptance.fleet import Fleet
from tests.acceptance.other_side import adds_up
from tests.support.caller import Caller
from tests.support.dead_letters import Undertaker
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK


@pytest.fixture(scope="module")
def hall() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet
        fleet.adds_up = False  # each test left a disagreement


@pytest.fixture
def fleet(hall: Fleet) -> Iterator[Fleet]:
    """Two jobs that stay, and two that were deleted as they should be."""
    hall.client.flushall()
    hall.metastudio.reset()
    hall.plant("bystander-1", "bystander-2", "good-1", "good-2")
    call(hall, "good-1", "good-2")
    undertaker(hall).end("good-1", "good-2", to="deleted")
    adds_up(hall)
    return hall


def undertaker(fleet: Fleet) -> Undertaker:
    return Undertaker(fleet.redis_server.url, project=DEMO_PROJECT)


def call(fleet: Fleet, *jobs: str) -> None:
    """DELETE them, whoever does."""
    caller = Caller(fleet.metastudio.url, DEMO_AK, DEMO_SK, DEMO_PROJECT)
    for job in jobs:
        caller.send("DELETE", f"{caller.jobs}/{job}")


def disagree(fleet: Fleet, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        adds_up(fleet)


def test_a_bystander_that_was_deleted(fleet: Fleet) -> None:
    call(fleet, "bystander-1")
    disagree(fleet, "bystander-1: nobody asked for it, 1 DELETEs were sent, 1 did it")


def test_an_asset_that_nobody_asked_for(fleet: Fleet) -> None:
    fleet.metastudio.add_asset("asset-1", asset_state="UNACTIVED")
    caller = Caller(fleet.metastudio.url, DEMO_AK, DEMO_SK, DEMO_PROJECT)
    caller.send("DELETE", f"{caller.assets}/asset-1?mode=force")
    disagree(fleet, f"asset asset-1 was purged by {DEMO_AK}, and nobody asked for it")


def test_a_bystander_that_was_called_in_vain(fleet: Fleet) -> None:
    fleet.metastudio.fault("error", "bystander-1")
    call(fleet, "bystander-1")
    disagree(fleet, "bystander-1: nobody asked for it, 1 DELETEs were sent, 0 did it")


@pytest.mark.parametrize("end", ["gone", "deleted"])
def test_one_that_is_called_gone_or_deleted_and_is_there(fleet: Fleet, end: str) -> None:
    undertaker(fleet).end("bystander-2", to=end, evidence="never_seen" if end == "gone" else None)
    disagree(fleet, f"bystander-2 is called {end}, and is there")


def test_one_that_is_called_deleted_and_never_was_anywhere(fleet: Fleet) -> None:
    undertaker(fleet).end("nowhere", to="deleted")
    disagree(fleet, "nowhere is called deleted, and never was there")


def test_one_that_waits_as_if_nothing_had_happened(fleet: Fleet) -> None:
    fleet.plant("waits")
    fleet.ask("waits")
    adds_up(fleet)
    call(fleet, "waits")
    disagree(fleet, "waits is pending as if nothing had happened, and was deleted")


def test_one_that_is_back_after_a_restore_on_their_side(fleet: Fleet) -> None:
    fleet.plant("good-1")
    disagree(fleet, "good-1 is called deleted, and is there")
    fleet.restored.add("good-1")
    adds_up(fleet)
    fleet.restored.clear()


# The benchmark that empties both sides between its rows


def test_what_other_ways_deleted_is_no_disagreement_of_what_comes_after_them(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [cost.Look(at=float(n), deleted=n, client_s=0.0, redis_s=0.0, commands=0) for n in range(2)]
    monkeypatch.setattr(cost, "WARM_S", 0.0)
    monkeypatch.setattr(cost.Bench, "_window", lambda *_: looks)
    cost.Bench(fleet, sys.executable, seconds=1.0).run(cost.Row("bare", f"{cost.LOOPS} bare", most_per_s=1), 0.0)
    adds_up(fleet)


def test_what_ours_did_is_judged_before_it_is_forgotten(fleet: Fleet) -> None:
    bench = cost.Bench(fleet, sys.executable, seconds=1.0)
    bench.leave(cost.ROWS["ours"])
    adds_up(fleet)
    fleet.plant("bystander-3")
    call(fleet, "bystander-3")
    with pytest.raises(AssertionError, match="bystander-3: nobody asked for it"):
        bench.leave(cost.ROWS["ours"])
