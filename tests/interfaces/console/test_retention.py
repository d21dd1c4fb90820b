"""Retention in the console: a policy's plan with its jobs, a run that a person starts, watches and cancels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.console_pages import Console, words
from tests.support.retention import NOW, POLICY, PROJECT, Lister, job
from tests.support.waiting import wait_until
from worker.ledger.runs import LEASE_S, Run, Runs
from worker.ledger.schema.keys import Key
from worker.services import retention, retention_runs
from worker.services.act import Approval

REASON = {"reason": "TICKET-4711", "by": "ops-7"}
PATH = "/retention/policies/old"


@pytest.fixture
def lister() -> Lister:
    return Lister([job(f"old-{n}") for n in range(3)] + [job("young", days=1), job("other", state="TRAINING")])


@pytest.fixture
def console(redis_url: str, tmp_path: Path, lister: Lister) -> Iterator[Console]:
    file = tmp_path / "eraser.toml"
    file.write_text(f"[policies.old]\n{POLICY}")
    environ = {"ERASER_CONFIG": str(file), "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT, "ERASER_RATE": "1000"}
    one = Console(redis_url, environ=environ)
    one.app.now = lambda: NOW  # type: ignore[method-assign]
    one.app._clients["default"] = (lister, lambda: "k1")  # type: ignore[assignment]
    with one.client:
        yield one


def shown(console: Console, planned: int) -> dict[str, str]:
    """What the form of a plan holds without being typed: the policy, how many jobs match it, and the form's token."""
    policy = console.app.policies.named("old")
    return {"policy": policy.hash, "planned": str(planned), "token": console.token()}


def ended(console: Console, run: str) -> Run:
    runs = Runs(console.app.ledger("default"))
    wait_until(lambda: (found := runs.find(run)) is not None and found.finished is not None, what="the run ends")
    found = runs.find(run)
    assert found is not None
    return found


def test_a_plan_is_loaded_by_its_page_and_has_its_jobs(console: Console, lister: Lister) -> None:
    page = console.get(PATH).text
    assert f'hx-get="{PATH}"' in page
    assert f'href="{PATH}?whole=1"' in page
    assert lister.queries == [], "the page comes first"
    for text in (console.text(f"{PATH}?whole=1"), words(console.get(PATH, **{"HX-Request": "true"}).text)):
        assert "The plan: 3 deletions of 5 jobs listed" in text
        assert "1: too young" in text
        assert "1: other state" in text
        assert {"old-0", "old-1", "old-2"} <= set(text.split())
        assert "young" not in text.partition("Its jobs")[2]
    assert retention.runs(console.app, 5) == []


def test_a_run_is_started_watched_and_cancelled(console: Console) -> None:
    response = console.send(f"{PATH}?whole=1", **REASON)
    run = response.url.path.rpartition("/")[2]
    record = ended(console, run)
    assert (record.requested, record.by, record.stopped_by) == (3, "ops-7", None)
    path = f"/retention/runs/{run}"
    text = console.text(path)
    assert "Requested 3 deletions." in text
    assert "hx-get" not in console.get(path).text, "it has ended"
    assert console.get(path, **{"HX-Request": "true"}).status_code == 286
    assert f'href="{path}"' in console.get("/retention").text
    assert console.get(f"/deletions?state=all&run={run}").text.count('data-name="Reason"') == 3
    assert "3 requests withdrawn." in words(console.send(f"{path}/cancel", **REASON).text)
    assert console.app.queries("default").status().states["cancelled"] == 3  # type: ignore[index]


def test_a_run_says_that_its_console_ended_and_one_without_a_word_is_gone(console: Console) -> None:
    plan = retention_runs.plan(console.app, console.app.policies.named("old"))
    console.app.stopping.set()
    run = retention_runs.start(console.app, plan, Approval("ops-7", "T-1"))
    retention_runs.end(console.app)
    runs = Runs(console.app.ledger("default"))
    record = runs.find(run)
    assert record is not None
    assert (record.stopped_by, record.requested, record.finished) == ("the console ended", 0, NOW.timestamp() * 1000)
    assert "policy old stopped: the console ended" in console.text("/retention")
    killed = replace(record, id="old-1", stopped_by=None, finished=None, started=record.started + 1)
    runs.write(killed)
    assert "It reads lists and requests" in console.text("/retention/runs/old-1")
    key = f"{console.app.keys.account('default')}{Key.RUN}old-1"
    console.app.redis.hincrbyfloat(key, "written", -LEASE_S * 1000 - 1)
    assert "Stopped: its process is gone without a word" in console.text("/retention/runs/old-1")
    assert console.get("/retention/runs/old-1", **{"HX-Request": "true"}).status_code == 286
    assert "policy old stopped: its process is gone" in console.text("/retention")
    runs.write(replace(killed, slot=record.started))
    assert "It reads lists and requests" in console.text("/retention/runs/old-1"), "another one goes on with a slot's"


