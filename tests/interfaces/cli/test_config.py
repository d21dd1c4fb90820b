"""`eraser config`: every mistake at once, and what is in force, without Redis and without MetaStudio."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Command

AWAY: dict[str, str | None] = {
    "ERASER_REDIS_URL": "redis://127.0.0.1:1/0",
    "ERASER_ENDPOINT": "https://127.0.0.1:1",
    "ERASER_REGION": None,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eraser.toml"
    path.write_text('[accounts.a]\nprojects = ["p"]\n', encoding="utf-8")
    return path


def test_a_right_file_exits_0_though_nothing_answers(command: Command, file: Path) -> None:
    ended = command("config", "check", str(file), **AWAY)
    assert (ended.code, ended.out) == (0, f"{file}: 1 account, 0 policies. Nothing is wrong.\n")
    ended = command("config", "check", "--json", ERASER_CONFIG=str(file), **AWAY)
    assert json.loads(ended.out) == {"file": str(file), "accounts": 1, "policies": 0, "webhooks": 0}


def test_webhooks_are_counted_and_shown_without_what_may_be_secret(command: Command, file: Path) -> None:
    hook = '[webhooks.crm]\nurl = "https://crm.example.com/h?key=geheim"\nsecret_files = ["crm.secret"]\n'
    file.write_text(file.read_text() + hook, encoding="utf-8")
    assert "1 account, 0 policies, 1 webhook." in command("config", "check", str(file), **AWAY).out
    shown = command("config", "show", "--json", ERASER_CONFIG=str(file), **AWAY)
    (one,) = [line for line in shown.json if "webhook" in line]
    assert (one["url"], one["secrets"]) == ("https://crm.example.com/h", [str(file.parent / "crm.secret")])
    assert "geheim" not in shown.all
    file.write_text(file.read_text().replace("https", "ftp"), encoding="utf-8")
    wrong = command("config", "check", str(file), **AWAY)
    assert (wrong.code, f"{file}:4: [webhooks.crm] url" in wrong.err) == (2, True)


def test_a_webhook_for_a_project_of_no_account_is_refused(command: Command, file: Path) -> None:
    hook = '[webhooks.crm]\nurl = "https://crm.example.com"\nsecret_files = ["s"]\nprojects = ["p-1", "p-2"]\n'
    file.write_text(f'[accounts.a]\nprojects = ["p-1"]\n{hook}', encoding="utf-8")
    ended = command("config", "check", str(file), **AWAY)
    assert (ended.code, f"{file}:6: [webhooks.crm] projects: project p-2 belongs to no account" in ended.err) == (
        2,
        True,
    )
    assert "p-1 belongs" not in ended.err
    file.write_text(f"[accounts.default]\n{hook}", encoding="utf-8")
    assert command("config", "check", str(file), **AWAY).code == 0
    file.write_text(f'[accounts.a]\nprojects = ["p-1"]\nrate = 0\n{hook}', encoding="utf-8")
    assert "belongs to no account" not in command("config", "check", str(file), **AWAY).err, "the accounts are unknown"
    login = 'iam_user = "u"\niam_domain = "d"\niam_password_file = "p"\n'
    file.write_text(f'[accounts.a]\nprojects = ["p-1"]\n{login}{hook}', encoding="utf-8")
    ended = command("config", "check", str(file), **AWAY | {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "ftp://iam"})
    assert ("ftp://iam" in ended.err, "belongs to no account" in ended.err) == (True, False), ended.err


def test_every_mistake_is_reported_and_the_exit_code_is_2(command: Command, file: Path) -> None:
    file.write_text('[accounts.a]\nprojects = ["p"]\nrate = 0\n[accounts.b]\nregoin = "x"\n', encoding="utf-8")
    ended = command("config", "check", str(file), **AWAY | {"ERASER_LEASE": "soon"})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("eraser: 3 things are wrong:\n  ERASER_LEASE: expected")
    assert f"\n  ERASER_CONFIG: {file}:3: [accounts.a] rate: expected calls per second" in ended.err
    assert f"\n  ERASER_CONFIG: {file}:5: [accounts.b]: unknown key 'regoin' (did you mean region?)" in ended.err
    ended = command("config", "check", "--json", str(file), **AWAY)
    error = json.loads(ended.err)["error"]
    assert (ended.code, error["type"], error["setting"]) == (2, "settings", "ERASER_CONFIG")
    assert [each["origin"] for each in error["errors"]] == [f"{file}:3: [accounts.a] rate", f"{file}:5: [accounts.b]"]


def test_what_is_in_force_is_shown_with_its_origin_and_without_secrets(command: Command, tmp_path: Path) -> None:
    (url := tmp_path / "url").write_text("redis://:c4n4ry-pw@127.0.0.1:1/0", encoding="utf-8")
    environ = {
        "ERASER_REDIS_URL": None,
        "ERASER_REDIS_URL_FILE": str(url),
        "ERASER_CONSOLE_PASSWORD": "c4n4ry-password",
    }
    people, programs = command("config", "show", **environ), command("config", "show", "--json", **environ)
    assert (people.code, programs.code) == (0, 0)
    assert "c4n4ry" not in people.out + people.err + programs.out + programs.err
    rows = [json.loads(line) for line in programs.out.splitlines()]
    shown = {row["setting"]: (row["value"], row["origin"]) for row in rows if "setting" in row}
    assert shown["ERASER_REDIS_URL"] == ("redis://***@127.0.0.1:1/0", f"file {url}")
    assert shown["ERASER_CONSOLE_PASSWORD"] == ("set", "environment")
    assert [row["account"] for row in rows if "account" in row] == ["default"]
    for name, (value, origin) in shown.items():
        (line,) = (line for line in people.out.splitlines() if line.startswith(f"{name} "))
        assert line.rstrip().endswith(origin)
        assert value is None or value in line


def test_the_doctor_has_a_line_for_each_mistake(command: Command) -> None:
    ended = command("doctor", "--json", ERASER_RATE="fast", ERASER_LEASE="soon")
    assert [json.loads(line)["found"][:12] for line in ended.out.splitlines()] == ["ERASER_RATE:", "ERASER_LEASE"]
    assert ended.code == 2
