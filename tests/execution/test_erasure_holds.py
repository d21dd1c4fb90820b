"""A hold of a job covers what it left behind, whatever else lets that go on."""

from __future__ import annotations

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from worker.ledger.holds import HoldList
from worker.ledger.replays import Replays, ReplayStage
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

TARGET, PART = Target(DEMO_PROJECT, JOB), Target(DEMO_PROJECT, f"asset-{JOB}", "model_asset")


def asked_for(estate: Estate) -> None:
    """The deletion of the asset waits to be taken."""
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False, app_user_id="user-77")
    estate.delete(JOB, app_user="user-77")
    estate.later(61)
    estate.pass_time(660)
    estate.observer().work()
    assert estate.ends(PART.name) == "pending"


def test_a_hold_of_the_app_user_that_ends_lets_nothing_of_a_job_on_hold_go_on(estate: Estate) -> None:
    asked_for(estate)
    holds = HoldList(estate.ledger)
    holds.add([TARGET], why="T-1", by="legal-3")
    holds.add_user("user-77", why="T-2", by="legal-3")
    assert estate.ends(PART.name) == "held"
    assert holds.remove_user("user-77", why="T-3", by="legal-3")
    assert estate.ends(PART.name) == "held"
    holds.remove([TARGET], why="T-4", by="legal-3")
    assert estate.ends(PART.name) == "pending"


def test_a_replay_of_many_leaves_what_a_job_on_hold_left_behind_dead(estate: Estate) -> None:
    asked_for(estate)
    estate.simulator.fault("error", PART.id, resource="asset", times=None)
    estate.later(1, 61, 61, 61, 61, 61, 61)
    assert estate.ends(PART.name).startswith("dead")
    HoldList(estate.ledger).add([TARGET], why="T-1", by="legal-3")
    replays = Replays(estate.ledger)
    replays.snapshot("replay-1", [PART])
    how = {"why": "T-2", "by": "ops-7", "what": "all", "groups": {"g": 1}, "mark": replays.mark()}
    assert replays.start(replays.terms("replay-1", deadline_s=30 * DAY_S, **how))
    (replay,) = replays.current()
    replays.requeue_batch(replay, 1, ReplayStage.CANARY)
    assert estate.ends(PART.name).startswith("dead")
    assert estate.redis.hget(f"{estate.ledger.prefix}replay:replay-1", "on_hold") == b"1"
