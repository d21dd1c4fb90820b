"""Requesting deletions in the console: one or a pasted list, after a plan, with the rules of every other door."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.console_pages import Console, words
from tests.support.dead_letters import PROJECT, Undertaker
from worker.ledger.holds import HoldList
from worker.ledger.records import Deletion
from worker.model.states import State
from worker.model.target import Target

REASON = {"reason": "TICKET-4711", "by": "ops-7"}
USER = "u-4711"


def planned(console: Console, jobs: str, **fields: str) -> Any:
    return console.post("/request", token=console.token(), jobs=jobs, do="plan", **fields)


def requested(console: Console, plan: Any, **fields: str) -> Any:
    """Send the plan's form, as a browser does."""
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', plan.text))
    response = console.post("/request", **kept, do="request", **REASON, **fields)
    return console.get(response.headers["location"]) if response.status_code == 303 else response


def show(console: Console, job: str, project: str = PROJECT) -> Deletion:
    found = console.app.queries("default").show(Target(project, job))
    assert found is not None
    return found


def number(console: Console) -> int:
    return sum(console.app.queries("default").status().states.values())


def test_one_job_is_requested_after_its_plan(console: Console) -> None:
    assert (
        'value="" aria' not in console.get("/request?jobs=a").text.partition("<textarea")[2].partition("</textarea>")[0]
    )
    plan = planned(console, "a", after="1h", related="leave", run="RUN-1")
    assert "Request 1 deletion" in words(plan.text)
    assert "new 1" in words(plan.text)
    assert number(console) == 0, "a plan records nothing"
    assert "Accepted: 1 deletion." in words(requested(console, plan, app_user=USER).text)
    deletion = show(console, "a")
    assert (deletion.state, deletion.waiting_for, deletion.lane) == (State.PENDING, "grace", "user")
    assert (deletion.requested_by, deletion.reason, deletion.run) == ("ops-7", "TICKET-4711", "RUN-1")


def test_a_pasted_list_says_what_happens_to_each(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("done", to="deleted")
    undertaker.end("dead")
    undertaker.request("waits")
    HoldList(undertaker.ledger).add([Target(PROJECT, "kept")], why="CASE-12", by="legal-3")
    plan = planned(console, "# of TICKET-9\nnew-1, new-2\nnew-1\n\ndone dead\nwaits\nkept ../etc")
    text = words(plan.text)
    assert "Request 6 deletions" in text
    for line in (
        "new 2",
        "merged with an earlier request 1",
        "a new round after its end 1",
        "on hold: nothing is sent until the hold is removed 1",
        "already done: nothing is sent 1",
        "'../etc' is not requested",
    ):
        assert line in text
    result = words(requested(console, plan).text)
    assert "Accepted: 6 deletions" in result
    assert show(console, "dead").state is State.PENDING
    assert show(console, "done").state is State.DELETED


def test_what_is_done_is_deleted_again_if_it_is_wanted(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("done", to="deleted")
    plan = planned(console, "done", force="yes")
    assert "deleted again 1" in words(plan.text)
    requested(console, plan)
    assert (show(console, "done").state, show(console, "done").round) == (State.PENDING, 2)


def test_more_than_a_hundred_want_their_number_and_go_behind_people(console: Console) -> None:
    plan = planned(console, "\n".join(f"j{n:03d}" for n in range(101)))
    assert "Type 101" in words(plan.text)
    refused = requested(console, plan)
    assert (refused.status_code, number(console)) == (422, 0)
    assert "Accepted: 101 deletions." in words(requested(console, plan, most="101").text)
    assert show(console, "j000").lane == "bulk"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"jobs": " \n# nothing"}, "give one job id at least"),
        ({"jobs": "a", "project": "1605768a2c8026af2f8bc00f4b0d3b7c"}, "is not a project of this installation"),
        ({"jobs": "a", "after": "soon"}, "after:"),
        ({"jobs": "a", "after": "2d", "deadline": "1d"}, "deadline"),
        ({"jobs": "a", "lane": "fast"}, "lane: expected"),
        ({"jobs": "a", "related": "all"}, "related: expected"),
        ({"jobs": "a", "run": "Li Wei"}, "run"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_plan(console: Console, fields: dict[str, str], why: str) -> None:
    response = planned(console, **fields)
    assert (response.status_code, why in words(response.text).lower()) == (422, True)
    assert number(console) == 0


def test_a_project_may_be_allowed_this_once(console: Console) -> None:
    other = "1605768a2c8026af2f8bc00f4b0d3b7c"
    plan = planned(console, "a", project=other, allow_project="yes")
    requested(console, plan)
    assert show(console, "a", other).state is State.PENDING


def test_an_app_user_is_typed_last_and_never_comes_back(console: Console) -> None:
    plan = planned(console, "a")
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', plan.text))
    response = console.post("/request", **kept, do="request", app_user=USER, reason="", by="ops-7")
    assert (response.status_code, USER in response.text) == (422, False)


def test_an_unknown_job_leads_to_its_request(console: Console) -> None:
    page = console.get("/find?job=unheard-of").text
    assert 'href="/request?jobs=unheard-of"' in page
    assert ">unheard-of</textarea>" in console.get("/request?jobs=unheard-of").text


def test_nothing_is_requested_without_a_reason(console: Console) -> None:
    plan = planned(console, "a")
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', plan.text))
    assert console.post("/request", **kept, do="request", reason="", by="ops-7").status_code == 422
    assert number(console) == 0


@pytest.mark.parametrize("path", ["/deletions/{}/a/cancel", "/gate/default/pause", "/holds/{}/a/remove"])
def test_the_reason_has_the_focus_when_a_dialog_opens(console: Console, undertaker: Undertaker, path: str) -> None:
    undertaker.request("a")
    page = console.get(path.format(PROJECT)).text
    assert re.findall(r"<\w+ id=\"(\w+)\"[^>]* autofocus", page) == ["reason"]
