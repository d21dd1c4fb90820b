"""Policies in a file: every mistake names file, key and what to write instead."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.metastudio.targets.avatar_job import DELETABLE, STATES
from worker.model.errors import SettingsError, UsageError
from worker.retention.policy import FINISHED, GRACE_S, Policy
from worker.retention.policy_file import KEYS, PolicyFile

PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
GOOD = f'projects = ["{PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "eraser.toml"


def read_policies(file: Path) -> Mapping[str, Policy]:
    return PolicyFile(file, lambda _: "default").current()


def read(file: Path, text: str, name: str = "old") -> Policy:
    file.write_text(f"[policies.{name}]\n{text}", encoding="utf-8")
    return read_policies(file)[name]


def test_the_least_that_a_policy_says_is_careful(file: Path) -> None:
    policy = read(file, GOOD)
    assert (policy.projects, policy.states, policy.older_than_s) == ((PROJECT,), {"TRAIN_FAILED"}, 90 * 86400.0)
    assert (policy.age_by, policy.grace_s, policy.schedule) == ("create_time", GRACE_S, None)
    assert (policy.max_jobs, policy.max_percent, policy.narrow, policy.finished) == (100, 5.0, False, ())


def test_everything_that_a_policy_may_say_is_read(file: Path) -> None:
    policy = read(
        file,
        f'projects = ["{PROJECT}", "other"]\nstates = ["JOB_SUCCESS", "JOB_REJECT"]\nolder_than = "1.5d"\n'
        'include_finished = true\nage_by = "last_update_time"\nbatch_name = "spring"\ntag = "trial"\njob_name = "x"\n'
        'resolution = "4K"\nflexus = false\napp_user = "u-1"\ngrace = "14d"\nschedule = "30 3 * * 0"\nmax_jobs = 500\n'
        'max_percent = 12.5\nnarrow = true\nreason = "TICKET-1"\n',
    )
    assert policy.finished == ("JOB_SUCCESS",)
    assert (policy.flexus, policy.app_user, policy.grace_s, policy.max_jobs) == (False, "u-1", 14 * 86400.0, 500)
    assert policy.schedule is not None
    assert policy.schedule.text == "30 3 * * 0"


def test_the_hash_is_of_what_it_says_not_of_how_it_is_written(file: Path) -> None:
    first = read(file, GOOD)
    again = read(file, "# a comment\n" + "\n".join(reversed(GOOD.strip().split("\n"))))
    other = read(file, GOOD.replace("90d", "91d"))
    assert first.hash == again.hash != other.hash
    assert len(first.hash) == 12


@pytest.mark.parametrize("state", sorted(STATES - DELETABLE))
def test_a_state_that_metastudio_does_not_let_delete_is_refused(file: Path, state: str) -> None:
    with pytest.raises(SettingsError, match=f"jobs in {state}"):
        read(file, GOOD.replace("TRAIN_FAILED", state))


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_a_finished_job_needs_a_second_word(file: Path, state: str) -> None:
    with pytest.raises(SettingsError, match=r"may be avatars in use.*include_finished = true"):
        read(file, GOOD.replace("TRAIN_FAILED", state))
    assert read(file, GOOD.replace("TRAIN_FAILED", state) + "include_finished = true\n").finished == (state,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "max_job = 5\n", "unknown key 'max_job' \\(did you mean max_jobs\\?\\)"),
        (GOOD + 'name = "x"\n', "did you mean job_name"),
        (GOOD.replace("projects", "project"), "did you mean projects"),
        (GOOD.replace("older_than", "older"), "did you mean older_than"),
        (GOOD.replace("projects", "# projects"), 'projects: expected the ids.*projects = \\["…"\\]; it is missing'),
        (GOOD.replace(PROJECT, "../x"), "projects: a project id is"),
        (GOOD.replace('states = ["TRAIN_FAILED"]', "states = []"), "states: expected the states"),
        (GOOD.replace('["TRAIN_FAILED"]', '"TRAIN_FAILED"'), "states: expected the states.*found 'TRAIN_FAILED'"),
        (
            GOOD.replace("TRAIN_FAILED", "TRAIN_FAILD"),
            "there is no state 'TRAIN_FAILD' \\(did you mean TRAIN_FAILED\\?\\)",
        ),
        (GOOD + "include_finished = true\n", "names neither JOB_SUCCESS nor JOB_FINISH"),
        (GOOD.replace("older_than", "# older_than"), 'older_than: expected a duration.*older_than = "90d"'),
        (GOOD.replace('"90d"', "90"), "older_than: expected a duration as a text.*found 90"),
        (GOOD.replace('"90d"', '"90 days"'), "older_than: expected a number and s, m, h or d"),
        (GOOD + 'age_by = "update_time"\n', "expected create_time or last_update_time; found 'update_time'"),
        (GOOD + 'grace = "0s"\n', "grace: expected more than 0s"),
        (GOOD + 'schedule = "daily"\n', "schedule: expected five fields"),
        (GOOD + 'max_jobs = "500"\n', "max_jobs: expected a whole number.*found '500'"),
        (GOOD + "max_jobs = 0\n", "max_jobs: expected a whole number"),
        (GOOD + "max_jobs = true\n", "max_jobs: expected a whole number"),
        (GOOD + "max_percent = 101\n", "max_percent: expected a percentage.*at most 100"),
        (GOOD + 'flexus = "no"\n', "flexus: expected true or false, without quotes"),
        (GOOD + 'tag = ["a"]\n', "tag: expected a text, matched exactly"),
        (GOOD + 'tag = ""\n', "tag: expected a text"),
        (GOOD + 'app_user = "Ann O"\n', "app_user: app user: use an opaque id"),
        (GOOD + 'reason = "ann@example.com"\n', "reason: reason: use a ticket number"),
    ],
)
def test_a_mistake_names_file_key_and_what_to_write(file: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        read(file, text)
    assert re.search(rf"{re.escape(str(file))}:\d+: \[policies\.old\]", str(caught.value))
    assert caught.value.name == "ERASER_CONFIG"


@pytest.mark.parametrize("name", ["Old", '"a b"', '"-x"', "a" * 33, '"ü"'])
def test_a_name_that_could_be_misread_is_refused(file: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="policy name"):
        read(file, GOOD, name)


def test_a_file_that_is_not_toml_or_not_there_is_told(file: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read_policies(file)
    file.write_text("policies = 3")
    with pytest.raises(SettingsError, match=r"write \[policies.NAME\]"):
        read_policies(file)
    file.write_text("[policies")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_policies(file)


def test_a_change_of_the_file_counts_at_once(file: Path) -> None:
    read(file, GOOD)
    policy_text = PolicyFile(file, lambda _: "default")
    before = policy_text.named("old")
    assert policy_text.named("old") is before
    read(file, GOOD.replace("90d", "30d"))
    os.utime(file, ns=(1, 1))
    assert policy_text.named("old").older_than_s == 30 * 86400.0
    file.write_text("[policies.old]\nstates = 3")
    with pytest.raises(SettingsError):
        policy_text.current()


def test_a_policy_that_is_not_there_is_told_with_the_nearest(file: Path) -> None:
    read(file, GOOD)
    policy_text = PolicyFile(file, lambda _: "default")
    with pytest.raises(UsageError, match=r"no policy 'odl' \(did you mean old\?\)"):
        policy_text.named("odl")
    with pytest.raises(UsageError, match="write"):
        PolicyFile(None, lambda _: "default").named("old")


def test_projects_of_several_accounts_are_refused(file: Path) -> None:
    read(file, GOOD.replace(f'["{PROJECT}"]', '["p1", "p2"]'))
    with pytest.raises(SettingsError, match="accounts a1, a2: write one policy for each"):
        PolicyFile(file, lambda project: project.replace("p", "a")).current()


def test_every_key_is_told_where_policies_are_described() -> None:
    docstring = (Path(__file__).parents[2] / "worker/retention/policy.py").read_text(encoding="utf-8").split('"""')[1]
    assert [key for key in KEYS if f"{key} = " not in docstring] == []
