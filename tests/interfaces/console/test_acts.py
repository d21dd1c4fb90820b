"""What a person does in the console: the same operations as on the command line, after the same plan and caps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.waiting import wait_until
from worker.ledger import rechecks
from worker.ledger.holds import HoldList
from worker.ledger.keys import OURS
from worker.ledger.records import Deletion
from worker.model.states import State
from worker.model.target import Target
from worker.services import audit

GROUP = "server_error-500-MSS.00000004"
REASON = {"reason": "TICKET-4711", "by": "ops-7"}


def show(console: Console, job: str) -> Deletion:
    found = console.app.queries("default").show(Target(PROJECT, job))
    assert found is not None
    return found


def text_of(response: Any) -> str:
    assert response.status_code == 200, words(response.text)
    return words(response.text)


def refused(response: Any) -> str:
    assert response.status_code == 422
    text = words(response.text)
    assert "Nothing was done." in text
    return text


def one(job: str, action: str) -> str:
    return f"/deletions/{PROJECT}/{job}/{action}"


# -- what came back ----------------------------------------------------------------------------------------------------


def test_personal_data_is_refused_in_every_form(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    for fields in (REASON | {"reason": "asked by 0171 2345678"}, REASON | {"by": "07911123456"}):
        assert "the form of a phone number" in refused(console.send(one("a", "replay"), **fields))
    assert show(console, "a").state == "dead"


def test_what_came_back_is_requested_again_from_the_overview_on(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted")
    rechecks.record(undertaker.ledger, None, {Target(PROJECT, "a"): "back"}, looks=[None])
    overview = console.text("/")
    assert "1 deleted job came back: MetaStudio has it again" in overview
    assert "Show what came back" in overview
    assert "/back" in links(console.get("/").text)
    assert "Request them again…" in console.text("/back")
    assert "1 job: each deletion opens a new round" in console.text("/back/request")
    assert "1 job requested again." in text_of(console.send("/back/request", **REASON))
    deletion = show(console, "a")
    assert (deletion.state, deletion.requested_by, deletion.reason) == (State.PENDING, "ops-7", "TICKET-4711")
    assert "No deleted job is known to be back" in console.text("/back")


# -- one deletion ------------------------------------------------------------------------------------------------------


def test_a_letter_is_replayed_at_once_and_wakes_a_worker(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    assert "A new round starts at once" in console.text(one("a", "replay"))
    assert "Replayed." in text_of(console.send(one("a", "replay"), **REASON))
    deletion = show(console, "a")
    assert (deletion.state, deletion.round, deletion.lane) == (State.PENDING, 2, "user")
    (replayed,) = [event for event in deletion.events if event.name == "deletion.replayed"]
    assert (replayed.fields["by"], replayed.fields["why"]) == ("ops-7", "TICKET-4711")
    wait_until(lambda: console.app.redis.zrange(OURS.wake_now, 0, -1) == [b"default"], what="a worker is called")


def test_a_letter_is_discarded_and_restored(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    assert "Discarded." in text_of(console.send(one("a", "discard"), **REASON))
    assert show(console, "a").state is State.DISCARDED
    assert "Restored." in text_of(console.send(one("a", "restore"), **REASON))
    assert show(console, "a").state is State.DEAD


def test_a_request_is_withdrawn_and_made_again(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a")
    assert "Cancelled: nothing was sent." in text_of(console.send(one("a", "cancel"), **REASON))
    assert show(console, "a").state is State.CANCELLED
    assert "Requested: waiting for its turn." in text_of(console.send(one("a", "request"), **REASON))
    assert (show(console, "a").state, show(console, "a").requested_by) == (State.PENDING, "ops-7")


def test_a_job_is_held_until_a_day_and_released(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a")
    assert "Held: nothing is sent" in text_of(console.send(one("a", "hold"), until="2099-01-31", **REASON))
    hold = HoldList(undertaker.ledger).of(Target(PROJECT, "a"))
    assert hold is not None
    assert (hold.by, hold.reason, hold.until) == ("ops-7", "TICKET-4711", 4_073_587_200_000)
    assert "On hold since" in console.text(f"/deletions/{PROJECT}/a")
    assert "Released: its deletion continues." in text_of(console.send(one("a", "release"), **REASON))
    assert show(console, "a").state is State.PENDING


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reason": "", "by": "ops-7"}, "Reason: give"),
        ({"reason": "T-1", "by": ""}, "By: give"),
        ({"reason": "T-1", "by": "Li Wei"}, "never a name"),
        ({"reason": "call 138@example.com!", "by": "ops-7"}, "never personal data"),
        ({"reason": "x" * 65, "by": "ops-7"}, "1 to 64"),
        ({"reason": "T-1", "by": "ops-7", "until": "tomorrow"}, "a day such as"),
        ({"reason": "T-1", "by": "ops-7", "until": "2020-01-01"}, "has passed"),
    ],
)
def test_what_is_wrong_is_said_on_the_form(
    console: Console, undertaker: Undertaker, fields: dict[str, str], why: str
) -> None:
    undertaker.request("a")
    assert why in refused(console.send(one("a", "hold"), **fields))
    assert show(console, "a").state is State.PENDING


def test_who_acts_is_remembered_once_it_was_right(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b")
    console.send(one("a", "discard"), reason="T-1", by="Li Wei")
    assert 'name="by" value=""' in console.get(one("a", "discard")).text
    console.send(one("a", "discard"), **REASON)
    assert 'name="by" value="ops-7"' in console.get(one("b", "discard")).text
    assert "You act as ops-7" in console.text("/")


def test_a_letter_that_moved_on_meanwhile_is_left_alone(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    console.get(one("a", "discard"))
    undertaker.ledger.replay([Target(PROJECT, "a")], why="T-9", deadline_s=60)
    assert "Nothing was done: it is pending, not dead." in text_of(console.send(one("a", "discard"), **REASON))
    assert show(console, "a").state is State.PENDING


def test_what_was_done_is_told_once(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    console.send(one("a", "discard"), **REASON)
    assert "Discarded." not in console.text(f"/deletions/{PROJECT}/a")


@pytest.mark.parametrize(
    "path", [one("a", "explode"), one("nobody", "replay"), "/gate/nobody/pause", "/dead/x/discard"]
)
def test_what_there_is_not_cannot_be_done(console: Console, undertaker: Undertaker, path: str) -> None:
    undertaker.end("a")
    assert console.get(path).status_code in (404, 422)
    assert console.post(path, token=console.token(), **REASON).status_code in (404, 422)


# -- many --------------------------------------------------------------------------------------------------------------


def test_a_group_is_discarded_after_a_plan(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c")
    undertaker.end("other", cause="refused", status=403, code=None)
    assert "3 dead letters discarded" in console.text(f"/dead/{GROUP}/discard")
    assert "3 dead letters discarded." in text_of(console.send(f"/dead/{GROUP}/discard", **REASON))
    assert [show(console, job).state for job in ("a", "other")] == [State.DISCARDED, State.DEAD]


@pytest.mark.parametrize("typed", ["", "100", "all", "1010", "101.5"])
def test_more_than_a_hundred_want_their_number(console: Console, undertaker: Undertaker, typed: str) -> None:
    undertaker.end(*[f"j{n}" for n in range(101 if typed != "1010" else 102)])
    number = "1,01" if typed == "1010" else typed  # a comma is read as people write it, and 101 is not 102
    assert "Type 10" in console.text(f"/dead/{GROUP}/discard")
    refused(console.send(f"/dead/{GROUP}/discard", most=number, **REASON))
    assert console.app.queries("default").status().states[State.DISCARDED] == 0


def test_the_number_that_was_typed_lets_so_many_go(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(101)])
    assert "101 dead letters discarded." in text_of(console.send(f"/dead/{GROUP}/discard", most="101", **REASON))


# -- holds and the gate ------------------------------------------------------------------------------------------------


def test_many_jobs_are_held_without_a_cap_and_a_bad_id_is_told(console: Console) -> None:
    jobs = "\n".join(f"j{n}" for n in range(150))
    assert "150 jobs on hold." in text_of(console.send("/holds", to="/holds", jobs=jobs, **REASON))
    text = text_of(console.send("/holds", to="/holds", jobs="good ../etc", **REASON))
    assert "found '.'" in text
    assert "151 holds" in console.text("/holds")


def test_an_app_user_is_held_and_released_and_never_shown(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a", app_user="u-4711")
    assert "are on hold" in text_of(console.send("/holds", to="/holds", app_user="u-4711", do="add", **REASON))
    assert "u-4711" not in console.get("/holds").text
    response = console.send("/holds", to="/holds", app_user="u-4711", do="remove", **REASON)
    assert "The hold is removed" in text_of(response)
    assert "Nothing is on hold" in words(response.text)


def test_jobs_or_an_app_user_not_both_and_not_none(console: Console) -> None:
    both = refused(console.send("/holds", to="/holds", jobs="a", app_user="u-1", **REASON))
    assert "give jobs, or an app user, not both" in both.lower()
    none = refused(console.send("/holds", to="/holds", jobs="", app_user="", **REASON))
    assert "give jobs, or an app user" in none.lower()
    assert "not both" not in none


def test_a_hold_is_removed_from_its_line(console: Console) -> None:
    console.send("/holds", to="/holds", jobs="a b", **REASON)
    response = console.send(f"/holds/{PROJECT}/a/remove", **REASON)
    assert "Job a: the hold is removed" in text_of(response)
    assert "1 hold" in words(response.text)


def test_the_red_button_and_its_release(console: Console) -> None:
    assert "No call is sent until an operator resumes it." in console.text("/gate/default/pause")
    assert "Account default is paused: no call is sent." in text_of(console.send("/gate/default/pause", **REASON))
    gate = console.app.queries("default").gate()
    assert (gate.gate, gate.reason) == ("paused", "TICKET-4711 (by ops-7)")
    text = console.text("/")
    assert "default is paused" in text
    assert "TICKET-4711 (by ops-7)" in text
    assert "is open again" in text_of(console.send("/gate/default/resume", **REASON))
    assert console.app.queries("default").gate().gate == "ok"


# -- the audit ---------------------------------------------------------------------------------------------------------


def test_every_act_in_the_console_stands_in_the_audit(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c")
    console.send("/gate/default/pause", **REASON)
    console.send("/gate/default/resume", **REASON)
    console.send(one("a", "replay"), **REASON)
    console.send(one("b", "discard"), **REASON)
    console.send(one("b", "restore"), **REASON)
    console.send("/holds", to="/holds", jobs="x", **REASON)
    console.send(f"/holds/{PROJECT}/x/remove", **REASON)
    console.send(one("a", "cancel"), **REASON)
    console.send(f"/dead/{GROUP}/discard", **REASON)
    entries = list(audit.entries(console.app, audit.AuditFilter()))
    assert [entry.action for entry in entries] == [
        "deletions.discarded", "deletions.cancelled", "hold.removed", "hold.added", "deletions.restored",
        "deletions.discarded", "deletions.replayed", "gate.resumed", "gate.paused"]  # fmt: skip
    assert {(entry.by, entry.reason) for entry in entries} == {("ops-7", "TICKET-4711")}
    text = console.text("/audit")
    assert f"{GROUP}: 2 discarded TICKET-4711" in text
    assert "gate.paused" in text


def test_the_audit_is_chosen_by_its_address(console: Console) -> None:
    console.send("/gate/default/pause", reason="T-1", by="ops-7")
    console.send("/gate/default/resume", reason="T-2", by="ops-8")
    assert "T-1" not in console.text("/audit?by=ops-8")
    assert "T-2" not in console.text("/audit?act=gate.paused")
    assert "No action matches these filters" in console.text("/audit?since=1h&until=30m")
    assert console.get("/audit?act=gate.opened").status_code == 422
    assert console.get("/audit?since=then").status_code == 422


def test_an_act_on_a_job_is_about_that_job_also_where_its_id_begins_a_group(
    console: Console, undertaker: Undertaker
) -> None:
    undertaker.end("a", "b")
    undertaker.end("server", to="deleted")
    response = console.post(one("server", "discard"), token=console.token(), **REASON)
    assert "Nothing was done" in words(console.get(response.headers["location"]).text)
    assert {show(console, job).state for job in ("a", "b")} == {State.DEAD}
