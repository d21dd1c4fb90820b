"""A configuration is checked as a whole, and shown without secrets. Nothing is contacted."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.config.settings import KNOWN, Settings
from worker.model.errors import SettingsError, SettingsErrors
from worker.services.configuration import Checked, check, in_force

GOOD = """
[accounts.studio-a]
region = "cn-north-4"
projects = ["pa"]
credentials_file = "nowhere.ini"

[policies.old]
projects = ["pa"]
states = ["TRAIN_FAILED"]
older_than = "90d"
"""
ELSEWHERE = {"ERASER_REDIS_URL": "redis://:c4n4ry-pw@192.0.2.1:6379/0"}  # nothing answers there


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eraser.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_right_file_is_right_without_its_credentials_and_without_redis(file: Path) -> None:
    assert check(ELSEWHERE, str(file)) == check(ELSEWHERE | {"ERASER_CONFIG": str(file)}) == Checked(file, 1, 1)
    assert check(ELSEWHERE | {"ERASER_CONFIG": "/nowhere"}, str(file)) == Checked(file, 1, 1)
    assert check({}) == Checked(None, 1, 0)


def test_environment_accounts_and_policies_are_wrong_at_once(file: Path) -> None:
    file.write_text(GOOD.replace("projects =", "project ="), encoding="utf-8")
    with pytest.raises(SettingsErrors) as caught:
        check(ELSEWHERE | {"ERASER_RATE": "fast"}, str(file))
    assert [each.origin for each in caught.value.errors] == [
        "environment",
        f"{file}:4: [accounts.studio-a]",
        f"{file}:8: [policies.old]",
        f"{file}:7: [policies.old] projects",
    ]


def test_two_wrong_policies_are_both_reported_and_what_only_the_settings_know_is_checked(file: Path) -> None:
    file.write_text(GOOD.replace('["pa"]\nstates', '["px"]\nstates') + GOOD[GOOD.index("[pol") :].replace("old]", "b]"))
    with pytest.raises(SettingsError, match=r"eraser.toml:8: \[policies.old\] projects: px is not a project of"):
        check({}, str(file))
    finished = GOOD.replace("TRAIN_FAILED", "JOB_SUCCESS")
    file.write_text(
        finished.replace('["pa"]\nstates', '["px"]\nstates') + finished[finished.index("[pol") :].replace("old]", "b]")
    )
    with pytest.raises(SettingsErrors) as caught:
        check({}, str(file))
    assert [each.origin for each in caught.value.errors] == [
        f"{file}:9: [policies.old] states",
        f"{file}:8: [policies.old] projects",
        f"{file}:13: [policies.b] states",
    ]


def test_every_key_of_a_policy_that_is_wrong_is_reported(file: Path) -> None:
    file.write_text(GOOD.replace("TRAIN_FAILED", "TRAINING").replace('"90d"', '"90"'), encoding="utf-8")
    with pytest.raises(SettingsErrors) as caught:
        check({}, str(file))
    assert [each.origin for each in caught.value.errors] == [
        f"{file}:9: [policies.old] states",
        f"{file}:10: [policies.old] older_than",
    ]


@pytest.mark.parametrize(
    ("text", "says"), [(None, "cannot read"), ("[a", "this is not TOML"), ("polices = 1", "did you mean policies")]
)
def test_a_mistake_of_the_whole_file_is_reported_once(file: Path, text: str | None, says: str) -> None:
    file.write_text(text, encoding="utf-8") if text else file.unlink()
    with pytest.raises(SettingsError, match=says) as caught:
        check({}, str(file))
    assert not isinstance(caught.value, SettingsErrors)


def test_a_broker_of_celerys_own_is_refused_here_too() -> None:
    with pytest.raises(SettingsError, match=r"CELERY_BROKER_URL.*would override"):
        check(ELSEWHERE | {"CELERY_BROKER_URL": "redis://other/0"})


def test_what_is_in_force_has_every_setting_with_its_origin_and_no_secret(file: Path) -> None:
    environ = ELSEWHERE | {"ERASER_CONFIG": str(file), "ERASER_CONSOLE_PASSWORD": "c4n4ry-password", "ERASER_RATE": "4"}
    rows = list(in_force(Settings.load(environ)))
    assert "c4n4ry" not in str(rows)
    settings = {row["setting"]: (row["value"], row["origin"]) for row in rows if "setting" in row}
    absent = {name for name in KNOWN if not name.endswith("_FILE") and "_IAM_" not in name} - set(settings)
    of_accounts = {"ERASER_REGION", "ERASER_ENDPOINT", "ERASER_CREDENTIALS", "ERASER_METADATA_ENDPOINT"}
    assert absent == of_accounts, "the accounts have them"
    assert settings["ERASER_BROKER_URL"] == ("redis://***@192.0.2.1:6379/0", "ERASER_REDIS_URL")
    assert settings["ERASER_CONSOLE_PASSWORD"] == ("set", "environment")
    assert settings["ERASER_RATE"] == ("4", "environment")
    assert settings["ERASER_RECHECK"] == (None, "default")
    (account,) = (row for row in rows if "account" in row)
    assert account == {
        "account": "studio-a",
        "endpoint": "https://metastudio.cn-north-4.myhuaweicloud.com",
        "region": "cn-north-4",
        "rate": 4.0,
        "projects": ["pa"],
        "related": None,
        "credentials": f"file {file.parent / 'nowhere.ini'} [basic]",
        "origin": f"{file}:2: [accounts.studio-a]",
    }
