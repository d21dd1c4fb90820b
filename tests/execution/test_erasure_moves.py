"""A project that moves to another account takes along what its deleted jobs left behind, and what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from tests.execution.test_executor import CLOCK
from worker.ledger.deletions import Ledger
from worker.ledger.places import Places
from worker.ledger.project_moves import adopt_users, carry
from worker.simulator import DEMO_PROJECT

ACT = {"act": "project.moved", "id": "m1"}
OURS = ("erasures", "erasure:", "left", "assets", "verdicts")


def move(estate: Estate) -> None:
    """To account b, twice as whoever died half way would; what the estate reads from then on is b's."""
    source = estate.ledger
    target = Ledger(estate.redis, "b", source.policy, clock=CLOCK, clocks=estate.clocks, patience_s=0.2)
    ledgers = {"default": source, "b": target}
    places = Places(estate.redis, lambda _: "default", ledgers.__getitem__)
    places.claim(DEMO_PROJECT, "default")
    places = Places(estate.redis, lambda _: "b", ledgers.__getitem__)
    assert places.begin_move(DEMO_PROJECT, "b") == "default"
    refs = list(places.members("default", DEMO_PROJECT))
    next(carry(source, target, DEMO_PROJECT, refs, ACT))
    adopt_users(source, target, DEMO_PROJECT)
    list(carry(source, target, DEMO_PROJECT, places.members("default", DEMO_PROJECT), ACT))
    assert places.end_move(DEMO_PROJECT, "default", "b", estate.ledger.now_ms())
    estate.ledger = target
    estate.trust_the_key()


def left_in(estate: Estate, account: str) -> dict[str, Any]:
    """What an account has of erasures: by key."""
    prefix = estate.redis.keys(f"*{{{account}}}:*")
    found = {name.decode().rpartition("}:")[2]: name for name in prefix}
    return {name: key for name, key in found.items() if name.startswith(OURS)}


@pytest.mark.parametrize("when", ["before the looks", "before the parts go", "after its end"])
def test_an_erasure_goes_on_in_the_other_account(estate: Estate, when: str) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, app_user_id="user-77")
    estate.request(JOB, app_user="user-77")
    estate.go()
    if when == "before the parts go":
        estate.later(66)
        estate.pass_time(601)
        estate.observer().work()
    elif when == "after its end":
        estate.to_the_end()
    before = estate.erasure()
    move(estate)
    after = estate.erasure()
    assert {name: value for name, value in after.items() if name != "leases"} == {
        name: value for name, value in before.items() if name != "leases"
    }
    assert set(left_in(estate, "default")) <= {"verdicts"}
    assert {int(many) for many in estate.redis.hvals("eraser:{default}:verdicts")} <= {0}  # type: ignore[union-attr]
    estate.to_the_end()
    estate.later(DAY_S)
    assert estate.verdict() == "whole_by_acknowledgement closed"
    assert estate.parts() == {
        "model_asset": "purged us",
        "voice_job": "absent_seen_before us",
        "voice_asset": "purged us",
    }
    assert estate.redis.hgetall(estate.ledger.prefix + "verdicts")[b"whole_by_acknowledgement"] == b"1"  # type: ignore[index]
    assert estate.redis.hlen(estate.ledger.prefix + "assets") == 3


def test_a_part_of_two_jobs_is_still_nobody_s_own_in_the_other_account(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_job("job-2", asset_id=f"asset-{JOB}", project_id=DEMO_PROJECT)
    estate.request(JOB, "job-2")
    estate.go()
    move(estate)
    assert set(left_in(estate, "default")) <= {"verdicts"}
    assert estate.redis.hgetall(estate.ledger.prefix + "assets") == {f"asset-{JOB}".encode(): b"* 2"}
    estate.to_the_end()
    assert estate.verdict() == estate.verdict("job-2") == "partial closed"
    assert estate.simulator.deletes("asset") == {}


def test_what_was_shared_with_a_job_that_nobody_remembers_is_not_the_other_one_s_own_now(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.request(JOB)
    estate.go()
    estate.redis.hset(estate.ledger.prefix + "assets", f"asset-{JOB}", "* 1")
    move(estate)
    assert estate.redis.hgetall(estate.ledger.prefix + "assets") == {f"asset-{JOB}".encode(): b"* 1"}
    estate.to_the_end()
    assert (estate.verdict(), estate.simulator.deletes("asset")) == ("partial closed", {})
