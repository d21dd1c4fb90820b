"""`eraser related`: what deleted jobs left behind, listed, deleted and restored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import Command
from tests.support.left_behind import LeftBehind
from worker.simulator import Simulator


@pytest.fixture
def left(command: Command) -> Iterator[LeftBehind]:
    with Simulator() as simulator:
        yield LeftBehind(command, simulator)


# -- list --------------------------------------------------------------------------------------------------------------


def test_what_was_left_behind_is_listed_with_its_evidence_in_words(left: LeftBehind) -> None:
    left.leave("job-1")
    ended = left.command("related", "list", "--left")
    assert ended.code == 0
    assert "model_asset asset-job-1: still there" in ended.out
    assert "voice_job voice-job-1: still there" in ended.out
    assert "partial" in ended.out
    assert ended.out.endswith("1 job.\n")


def test_json_has_the_words_of_show_and_when_it_is_looked_at_next(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    (found,) = left.command("related", "list", "--json").json
    (shown,) = left.command("show", "job-1", "--json").json
    assert {name: found[name] for name in ("erasure", "inventory", "related")} == {
        name: shown[name] for name in ("erasure", "inventory", "related")
    }
    assert (found["account"], found["job_id"], found["policy"]) == ("default", "job-1", "verify")
    assert (found["erasure"], found["next_look_at"]) == ("partial", None)


def test_only_left_leaves_out_what_is_still_looked_at(left: LeftBehind) -> None:
    left.leave("job-1")
    left = LeftBehind(left._command, left.simulator, ERASER_RELATED_SCHEDULE="1h,2h")
    left.simulator.add_avatar("job-2")
    left.command("request", "job-2")
    left.work_until(lambda: left.erasure("job-2").get("opened"), "the erasure of job-2 to begin")
    found = {line["job_id"]: line for line in left.command("related", "list", "--json").json}
    assert set(found) == {"job-1", "job-2"}
    assert found["job-2"]["next_look_at"]
    assert "in 1 h" in left.command("related", "list").out.replace("in 59 min", "in 1 h")
    assert [line["job_id"] for line in left.command("related", "list", "--left", "--json").json] == ["job-1"]
    assert left.command("related", "list", "--project", "another", "--json").json == []


def test_nothing_left_is_said_in_words(left: LeftBehind) -> None:
    assert "Nothing was left behind." in left.command("related", "list", "--left").out
    assert "nothing is being looked at" in left.command("related", "list").out
