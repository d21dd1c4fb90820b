"""A project that is none of this installation's is refused at every door, unless it is allowed by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import forkserver
from tests.support.command import Command
from tests.support.console_pages import Console
from tests.support.dead_letters import PROJECT
from tests.support.http_site import Site
from worker.config.settings import Settings
from worker.execution import app_context
from worker.execution.app_context import AppContext
from worker.ledger.types import DeletionRequest
from worker.model.errors import SettingsError, UnknownProject, UsageError
from worker.model.target import Target
from worker.services import hold, request

ROOT = Path(__file__).parents[2]

OTHER = "1" * 32
WHO_AND_WHY = ("--reason", "CASE-1", "--by", "legal-3")


# Settings


def known(**environ: str) -> Settings:
    return Settings.load(environ)


def test_without_more_the_only_project_is_that_of_the_environment() -> None:
    settings = known(HUAWEICLOUD_SDK_PROJECT_ID=PROJECT)
    assert settings.knows(PROJECT)
    assert not settings.knows(OTHER)
    assert not known().knows(PROJECT)


def test_projects_are_named_with_commas_or_all_of_them_with_a_star() -> None:
    settings = known(ERASER_PROJECTS=f"{PROJECT}, {OTHER}")
    assert settings.projects == {PROJECT, OTHER}
    assert known(ERASER_PROJECTS="*").knows("anything")
    only = known(ERASER_PROJECTS=OTHER, HUAWEICLOUD_SDK_PROJECT_ID=PROJECT)
    assert not only.knows(PROJECT), "what is set beats the default"
    assert known(ERASER_PROJECTS=OTHER).default_project() == OTHER


def test_those_of_the_accounts_are_known_too(tmp_path: Path) -> None:
    file = tmp_path / "eraser.toml"
    file.write_text(f'[accounts.a]\nendpoint = "http://127.0.0.1:1"\nprojects = ["{OTHER}"]\n')
    assert known(ERASER_CONFIG=str(file)).projects == {OTHER}
    assert known(ERASER_CONFIG=str(file), ERASER_PROJECTS=PROJECT).projects == {PROJECT, OTHER}


@pytest.mark.parametrize("text", ["a b", "../x", "a,,b", ",", "*,a"])
def test_a_list_that_is_none_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ERASER_PROJECTS.*commas.*\*"):
        known(ERASER_PROJECTS=text)


# The doors


@pytest.fixture
def python(app: AppContext, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`tasks`, as code in our own image calls it; nothing listens at the broker."""
    monkeypatch.setattr(app_context, "_app_context", app)
    import tasks.deletion

    monkeypatch.setattr(app, "work", lambda *_: None)
    return tasks.deletion


TWICE = """
import os
from tasks.deletion import delete
for url in ("nonsense://", "nonsense://"):
    os.environ["ERASER_REDIS_URL"] = url
    try:
        delete("p", "job-1")
    except Exception as error:
        print(error)
"""


