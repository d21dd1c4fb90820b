"""Parts that come out of the recycle bin again."""

from __future__ import annotations

import json

import pytest

from tests.support.command import Command
from tests.support.left_behind import WHO_AND_WHY, LeftBehind
from worker.services import related, related_restore
from worker.services.act import Approval
from worker.simulator import Simulator


@pytest.fixture
def left(command: Command, simulator: Simulator) -> LeftBehind:
    left = LeftBehind(command, simulator, ERASER_RELATED="delete", ERASER_RELATED_ASSETS="bin")
    left.simulator.add_avatar("job-1", voice=False)
    left.command("request", "job-1")
    left.work_until(lambda: left.parts("job-1") == {"model_asset": "in_bin"}, "the asset to be in the bin")
    return left


def test_what_is_in_the_bin_is_restored_and_not_deleted_again(left: LeftBehind) -> None:
    assert left.command("related", "restore", "job-1", *WHO_AND_WHY).code == 3
    assert left.states()["asset-job-1"] == "DELETING"
    ended = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes")
    assert ended.code == 0, ended.all
    assert "restored; the next look verifies it" in ended.out
    left.closes("job-1")
    assert left.states()["asset-job-1"] == "UNACTIVED", "our deletion had deactivated it first"
    assert left.parts("job-1") == {"model_asset": "kept"}
    assert (left.erasure("job-1")["related"], left.erasure("job-1")["verdict"]) == ("verify", "partial")
    (entry,) = [line for line in left.command("audit", "--json").json if line["act"] == "related.restored"]
    assert (entry["by"], entry["reason"], entry["results"]) == ("ops-7", "CASE-12", {"restoring": 1})
    again = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes")
    assert (again.code, "model_asset:asset-job-1: still there" in again.out) == (1, True)


def test_what_metastudio_refuses_is_not_called_restored(left: LeftBehind) -> None:
    left.simulator.restore_asset("asset-job-1")  # somebody was faster
    ended = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes", "--json")
    assert ended.code == 1
    assert [line["result"] for line in ended.json] == ["refused"]
    left.closes("job-1")
    assert left.parts("job-1") == {"model_asset": "kept"}


def test_nothing_is_sent_once_the_seven_days_are_over(left: LeftBehind) -> None:
    (part,) = json.loads(left.erasure("job-1")["parts"])
    part["due"] -= 86_400_000 * 7
    left.app.redis.hset(left.key(f"erasure:{left.target('job-1')}"), "parts", json.dumps([part]))
    ended = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes", "--json")
    assert ended.code == 1
    assert [line["result"] for line in ended.json] == ["too_late"]
    assert left.states()["asset-job-1"] == "DELETING"


def test_nothing_is_sent_while_the_account_is_paused(left: LeftBehind) -> None:
    left.command("pause", *WHO_AND_WHY)
    ended = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes", "--json")
    assert (ended.code, [line["result"] for line in ended.json]) == (1, ["not_sent"])
    assert left.states()["asset-job-1"] == "DELETING"
    assert left.erasure("job-1")["related"] == "delete", "nothing was changed"
    left.command("resume", *WHO_AND_WHY)
    assert left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes").code == 0


def test_nothing_is_sent_without_a_slot(left: LeftBehind) -> None:
    left.app.ledger("default").pause_lookups(300.0, kind="model_asset")
    ended = left.command("related", "restore", "job-1", *WHO_AND_WHY, "--yes", "--json")
    assert (ended.code, [line["result"] for line in ended.json]) == (1, ["not_sent"])
    assert "no call of its kind is allowed now" in ended.json[0]["detail"]
    assert left.states()["asset-job-1"] == "DELETING"


def test_what_left_the_bin_since_the_plan_is_not_restored(left: LeftBehind) -> None:
    selection = related.to_restore(left.app, left.simulator.project, "job-1")
    name = left.key(f"erasure:{left.target('job-1')}")
    left.app.redis.hset(name, "parts", left.erasure("job-1")["parts"].replace('"in_bin"', '"purged"'))
    (found,) = related_restore.restore(left.app, selection, Approval(by="ops-7", reason="T-1"), app_user=None)
    assert (found.result, found.done) == ("nothing_left", False)
    assert "restore" not in {call["operation"] for call in left.simulator.calls()}
