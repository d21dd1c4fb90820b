"""A job that is asked for again, and is there again: what belongs to it now is found out before its new DELETE."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

WHOLE = "whole_by_acknowledgement closed"


def deleted_once(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)


def again(estate: Estate) -> None:
    estate.delete(JOB, force=True)
    estate.to_the_end()


def states(estate: Estate) -> dict[str, str]:
    return {id: state for id, state in estate.simulator.assets()[DEMO_PROJECT].items() if "other" not in id}


def evidence(estate: Estate) -> dict[str, str]:
    """By id: a job may have left several of a kind."""
    parts = json.loads(estate.erasure()["parts"])
    found = {part["id"]: part["evidence"] for part in parts}
    assert len(found) == len(parts), "each stands there once"
    return found


def test_what_belongs_to_it_by_now_is_deleted_beside_what_belonged_to_it_before(estate: Estate) -> None:
    deleted_once(estate)
    estate.simulator.add_avatar(JOB, asset_id="asset-2")
    again(estate)
    assert states(estate) == {f"asset-{JOB}": "DELETED", "asset-2": "DELETED", f"voice-asset-{JOB}": "DELETED"}
    assert estate.verdict() == WHOLE
    assert set(evidence(estate)) == {f"asset-{JOB}", "asset-2", f"voice-{JOB}", f"voice-asset-{JOB}"}
    assert estate.redis.hlen(estate.ledger.prefix + "assets") == 4, "each is named once"


def test_what_was_deleted_and_is_there_again_with_the_job_is_deleted_once_more(estate: Estate) -> None:
    deleted_once(estate)
    estate.simulator.add_avatar(JOB, voice=False)
    again(estate)
    assert states(estate) == {f"asset-{JOB}": "DELETED"}
    assert estate.simulator.deletes("asset") == {f"asset-{JOB}": 2}
    assert (evidence(estate), estate.verdict()) == ({f"asset-{JOB}": "purged"}, WHOLE)
    assert estate.redis.hgetall(estate.ledger.prefix + "assets") == {  # type: ignore[comparison-overlap]
        f"asset-{JOB}".encode(): f"{DEMO_PROJECT}/{JOB}".encode()
    }


def test_a_job_that_is_not_there_again_left_what_it_left(estate: Estate) -> None:
    deleted_once(estate)
    again(estate)
    assert estate.ends(JOB).startswith("gone")
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)
    assert estate.erasure()["inventory"] == "done"


def test_a_job_of_which_nobody_can_say_what_belongs_to_it_by_now_is_not_called_whole(estate: Estate) -> None:
    deleted_once(estate)
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.fault("error", JOB, method="GET", times=None)
    estate.request(JOB, force=True)
    estate.later(61, 181, 301, 601)
    estate.to_the_end()
    assert estate.ends(JOB) == "deleted"
    assert (estate.erasure()["inventory"], estate.verdict()) == ("none", "unverifiable closed")
    assert set(evidence(estate)) == {f"asset-{JOB}"}, "what was known is not lost"


def test_a_dead_letter_that_is_replayed_says_anew_what_belongs_to_it(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.fault("error", JOB, times=None)
    estate.delete(JOB, deadline_s=DAY_S)
    shown = estate.calls().count(f"show {JOB}")
    estate.later(3600, 3600)
    assert estate.calls().count(f"show {JOB}") == shown == 1, "once a round"
    estate.later(DAY_S, DAY_S)
    assert estate.ends(JOB).startswith("dead")
    estate.simulator.clear_faults()
    estate.simulator.add_avatar(JOB, asset_id="asset-2", voice=False)
    estate.ledger.replay([Target(DEMO_PROJECT, JOB)], why="T-1", deadline_s=DAY_S)
    estate.simulator.fault("error", JOB)
    estate.later(0, 3600)
    assert (estate.ends(JOB), estate.calls().count(f"show {JOB}")) == ("deleted", shown + 1)
    assert set(evidence(estate)) == {f"asset-{JOB}", "asset-2"}


def test_a_part_that_stays_away_when_its_job_is_there_again_was_seen_before(estate: Estate) -> None:
    estate.simulator.set_library(tombstones=False)
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.to_the_end()
    estate.simulator.add_job(JOB, asset_id=f"asset-{JOB}", project_id=DEMO_PROJECT)
    again(estate)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "absent_seen_before us"}, WHOLE)


def test_a_part_of_two_jobs_is_counted_once_for_each_however_often_they_are_asked_for(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_job("job-2", asset_id=f"asset-{JOB}", project_id=DEMO_PROJECT)
    estate.delete(JOB, "job-2")
    estate.simulator.add_avatar(JOB, voice=False)
    again(estate)
    assert estate.redis.hget(estate.ledger.prefix + "assets", f"asset-{JOB}") == b"* 2"


def test_a_look_that_was_under_way_meanwhile_counts_for_nothing(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.pass_time(66)
    looked, now = estate.ledger.lease_erasures()
    estate.simulator.add_avatar(JOB, asset_id="asset-2", voice=False)
    estate.request(JOB, force=True)
    call = estate.client.delete

    def while_it_is_under_way(target: Target, **how: Any) -> Any:
        estate.observer()._look_at(looked, int(now))
        return call(target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(estate.client, "delete", while_it_is_under_way)
        estate.go()
    assert estate.ends(JOB) == "deleted"
    assert set(evidence(estate)) == {f"asset-{JOB}", "asset-2"}
