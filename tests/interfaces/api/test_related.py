"""The API's acts on what a job left behind: planned, done by the token, refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.interfaces.api.test_deletions import problem
from tests.support.http_site import Site
from tests.support.left_behind import LeftBehind
from worker.config.api_tokens import Scope
from worker.ledger.holds import HoldList
from worker.services import audit


def site_of(left: LeftBehind, folder: Path) -> Site:
    return Site(left.app.settings.redis_url or "", folder / "tokens.toml", left.environ)


def call(site: Site, left: LeftBehind, job: str, act: str, token: str | None = None, **body: Any) -> Any:
    path = f"/api/projects/{left.simulator.project}/deletions/{job}/related/{act}"
    return site.call("POST", path, token, json=body) if body else site.call("GET", path, token)


def test_what_a_job_left_is_planned_and_deleted_in_the_name_of_the_token(left: LeftBehind, tmp_path: Path) -> None:
    left.leave("job-1")
    site, before = site_of(left, tmp_path), left.erasure("job-1")
    plan = call(site, left, "job-1", "erase")
    assert (plan.status_code, plan.json()["over_cap"]) == (200, False)
    assert [one["id"] for one in plan.json()["will_be_erased"]] == ["asset-job-1", "voice-job-1", "voice-asset-job-1"]
    assert left.erasure("job-1") == before
    done = call(site, left, "job-1", "erase", reason="TICKET-4711")
    assert (done.status_code, [one["result"] for one in done.json()["results"]]) == (202, ["erasing"])
    left.closes("job-1")
    assert left.states()["asset-job-1"] == "DELETED"
    (entry,) = [audit.as_json(one) for one in audit.entries(site.app, audit.AuditFilter(action="related.erased"))]
    assert (entry["by"], entry["reason"]) == ("shop", "TICKET-4711")
    again = problem(call(site, left, "job-1", "erase", reason="TICKET-4711"), 409, "nothing-done")
    assert again["result"] == "skipped"


def test_what_is_in_the_bin_is_restored(left: LeftBehind, tmp_path: Path) -> None:
    left = left.with_settings(ERASER_RELATED="delete", ERASER_RELATED_ASSETS="bin")
    left.simulator.add_avatar("job-1", voice=False)
    left.command("request", "job-1")
    left.work_until(lambda: left.parts("job-1") == {"model_asset": "in_bin"}, "the asset to be in the bin")
    site = site_of(left, tmp_path)
    assert [one["id"] for one in call(site, left, "job-1", "restore").json()["will_be_restored"]] == ["asset-job-1"]
    done = call(site, left, "job-1", "restore", reason="TICKET-4711")
    assert (done.status_code, [one["result"] for one in done.json()["results"]]) == (200, ["restored"])
    assert left.states()["asset-job-1"] == "UNACTIVED"


def test_what_must_not_be_is_refused_and_changes_nothing(left: LeftBehind, tmp_path: Path) -> None:
    left.leave("job-1", voice=False)
    site, before = site_of(left, tmp_path), left.erasure("job-1")
    reader = site.new_token("reader", Scope.READ, Scope.REQUEST)
    problem(call(site, left, "job-1", "erase", reader, reason="T-1"), 403, "wrong-scope")
    assert call(site, left, "job-1", "erase", reader).status_code == 200, "the plan is only read"
    for body in ({"app_user": "u-1"}, {"reason": ""}, {"reason": 1}, {"reason": "T-1", "app_user": "Anna Nowak"}):
        problem(call(site, left, "job-1", "erase", **body), 422, "invalid")
    unknown = problem(call(site, left, "job-1", "erase", reason="T-1", app_usr="u-1"), 422, "invalid")
    assert "did you mean app_user" in unknown["detail"]
    problem(call(site, left, "nobody-s", "erase", reason="T-1"), 404, "unknown-deletion")
    HoldList(left.app.ledger("default")).add([left.target("job-1")], why="T", by="legal-3")
    assert "on hold" in problem(call(site, left, "job-1", "erase", reason="T-1"), 409, "nothing-done")["detail"]
    named = call(site, left, "job-1", "erase", reason="T-1", app_user="13800138000")
    assert "on hold" in problem(named, 409, "nothing-done")["detail"], "an app user is whatever MetaStudio knows"
    assert left.erasure("job-1") == before
