"""When the grace is over the policies of now are asked about the job of now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.retention import NOW, POLICY, PROJECT, job
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.errors import SettingsError
from worker.retention.policy_file import PolicyFile
from worker.retention.revalidation import Revalidation


class Desk:
    """A file of policies, and what is asked about it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "eraser.toml"
        self.reread = Revalidation(PolicyFile(self.file, lambda _: "default"))

    def write(self, text: str, *names: str) -> None:
        self.file.write_text("".join(f"[policies.{name}]\n{text}\n" for name in names or ("old",)))

    def why(self, row: JobRow, *policies: str, project: str = PROJECT) -> str | None:
        return self.reread(policies or ("old",), project, row, NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    return desk


def test_what_still_matches_goes(desk: Desk) -> None:
    assert desk.why(job("a")) is None


def test_a_job_that_changed_does_not_go(desk: Desk) -> None:
    assert desk.why(job("a", "JOB_REJECT")) == "old: its state is JOB_REJECT"
    assert desk.why(job("a", days=1)) == "old: its create_time is less than 90d ago"
    assert desk.why(job("a", days=None)) == "old: its create_time is not known"


def test_a_policy_that_changed_counts_as_it_is_now(desk: Desk) -> None:
    desk.write(POLICY.replace("90d", "200d"))
    assert desk.why(job("a")) == "old: its create_time is less than 200d ago"
    desk.write(POLICY + "max_jobs = 7\n")
    assert desk.why(job("a")) is None, "its hash changed, and the job still matches"


def test_a_policy_that_is_gone_means_nothing(desk: Desk) -> None:
    desk.write(POLICY, "another")
    assert desk.why(job("a")) == "policy old no longer exists"


def test_a_policy_that_is_about_other_projects_now_means_nothing_here(desk: Desk) -> None:
    assert desk.why(job("a"), project="p2") == "policy old no longer covers this project"


def test_one_of_several_policies_is_enough(desk: Desk) -> None:
    desk.write(POLICY, "another")
    assert desk.why(job("a"), "old", "another") is None


def test_while_the_file_is_wrong_nothing_is_said(desk: Desk) -> None:
    desk.file.write_text("[policies.old]\nstates = 3")
    with pytest.raises(SettingsError):
        desk.why(job("a"))
