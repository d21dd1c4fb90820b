"""`eraser retention`: plan, run and runs, against the simulator."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.command import Command, near
from tests.support.dead_letters import Undertaker
from worker.simulator import DEMO_AK, DEMO_PROJECT, Simulator

POLICY = f'projects = ["{DEMO_PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'
DAY = 86400.0


@pytest.fixture
def eraser(command: Command, simulator: Simulator, tmp_path: Path) -> Command:
    command.environ |= near(simulator) | {"ERASER_CONFIG": str(tmp_path / "eraser.toml")}
    write(command, POLICY)
    return command


def write(eraser: Command, text: str) -> None:
    Path(eraser.environ["ERASER_CONFIG"]).write_text(f"[policies.old]\n{text}")


def plant(simulator: Simulator, number: int, others: int = 0) -> None:
    long_ago = time.time() - 100 * DAY
    rows = [{"job_id": f"old-{n}", "state": "TRAIN_FAILED", "created_at": long_ago - n} for n in range(number)]
    rows += [{"job_id": f"other-{n}", "state": "TRAINING", "created_at": long_ago} for n in range(others)]
    simulator.add_jobs(rows)


def test_a_plan_of_an_empty_project_says_that_the_key_may_be_blind_there(eraser: Command) -> None:
    done = eraser("retention", "plan", "old")
    assert done.code == 0
    assert "0 jobs listed\n  It is empty, or this key cannot see its jobs: see eraser doctor" in done.out


def test_a_plan_that_cannot_be_believed_requests_nothing(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 3)
    simulator.set_answers(lists="no_rows")
    done = eraser("retention", "run", "old", "--yes")
    assert done.code == 4
    assert "counts 3 jobs but shows none" in done.all


def test_a_plan_tells_what_would_be_requested_and_what_not_and_why(
    eraser: Command, simulator: Simulator, undertaker: Undertaker
) -> None:
    plant(simulator, 8, others=3)
    simulator.add_job("young", "TRAIN_FAILED")
    undertaker.request("old-1")
    eraser("hold", "add", "old-2", "--reason", "CASE-1", "--by", "legal")
    ended = eraser("retention", "plan", "old")
    assert ended.code == 0
    for line in (
        "12 jobs listed",
        "6  to be requested, deleted after a grace of 7d",
        "3  skipped: other state",
        "1  skipped: too young",
        "1  skipped: on hold",
        "1  skipped: already requested",
        "… and 1 more; --json has them all",
        "Nothing was changed. Next: eraser retention run old",
    ):
        assert line in ended.out
    assert undertaker.redis.zcard("eraser:{default}:due:bulk") == 1, "a plan changes nothing"


def test_a_plan_names_what_came_back_and_a_run_lets_everybody_know(
    eraser: Command, simulator: Simulator, undertaker: Undertaker
) -> None:
    plant(simulator, 2, others=2)
    undertaker.end_long_ago("old-1", "other-0")
    undertaker.end("other-1", to="deleted")  # a moment ago: the list may be late
    ended = eraser("retention", "plan", "old")
    assert "2 jobs came back: deleted or gone here, and listed again. To request them once more:" in ended.out
    typed = f"eraser request old-1 other-0 --project {DEMO_PROJECT} --force --reason TICKET"
    assert typed in ended.out
    assert eraser("retention", "plan", "old", "--json").json[-1]["came_back"] == ["old-1", "other-0"]
    assert "No deleted job is known to be back." in eraser("receipts", "back", "list").out
    assert "2 jobs came back" in eraser("retention", "run", "old", "--yes").out
    assert {line["job_id"] for line in eraser("receipts", "back", "list", "--json").json} == {"old-1", "other-0"}
    assert eraser(*typed.split()[1:]).code == 0
    assert "came back" not in eraser("retention", "plan", "old").out


def test_a_plan_as_json_has_every_job_and_then_the_numbers(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 2, others=1)
    *jobs, plan = eraser("retention", "plan", "--json").json
    assert {line["job_id"]: (line["selected"], line["skip_reason"]) for line in jobs} == {
        "old-0": (True, None),
        "old-1": (True, None),
        "other-0": (False, "state"),
    }
    assert (plan["plan"], plan["listed"], plan["selected"]) == ("old", 3, 2)
    assert plan["skipped"] == [{"skip_reason": "state", "count": 1}]
    assert plan["complete"] is True
    assert plan["over_cap"] == []


def test_a_run_does_what_the_plan_says_and_the_second_one_nothing(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 4)
    ended = eraser("retention", "run", "old", "--yes", "--by", "ops-1")
    assert ended.code == 0
    assert "Requested 4 deletions; the calls start in 7 d" in ended.out
    (again,) = eraser("retention", "run", "old", "--yes", "--json").json
    assert (again["selected"], again["requested"]) == (0, 0)
    assert again["skipped"] == [{"skip_reason": "already_requested", "count": 4}]
    assert again["finished_at"] is not None
    assert "Nothing was requested." in eraser("retention", "run", "old", "--yes").out


def test_a_run_asks_before_it_starts(eraser: Command, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(simulator, 4)
    refused = eraser("retention", "run", "old")
    assert (refused.code, "4  to be requested" in refused.out) == (3, True)
    assert "To execute:\n  eraser retention run old --yes" in refused.err
    planned = eraser("retention", "run", "old", "--json")
    assert (planned.code, planned.json[0]["plan"], planned.json[0]["selected"]) == (3, "old", 4)
    assert eraser("retention", "run", "old", "--plan").code == 0
    assert eraser("retention", "runs", "--json").json[0].get("run") is None, "nothing has started"
    assert eraser("status", "--json").json[0]["states"]["pending"] == 0
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    declined = eraser("retention", "run", "old", input=b"n\n")
    assert (declined.code, "Request 4 deletions?" in declined.all) == (1, True)
    assert "Requested 4 deletions" in eraser("retention", "run", "old", input=b"y\n").out


def test_over_the_cap_nothing_is_requested_and_the_way_is_told(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 150)
    ended = eraser("retention", "run", "old", "--yes")
    assert ended.code == 3
    assert "150 jobs, and max_jobs is 100" in ended.err
    assert "Nothing was requested." in ended.err
    assert f"--max 150 --confirm {DEMO_PROJECT}" in ended.err
    assert "max_jobs = 150, max_percent = 100" in ended.err
    assert "STOPPED" in eraser("retention", "runs").out
    plan = eraser("retention", "plan", "old")
    assert plan.code == 0, "no cap stops a plan"
    assert "150  to be requested" in plan.out
    assert "Over the cap" in plan.out
    assert "policy old stopped" in eraser("status").out
    assert eraser("audit", "--json").json == [], "what was refused is no act"
    who_and_why = ("--by", "ops-1", "--reason", "T-1")
    allowed = eraser("retention", "run", "old", "--yes", "--max", "150", "--confirm", DEMO_PROJECT, *who_and_why)
    assert allowed.code == 0
    assert "Requested 150 deletions" in allowed.out
    (action,) = eraser("audit", "--json").json
    assert (action["act"], action["by"], action["reason"], action["cap"]) == ("cap.lifted", "ops-1", "T-1", 150)
    assert (action["of"], action["results"]) == ("policy old", {"requested": 150})
    assert action["run"].startswith("old-")


def test_over_the_cap_the_plan_of_a_run_is_a_plan_and_nothing_else(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 150)
    ended = eraser("retention", "run", "old", "--plan")
    assert (ended.code, "Over the cap" in ended.out, "Nothing was done" in ended.err) == (0, True, True)
    assert "No run yet" in eraser("retention", "runs").out


def test_a_run_can_be_withdrawn_whole(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 5)
    (run,) = eraser("retention", "run", "old", "--yes", "--json").json
    assert "5 requests withdrawn" in eraser("cancel", "--run", run["run"], "--reason", "T-1").out
    found = eraser("retention", "runs", "--json").json[0]
    assert (found["run"], found["requested"], found["outcomes"]) == (run["run"], 5, {"cancelled": 5})


def test_finished_jobs_are_said(eraser: Command, simulator: Simulator) -> None:
    write(eraser, POLICY.replace("TRAIN_FAILED", "JOB_SUCCESS") + "include_finished = true\n")
    assert "JOB_SUCCESS are included (include_finished)" in eraser("retention", "plan").out.replace("\n", " ")


def test_a_list_that_fails_half_way_requests_nothing_unless_partial(eraser: Command, simulator: Simulator) -> None:
    plant(simulator, 5, others=200)
    simulator.fault("error", method="GET", times=1)
    assert eraser("retention", "plan").code == 0, "a failure that passes is no failure"
    simulator.disable_credential(DEMO_AK)
    ended = eraser("retention", "run", "old", "--yes")
    assert ended.code == 4
    assert "refuses the list: 401" in ended.err
    assert "Nothing was requested" in ended.err
    simulator.enable_credential(DEMO_AK)
    simulator.unlock(DEMO_AK)
    assert "is closed (credentials" in eraser("retention", "run", "old", "--yes").err, (
        "nobody tries a refused key by the way"
    )
    assert eraser("resume", "--reason", "T-9").code == 0
    assert eraser("retention", "run", "old", "--yes").code == 0


def test_runs_show_past_and_next(eraser: Command, simulator: Simulator) -> None:
    assert "No run yet." in eraser("retention", "runs").out
    write(eraser, POLICY + 'schedule = "30 3 * * 0"\n')
    plant(simulator, 1)
    eraser("retention", "run", "old", "--yes", "--by", "ops-1")
    ended = eraser("retention", "runs")
    assert ended.code == 0
    run = eraser("retention", "runs", "--json").json[0]["run"]
    assert f"{run}  ops-1" in ended.out
    stop = f"eraser cancel --run {run} --reason R"
    assert f"1 deletion of {run} not ended. To stop: {stop}" in ended.out
    assert eraser(*stop.split()[1:]).code == 0
    assert stop not in eraser("retention", "runs").out
    assert "30 3 * * 0" in ended.out
    assert "03:30:00 UTC" in ended.out
    assert "beat was not seen yet" in ended.out
    last = eraser("retention", "runs", "--json").json[-1]
    assert (last["policy"], last["schedule"]) == ("old", "30 3 * * 0")


def test_no_policy_is_said_in_words(eraser: Command) -> None:
    Path(eraser.environ["ERASER_CONFIG"]).write_text("")
    assert "No policy." in eraser("retention", "plan").out
    assert "No policy." in eraser("retention", "runs").out
    assert "no policy" in eraser("doctor").out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("plan", "odl"), "did you mean old?"),
        (("run", "old", "--max", "5"), "--max needs --confirm PROJECT_ID too"),
        (("run", "old", "--confirm", DEMO_PROJECT), "--confirm belongs to --max N"),
        (("run", "old", "--max", "5", "--confirm", "another"), "does not cover project another"),
        (("run", "old", "--by", "Ann O"), "opaque id"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_requested(
    eraser: Command, simulator: Simulator, args: tuple[str, ...], says: str
) -> None:
    plant(simulator, 1)
    ended = eraser("retention", *args)
    assert ended.code == 2
    assert says in ended.all.replace("\n", " ")
    assert simulator.calls() == []


def test_a_mistake_in_the_file_is_told_by_doctor_and_by_every_part(eraser: Command) -> None:
    write(eraser, POLICY + "max_job = 5\n")
    for part in (("plan",), ("run", "old"), ("runs",)):
        ended = eraser("retention", *part)
        assert ended.code == 2
        assert "did you mean max_jobs?" in ended.err
    assert "did you mean max_jobs?" in eraser("doctor").out
    assert "no policy can run" in eraser("status").out
    assert eraser("pause", "--reason", "T-1").code == 0, "the red button works all the same"


@pytest.mark.parametrize(
    ("related", "text"),
    [
        ("", "looked for afterwards, and not deleted (related = verify)"),
        ("leave", "left as it is, and nobody looks (related = leave)"),
        ("delete", "deleted, too, where it is provably the job's own (related = delete)"),
    ],
)
def test_a_plan_says_how_many_avatars_there_are_and_what_becomes_of_them(
    eraser: Command, simulator: Simulator, related: str, text: str
) -> None:
    plant(simulator, 3, others=1)
    assert "name an avatar" not in eraser("retention", "plan", "old").out
    long_ago = time.time() - 100 * DAY
    for job in ("ada", "bob"):
        simulator.add_avatar(job, "TRAIN_FAILED", created_at=long_ago)
    write(eraser, POLICY + (f'related = "{related}"\n' if related else ""))
    assert f"        2  of them name an avatar: {text}" in eraser("retention", "plan", "old").out
    *_, plan = eraser("retention", "plan", "old", "--json").json
    assert (plan["selected"], plan["with_avatar"], plan["related"]) == (5, 2, related or "verify")
    assert "2  of them name an avatar" in eraser("retention", "run", "old", "--yes").out
    assert "name an avatar" not in eraser("retention", "plan", "old").out, "they are requested already"
