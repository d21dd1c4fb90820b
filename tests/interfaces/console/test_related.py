"""What deleted jobs left behind: the list with its filters, deleting it and restoring it, after the same plan as on the
command line."""

from __future__ import annotations

from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import Undertaker
from tests.support.erasures import erased
from tests.support.left_behind import LeftBehind
from worker.ledger.holds import HoldList
from worker.model.erasure import Verdict
from worker.services import audit

REASON = {"reason": "TICKET-4711", "by": "ops-7"}


def opened(left: LeftBehind) -> Console:
    return Console(left.app.settings.redis_url or "", left.environ)


def of(left: LeftBehind, job: str, act: str = "") -> str:
    return f"/deletions/{left.simulator.project}/{job}{act}"


def acts(console: Console) -> list[tuple[str, str | None, str | None]]:
    every = map(audit.as_json, audit.entries(console.app, audit.AuditFilter()))
    return [(one["act"], one["by"], one["reason"]) for one in every if one["act"].startswith("related.")]


# -- the list ----------------------------------------------------------------------------------------------------------


def test_the_overview_leads_to_what_was_left_behind(console: Console, undertaker: Undertaker) -> None:
    erased(undertaker, "good")
    assert "Show what was left behind" in console.text("/")
    assert "/related" in links(console.get("/").text)
    page = console.text("/related")
    assert "1 job" in page
    assert "model_asset a-1: still there" in page
    assert f"/deletions/{undertaker.project}/good" in links(console.get("/related").text)
    assert "/related/erase" in links(console.get("/related").text)


def test_the_list_is_filtered_by_verdict_and_project(console: Console, undertaker: Undertaker) -> None:
    erased(undertaker, "kept-one")
    erased(undertaker, "failed-one", Verdict.INCOMPLETE)
    undertaker.end("pending-one", to="deleted", erasure={"related": "verify", "first_look_ms": 60_000})
    for query, shown in {
        "": {"kept-one", "failed-one"},
        "?verdict=partial": {"kept-one"},
        "?verdict=incomplete": {"failed-one"},
        "?verdict=pending": {"pending-one"},
        f"?project={undertaker.project}": {"kept-one", "failed-one"},
        "?project=another": set(),
    }.items():
        page = console.text(f"/related{query}")
        assert {job for job in ("kept-one", "failed-one", "pending-one") if job in page} == shown, query
    refused = console.get("/related?verdict=<b>")
    assert (refused.status_code, "<b>" in refused.text) == (422, False)
    assert console.get("/related?project=..").status_code == 422


def test_without_anything_left_there_is_nothing_to_press(console: Console) -> None:
    assert "Nothing was left behind." in console.text("/related")
    assert "/related/erase" not in links(console.get("/related").text)
    assert "Nothing was left behind." in console.text("/related/erase")
    assert "<form class" not in console.get("/related/erase").text


# -- deleting it -------------------------------------------------------------------------------------------------------


def test_what_a_job_left_is_deleted_from_its_page(left: LeftBehind) -> None:
    left.leave("job-1")
    console = opened(left)
    assert "Delete what was left behind…" in console.text(of(left, "job-1"))
    assert of(left, "job-1", "/related-erase") in links(console.get(of(left, "job-1")).text)
    plan = console.text(of(left, "job-1", "/related-erase"))
    for part in ("model_asset:asset-job-1", "voice_job:voice-job-1", "voice_asset:voice-asset-job-1"):
        assert f"delete: {part} of job job-1" in plan
    assert f"eraser related erase job-1 --project {left.simulator.project} --reason TICKET" in plan
    assert left.erasure("job-1")["related"] == "verify", "a plan changes nothing"
    answer = console.send(of(left, "job-1", "/related-erase"), **REASON)
    assert "what is left of it and proven to be its own is deleted" in words(answer.text)
    left.closes("job-1")
    assert left.states()["asset-job-1"] == "DELETED"
    assert acts(console) == [("related.erased", "ops-7", "TICKET-4711")]
    assert "Delete what was left behind" not in console.text(of(left, "job-1"))


def test_what_all_left_is_deleted_after_one_plan(left: LeftBehind) -> None:
    left.leave("job-1", "job-2", voice=False)
    console = opened(left)
    assert "Delete what 2 jobs left behind" in console.text("/related/erase")
    assert "what 2 jobs left behind is deleted" in words(console.send("/related/erase", **REASON).text)
    left.closes("job-1", "job-2")
    assert {left.states()[f"asset-{job}"] for job in ("job-1", "job-2")} == {"DELETED"}