def test_a_producer_with_a_wrong_setting_is_told_so_each_time(tmp_path: Path) -> None:
    """Celery sets a task up only once, also where that failed."""
    done = forkserver.run([sys.executable, "-c", TWICE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.startswith("ERASER_REDIS_URL: expected redis://HOST:6379/0")


def recorded(app: AppContext) -> int:
    return sum(app.queries("default").status().states.values())


@pytest.mark.parametrize(
    "words",
    [
        ("request", "job-1"),
        ("request", "--from-file", "-"),
        ("hold", "add", "job-1", *WHO_AND_WHY),
        ("hold", "import", "-", *WHO_AND_WHY),
    ],
    ids=["request", "request from a file", "hold add", "hold import"],
)
def test_the_command_line_refuses_it_and_says_what_to_type(
    words: tuple[str, ...], command: Command, app: AppContext
) -> None:
    ended = command(*words, "--project", OTHER, input=b"job-1\n")
    assert ended.code == 3
    assert "refused by project" in ended.err
    for expected in (OTHER, PROJECT, "ERASER_PROJECTS", "--allow-project", "Nothing was recorded"):
        assert expected in ended.err
    assert recorded(app) == 0
    assert list(hold.each(app)) == []
    assert command(*words, "--project", OTHER, "--allow-project", input=b"job-1\n").code == 0
    assert recorded(app) + len(list(hold.each(app))) == 1


def test_what_stops_or_looks_takes_any_project(command: Command, app: AppContext) -> None:
    """What was allowed once has to be seen and stopped without more words."""
    of_other = ("--project", OTHER)
    assert command("request", "job-1", *of_other, "--allow-project", "--after", "1h").code == 0
    assert command("hold", "add", "job-1", *of_other, "--allow-project", *WHO_AND_WHY).code == 0
    assert command("show", "job-1", *of_other).code == 0
    assert command("hold", "remove", "job-1", *of_other, "--reason", "CASE-1").code == 0
    assert command("cancel", "job-1", *of_other, "--reason", "CASE-1").code == 0


def test_python_refuses_it(python: Any, app: AppContext) -> None:
    asks: tuple[Callable[..., Any], ...] = (python.request_deletion, python.request_deletions)
    for ask in asks:
        with pytest.raises(UnknownProject, match="allow_project=true"):
            ask("a", project_id=OTHER)
    assert recorded(app) == 0
    python.request_deletion("a", project_id=OTHER, allow_project=True)
    assert recorded(app) == 1


@pytest.mark.parametrize(("old", "new"), request.RENAMED.items())
def test_a_message_of_celerys_with_an_old_argument_hears_what_it_is_called_now(
    python: Any, app: AppContext, old: str, new: str
) -> None:
    with pytest.raises(UsageError, match=f"eraser.delete: {old} is called {new} now"):
        python.delete(PROJECT, "job-1", **{old: True})
    assert recorded(app) == 0
    python.delete(PROJECT, "job-1", **{new: True})
    assert recorded(app) == 1


def test_a_message_of_celerys_with_such_a_project_is_refused(python: Any, app: AppContext) -> None:
    with pytest.raises(UnknownProject):
        python.delete(OTHER, "job-1")
    assert recorded(app) == 0
    python.delete(OTHER, "job-1", allow_project=True)
    assert recorded(app) == 1


def test_a_message_whose_arguments_are_swapped_is_refused(python: Any, app: AppContext) -> None:
    """Before it is asked whose project "job-1" is: nobody ever knows that one, so no worker needs to be waited for."""
    for allowed in (False, True):
        with pytest.raises(UsageError, match="swap"):
            python.delete("job-1", PROJECT, allow_project=allowed)
    assert recorded(app) == 0


def test_swapped_arguments_are_told_where_every_project_is_allowed(redis_url: str) -> None:
    environ = {"ERASER_REDIS_URL": redis_url, "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT, "ERASER_PROJECTS": "*"}
    loose = AppContext.load(environ)
    (result,) = request.submit(loose, "job-1", [PROJECT], DeletionRequest())
    assert result.accepted is None
    assert "swap" in (result.error or "")


@pytest.mark.parametrize("jobs", [("job-1",), ("job-1", "job-2")], ids=["one", "many"])
def test_http_refuses_it_without_naming_our_own(jobs: tuple[str, ...], site: Site) -> None:
    path = f"/api/projects/{OTHER}/deletions"
    body = {"job_id": jobs[0]} if len(jobs) == 1 else {"job_ids": list(jobs)}
    response = site.call("POST", path, json=body)
    assert (response.status_code, response.json()["type"]) == (404, "urn:avatar-eraser:unknown-project")
    assert '"allow_project": true' in response.json()["detail"]
    assert PROJECT not in response.text
    assert recorded(site.app) == 0
    assert site.call("POST", path, json=body | {"allow_project": True}).status_code == 202
    assert recorded(site.app) == len(jobs)


@pytest.mark.parametrize("query", ["", "/job-1", "?state=all", "?settled_since="])
def test_http_says_of_one_that_no_account_has_what_to_do(query: str, site: Site, tmp_path: Path) -> None:
    """Where an account is the default one, any project may have deletions: then a list is only empty."""
    file = tmp_path / "eraser.toml"
    file.write_text(f'[accounts.a]\nendpoint = "http://127.0.0.1:1"\nprojects = ["{PROJECT}"]\n')
    path = f"/api/projects/{OTHER}/deletions{query}"
    with (other := Site(site.redis_url, tmp_path / "others.toml", {"ERASER_CONFIG": str(file)})).client:
        response = other.call("GET", path)
    assert (response.status_code, response.json()["type"]) == (404, "urn:avatar-eraser:unknown-project")
    assert "ask its operators to add it to one" in response.json()["detail"]
    assert str(tmp_path) not in response.text
    response = site.call("GET", path)
    assert (response.status_code, response.json().get("items")) == ((404, None) if "job" in query else (200, []))


def test_the_console_refuses_it(redis_url: str) -> None:
    with (console := Console(redis_url)).client:
        body = {"jobs": "job-1", "project": OTHER, "reason": "CASE-1", "by": "legal-3"}
        response = console.send("/holds", to="/holds", allow_project="", **body)
        assert response.status_code == 422
        assert "not a project of this installation" in response.text
        assert list(hold.each(console.app)) == []
        console.send("/holds", to="/holds", **body | {"allow_project": "yes"})
        assert len(list(hold.each(console.app))) == 1


def test_a_policy_may_only_name_projects_that_are_configured(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "eraser.toml"
    file.write_text(f'[policies.old]\nprojects = ["{OTHER}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n')
    environ = {"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(file), "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT}
    with pytest.raises(SettingsError, match=rf"policies.old\] projects: {OTHER} is not a project .* ERASER_PROJECTS"):
        AppContext.load(environ).policies.current()
    assert list(AppContext.load(environ | {"ERASER_PROJECTS": OTHER}).policies.current()) == ["old"]


def test_a_record_that_was_allowed_by_name_is_carried_out_like_any_other(app: AppContext) -> None:
    project = request.known_project(app, OTHER, allow=True)
    assert [one.state for one in request.record(app, [Target(project, "a")], DeletionRequest())] == ["pending"]