def test_above_the_caps_number_and_project_are_confirmed(console: Console, lister: Lister) -> None:
    lister.jobs = [job(f"old-{n:03d}") for n in range(120)]
    page = f"{PATH}?whole=1"
    text = console.text(page)
    assert "Over the cap: 120 of the 120 jobs of project" in text
    assert "… and 70 more" in text
    refused = console.post(PATH, **shown(console, 120), most="120", **REASON)
    assert (refused.status_code, "type the number, and tick each project" in words(refused.text)) == (422, True)
    stopped = console.post(PATH, **shown(console, 120), **REASON).headers["location"]
    assert ended(console, stopped.rpartition("/")[2]).stopped_by
    assert "Stopped:" in console.text(stopped)
    console.app.now = lambda: NOW.replace(minute=1)  # type: ignore[method-assign]
    confirmed = {"most": "120", "confirm-0": PROJECT}
    location = console.post(PATH, **shown(console, 120), **confirmed, **REASON).headers["location"]
    assert ended(console, location.rpartition("/")[2]).requested == 120


def test_a_policy_that_changed_since_its_plan_was_shown_is_shown_anew(console: Console, tmp_path: Path) -> None:
    shown_before = shown(console, 3)
    (tmp_path / "eraser.toml").write_text(f"[policies.old]\n{POLICY}".replace("90d", "7d"))
    wait_until(lambda: console.app.policies.named("old").older_than_s == 7 * 86400, what="the policy is read anew")
    refused = console.post(PATH, **shown_before, **REASON)
    assert (refused.status_code, "policy is not the one that was shown" in words(refused.text)) == (422, True)
    assert console.post(PATH, token=console.token(), **REASON).status_code == 422, "a form without its policy"
    assert retention.runs(console.app, 5) == []


def test_no_more_jobs_are_requested_than_the_plan_showed(console: Console, lister: Lister) -> None:
    shown_before = shown(console, 3)
    lister.jobs = [job(f"old-{n}") for n in range(10)]
    refused = console.post(PATH, **shown_before, **REASON)
    assert (refused.status_code, "10 jobs now, and 3 when" in words(refused.text)) == (422, True)
    assert retention.runs(console.app, 5) == []
    assert "The plan: 10 deletions" in words(refused.text)
    lister.jobs = [job(f"old-{n}") for n in range(2)]
    run = console.post(PATH, **shown_before, **REASON).headers["location"]
    assert ended(console, run.rpartition("/")[2]).requested == 2, "fewer are fine"


def test_a_list_that_does_not_end_is_said_and_asked_for_again(console: Console, lister: Lister) -> None:
    console.app.ledger("default").pause(why="T-1", by="ops-7")
    part = console.get(PATH, **{"HX-Request": "true"}).text
    assert "Trying again" in part
    assert f'hx-get="{PATH}"' in part
    response = console.post(PATH, **shown(console, 0), **REASON)
    assert (response.status_code, "paused" in words(response.text)) == (503, True)
    assert retention.runs(console.app, 5) == [], "no run without its plan"


@pytest.mark.parametrize("fields", [{"reason": ""}, {"by": "Li Wei"}, {"most": "many", "confirm-0": PROJECT}])
def test_what_is_wrong_is_said_beside_the_plan(console: Console, fields: dict[str, str]) -> None:
    response = console.post(PATH, **shown(console, 3) | REASON | fields)
    assert (response.status_code, "The plan: 3 deletions" in words(response.text)) == (422, True)
    assert retention.runs(console.app, 5) == []


@pytest.mark.parametrize("path", ["/retention/policies/none", "/retention/runs/none", "/retention/runs/none/cancel"])
def test_what_there_is_not_is_said(console: Console, path: str) -> None:
    assert console.get(f"{path}?whole=1").status_code == 422
    assert re.search(r"none", console.get(f"{path}?whole=1").text)
