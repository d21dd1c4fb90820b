"""The shape of every act: who approves how many, which ids are meant, and what came of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import worker
from worker.model.errors import DryRun, RefusedBySafetyRule, UsageError
from worker.model.target import Target
from worker.services.act import CAP, Approval, check_either, outcomes, select

WORKER = Path(worker.__file__).parent
DECIDES = re.compile(r'raise (?:DryRun\b|RefusedBySafetyRule\(\s*"max")')
WORDS = {"held": ("held until {job} is released", True)}


@pytest.mark.parametrize(("by", "reason"), [("Ann Onymous", "T-1"), ("ops-7", "a@b.c"), ("13812345678", None)])
def test_no_name_and_no_personal_data_is_taken_as_an_approval(by: str, reason: str | None) -> None:
    with pytest.raises(UsageError):
        Approval(by, reason)


@pytest.mark.parametrize(
    ("count", "most", "why"),
    [
        (CAP + 1, None, "101 jobs, and more than 100 must be confirmed. Nothing was done."),
        (2, 1, "2 jobs, and 1 were allowed. Nothing was done."),
        (1, 0, "1 job, and 0 were allowed. Nothing was done."),
    ],
)
def test_more_than_was_confirmed_is_refused_also_with_yes(count: int, most: int | None, why: str) -> None:
    for yes in (True, False):
        with pytest.raises(RefusedBySafetyRule) as refused:
            Approval(yes=yes, most=most).check(count, "job")
        assert (refused.value.rule, str(refused.value)) == ("max", f"refused by max: {why}")


def test_a_plan_that_nobody_confirmed_is_a_dry_run_and_names_the_whole_command() -> None:
    for count, confirmed in ((CAP, "--yes"), (CAP + 1, "--yes --max 101")):
        with pytest.raises(DryRun) as refused:
            Approval(yes=False, most=500, again="eraser dead discard --all").check(count, "job")
        assert refused.value.hint == f"eraser dead discard --all {confirmed}"
    Approval(most=500).check(500, "job")
    Approval().check(CAP, "job")


def test_the_audit_has_the_confirmed_number_only_where_it_lifted_the_cap() -> None:
    approval = Approval(most=500)
    assert [approval.action("a group", count=count).cap for count in (CAP, CAP + 1)] == [None, 500]
    assert len(approval.action("x" * 999).of or "") == 200


def test_each_valid_id_is_meant_once_and_a_bad_one_stops_no_other() -> None:
    targets, bad = select("p-1", ["a", "../b", "a", "c"])
    assert targets == [Target("p-1", "a"), Target("p-1", "c")]
    assert [(one.target.id, one.result, one.done) for one in bad] == [("../b", "bad_id", False)]


def test_a_result_has_its_words_and_an_unknown_one_is_not_called_done() -> None:
    found = outcomes([(Target("p-1", "a"), "held"), (Target("p-1", "b"), "odd")], WORDS)
    assert [(one.text, one.done) for one in found] == [("held until a is released", True), ("odd", False)]
    assert found[0].as_json() == {
        **{"project_id": "p-1", "kind": "job", "id": "a", "job_id": "a"},
        **{"result": "held", "done": True, "detail": "held until a is released"},
    }


@pytest.mark.parametrize(("jobs", "run"), [((), None), (("a",), "r-1")])
def test_either_jobs_or_the_other_not_both_and_not_none(jobs: tuple[str, ...], run: str | None) -> None:
    with pytest.raises(UsageError, match="give jobs, or a run, not both$" if jobs else "give jobs, or a run$"):
        check_either(jobs, run, "a run")
    check_either(("a",), None, "a run")
    check_either((), "r-1", "a run")


def test_nothing_else_decides_about_caps_and_dry_runs() -> None:
    deciding = {
        path.relative_to(WORKER).as_posix() for path in WORKER.rglob("*.py") if DECIDES.search(path.read_text())
    }
    assert deciding == {"services/act.py"}
