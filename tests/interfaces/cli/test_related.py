"""`eraser related`: what deleted jobs left behind, listed, deleted and restored."""

from __future__ import annotations

from tests.support.left_behind import WHO_AND_WHY, LeftBehind

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
    left = left.with_settings(ERASER_RELATED_SCHEDULE="1h,2h")
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


# -- erase -------------------------------------------------------------------------------------------------------------


def test_a_plan_names_each_part_and_changes_nothing(left: LeftBehind) -> None:
    left.leave("job-1")
    before = left.erasure("job-1")
    ended = left.command("related", "erase", "job-1", *WHO_AND_WHY)
    assert ended.code == 3
    assert "PLAN  delete what 1 job left behind" in ended.out
    assert "delete: model_asset:asset-job-1 of job job-1" in ended.out
    assert "--yes" in ended.all
    assert left.erasure("job-1") == before
    (plan, *_) = left.command("related", "erase", "job-1", "--json", *WHO_AND_WHY).json
    assert [part["id"] for part in plan["will_be_erased"]] == ["asset-job-1", "voice-job-1", "voice-asset-job-1"]


def test_what_was_left_is_deleted_and_looked_for_again(left: LeftBehind) -> None:
    left.leave("job-1")
    ended = left.command("related", "erase", "job-1", *WHO_AND_WHY, "--yes")
    assert ended.code == 0, ended.all
    assert "1 job asked for." in ended.out
    left.closes("job-1")
    assert left.erasure("job-1")["verdict"] == "whole_by_acknowledgement"
    assert left.states()["asset-job-1"] == "DELETED"
    assert left.states()["asset-other"] == "ACTIVED"
    assert left.command("related", "list").out.startswith("Nothing was left behind")
    again = left.command("related", "erase", "job-1", *WHO_AND_WHY, "--yes")
    assert again.code == 1
    assert "nothing is left of it" in again.out


def test_jobs_of_which_nothing_may_be_deleted_are_skipped_with_a_reason(left: LeftBehind) -> None:
    left.leave("job-1")
    left.command("hold", "add", "job-1", *WHO_AND_WHY)
    ended = left.command(
        "related", "erase", "job-1", "job-2", "voice_job:voice-job-1", "../x", *WHO_AND_WHY, "--yes", "--json"
    )
    assert ended.code == 1
    found = {line["id"]: (line["result"], line["detail"]) for line in ended.json}
    assert found["job-1"] == ("skipped", "on hold: nothing of it is deleted until the hold is removed")
    assert found["job-2"] == ("skipped", "nobody looked at what it left behind")
    assert found["voice-job-1"][0] == found["../x"][0] == "bad_id"
    assert left.erasure("job-1")["related"] == "verify"


def test_all_that_is_left_is_named_by_one_word(left: LeftBehind) -> None:
    left.leave("job-1", "job-2", voice=False)
    assert (
        left.command("related", "erase", "--all-left", "--project", "another", *WHO_AND_WHY, "--yes", "--json").json
        == []
    )
    assert left.command("related", "erase", "--all-left", "job-1", *WHO_AND_WHY).code == 2
    assert left.command("related", "erase", "--all-left", "--max", "1", *WHO_AND_WHY, "--yes").code == 3
    assert left.command("related", "erase", "--all-left", *WHO_AND_WHY, "--yes").code == 0
    left.closes("job-1", "job-2")
    assert {left.states()[f"asset-{job}"] for job in ("job-1", "job-2")} == {"DELETED"}
