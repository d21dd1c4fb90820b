"""What deleted jobs left behind: which parts an act means, what the move refuses, and what workers do then."""

from __future__ import annotations

import json

import pytest

from tests.support.left_behind import WHO_AND_WHY, LeftBehind
from worker.ledger.holds import HoldList
from worker.ledger.types import DeletionRequest
from worker.model.states import Lane
from worker.services import related
from worker.services.act import Approval


def erase(left: LeftBehind, *jobs: str, app_user: str | None = None) -> dict[str, str | None]:
    selection = related.to_erase(left.app, left.simulator.project, jobs)
    found = related.erase(left.app, selection, Approval(by="ops-7", reason="T-1"), app_user=app_user, of=None)
    return {one.target.name: one.result for one in found}


def test_a_part_that_is_not_the_jobs_own_is_named_and_left_alone(left: LeftBehind) -> None:
    left.leave("job-1")
    left.app.redis.hset(left.key("assets"), "asset-job-1", "*")
    (choice,) = related.to_erase(left.app, left.simulator.project, ["job-1"]).meant
    assert [(part.id, why) for part, why in choice.skipped] == [("asset-job-1", "another job named it, too")]
    assert erase(left, "job-1") == {"job-1": "erasing"}
    left.closes("job-1")
    assert left.parts("job-1")["model_asset"] == "kept"
    assert left.states()["asset-job-1"] == "ACTIVED"
    assert left.states()["voice-asset-job-1"] == "DELETED"


def test_an_asset_of_another_project_is_not_meant(left: LeftBehind) -> None:
    left.leave("job-1", voice=False, asset_project="b" * 32)
    selection = related.to_erase(left.app, left.simulator.project, ["job-1"])
    assert selection.meant == []
    assert [one.why for one in selection.others] == ["model_asset:asset-job-1: it belongs to another project"]


def test_a_hold_between_the_plan_and_its_move_counts(left: LeftBehind) -> None:
    left.leave("job-1")
    selection = related.to_erase(left.app, left.simulator.project, ["job-1"])
    HoldList(left.app.ledger("default")).add([left.target("job-1")], why="T", by="legal-3")
    (found,) = related.erase(left.app, selection, Approval(), app_user=None, of=None)
    assert (found.result, found.done) == ("on_hold", False)
    assert left.erasure("job-1")["related"] == "verify"


def test_the_named_app_user_on_hold_stops_it_and_is_not_kept(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    HoldList(left.app.ledger("default")).add_user("u-1", why="T", by="legal-3")
    assert erase(left, "job-1", app_user="u-1") == {"job-1": "on_hold"}
    assert "u-1" not in left.erasure("job-1").values()


def test_what_was_withdrawn_is_deleted_when_it_is_asked_for_again(left: LeftBehind) -> None:
    left = left.with_settings(ERASER_RELATED="delete")
    left.leave("job-1", voice=False)
    assert left.states()["asset-job-1"] == "DELETED"
    left.simulator.add_asset("asset-job-1")  # a backup brought it back
    left.app.redis.zadd(left.key("erasures"), {str(left.target("job-1")): 1})
    left.work_until(lambda: left.erasure("job-1")["verdict"] == "partial", "the look that finds it")
    assert left.parts("job-1") == {"model_asset": "kept"}
    assert erase(left, "job-1") == {"job-1": "erasing"}
    left.closes("job-1")
    assert left.states()["asset-job-1"] == "DELETED"
    assert left.erasure("job-1")["verdict"] == "whole_by_acknowledgement"
    assert not any(part.get("again") for part in json.loads(left.erasure("job-1")["parts"]))


def test_the_audit_has_who_and_why(left: LeftBehind) -> None:
    left.leave("job-1")
    assert left.command("related", "erase", "job-1", *WHO_AND_WHY, "--yes").code == 0
    (entry,) = [line for line in left.command("audit", "--json").json if line["act"] == "related.erased"]
    assert (entry["by"], entry["reason"], entry["results"]) == ("ops-7", "CASE-12", {"erasing": 1})
    assert "job-1: whose parts are deleted" in left.command("audit").out


def planned(left: LeftBehind, *jobs: str) -> related.Selection:
    return related.to_erase(left.app, left.simulator.project, jobs)


def carried_out(left: LeftBehind, selection: related.Selection) -> list[tuple[str | None, str]]:
    found = related.erase(left.app, selection, Approval(by="ops-7", reason="T-1"), app_user=None, of=None)
    return [(one.result, one.text) for one in found if not one.done]


def test_with_a_schedule_of_one_look_it_is_deleted_at_that(left: LeftBehind) -> None:
    left = left.with_settings(ERASER_RELATED_SCHEDULE="0.05s")
    left.leave("job-1")
    assert erase(left, "job-1") == {"job-1": "erasing"}
    left.closes("job-1")
    assert {left.states()[name] for name in ("asset-job-1", "voice-asset-job-1")} == {"DELETED"}
    assert left.erasure("job-1")["verdict"] == "whole_by_acknowledgement"


@pytest.mark.parametrize("mode", ["force", "bin"])
def test_what_lies_in_the_bin_is_deleted_for_good_unless_that_is_where_it_has_to_go(
    left: LeftBehind, mode: str
) -> None:
    left = left.with_settings(ERASER_RELATED_ASSETS=mode)
    left.simulator.add_avatar("job-1", voice=False, cascade="bin")
    left.command("request", "job-1")
    left.work_until(lambda: left.parts("job-1") == {"model_asset": "in_bin"}, "the asset to be in the bin")
    if mode == "bin":
        (other,) = planned(left, "job-1").others
        assert "in the recycle bin" in (other.why or "")
        assert erase(left, "job-1") == {"job-1": "skipped"}
        return
    assert erase(left, "job-1") == {"job-1": "erasing"}
    left.closes("job-1")
    assert left.states()["asset-job-1"] == "DELETED"
    assert left.erasure("job-1")["verdict"] == "whole_by_acknowledgement"


def test_nothing_is_deleted_while_the_job_is_to_be_deleted_once_more(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    selection = planned(left, "job-1")
    terms = DeletionRequest(lane=Lane.USER, force=True, delay_s=3600)
    left.app.ledger("default").request([left.target("job-1")], terms)
    before = left.erasure("job-1")
    assert carried_out(left, selection) == [("not_over", "the job itself is not deleted: see eraser show job-1")]
    assert left.erasure("job-1") == before


@pytest.mark.parametrize(("what", "result"), [("it went", "nothing_left"), ("another job named it", "nothing_left"),
                                              ("it was forgotten", "unknown")])  # fmt: skip
def test_what_changed_since_the_plan_counts(left: LeftBehind, what: str, result: str) -> None:
    left.leave("job-1", voice=False)
    selection, name = planned(left, "job-1"), left.key(f"erasure:{left.target('job-1')}")
    match what:
        case "it went":
            left.app.redis.hset(name, "parts", left.erasure("job-1")["parts"].replace('"kept"', '"purged"'))
        case "another job named it":
            left.app.redis.hset(left.key("assets"), "asset-job-1", "* 2")
        case _:
            left.app.redis.delete(name)
    assert [one for one, _ in carried_out(left, selection)] == [result]
    assert left.states()["asset-job-1"] == "ACTIVED"