def test_more_than_a_hundred_are_confirmed_by_their_number(console: Console, undertaker: Undertaker) -> None:
    for n in range(101):
        erased(undertaker, f"job-{n}", parts=[{**PART, "id": f"a-{n}"}])
    page = console.text("/related/erase")
    assert "Type 101 to confirm" in page
    assert "lines more" in page
    for most in ({}, {"most": "100"}):
        refused = console.send("/related/erase", **REASON, **most)
        assert (refused.status_code, "Nothing was done." in words(refused.text)) == (422, True)
        assert acts(console) == []
    assert "what 101 jobs left behind is deleted" in words(console.send("/related/erase", **REASON, most="101").text)


PART = {
    "part": "model_asset",
    "project_id": "p",
    "named_by": "job",
    "evidence": "kept",
    "before": "ACTIVED",
    "own": True,
}


def test_without_a_reason_or_our_form_nothing_is_deleted(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    console, path = opened(left), of(left, "job-1", "/related-erase")
    assert console.send(path, by="ops-7").status_code == 422
    assert console.send(path, **REASON, app_user="Anna Nowak").status_code == 422
    assert console.post(path, **REASON, token="0" * 32).status_code == 403
    assert (
        console.post(path, headers={"Origin": "http://elsewhere"}, token=console.token(), **REASON).status_code == 403
    )
    assert (left.erasure("job-1")["related"], acts(console)) == ("verify", [])


def test_what_is_on_hold_has_no_form_and_says_why(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    console, path = opened(left), of(left, "job-1", "/related-erase")
    form = console.token()
    HoldList(left.app.ledger("default")).add([left.target("job-1")], why="T", by="legal-3")
    page = console.get(path)
    assert "on hold: nothing of it is deleted until the hold is removed" in words(page.text)
    assert 'class="danger"' not in page.text
    assert console.post(path, token=form, **REASON).status_code == 422
    assert left.erasure("job-1")["related"] == "verify"


def test_whose_job_it_was_can_be_named_and_is_not_shown_again(left: LeftBehind) -> None:
    left.leave("job-1", voice=False)
    console, path = opened(left), of(left, "job-1", "/related-erase")
    assert 'name="app_user"' in console.get(path).text, "it was forgotten with the last look"
    refused = console.send(path, by="ops-7", app_user="u-7")
    assert (refused.status_code, "u-7" in refused.text) == (422, False)
    console.send(path, **REASON, app_user="u-7")
    assert left.erasure("job-1")["user"] == "u-7"


def test_a_job_that_nobody_knows_has_no_such_page(left: LeftBehind) -> None:
    console = opened(left)
    for act in ("related-erase", "related-restore"):
        assert console.get(of(left, "nobody-s", f"/{act}")).status_code == 404


# -- restoring it ------------------------------------------------------------------------------------------------------


def test_what_is_in_the_bin_is_restored_from_the_page_of_its_job(left: LeftBehind) -> None:
    left = left.with_settings(ERASER_RELATED="delete", ERASER_RELATED_ASSETS="bin")
    left.simulator.add_avatar("job-1", voice=False)
    left.command("request", "job-1")
    left.work_until(lambda: left.parts("job-1") == {"model_asset": "in_bin"}, "the asset to be in the bin")
    console, path = opened(left), of(left, "job-1", "/related-restore")
    assert "Restore what was left behind…" in console.text(of(left, "job-1"))
    assert "restore: model_asset:asset-job-1 of job job-1" in console.text(path)
    assert left.states()["asset-job-1"] == "DELETING"
    left.command("pause", "--reason", "T-1")
    refused = console.send(path, **REASON)
    assert (refused.status_code, "is closed (paused)" in words(refused.text)) == (422, True)
    left.command("resume", "--reason", "T-1")
    assert "restored; the next look verifies it" in words(console.send(path, **REASON).text)
    assert left.states()["asset-job-1"] == "UNACTIVED"
    assert acts(console) == [("related.restored", "ops-7", "TICKET-4711")]
    left.closes("job-1")
    assert "still there" in console.text(path), "nothing is in the bin any more"
