"""Acting on many deletions from a list: what is ticked, or all that its filters find; one plan, then the same acts."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import PROJECT, Undertaker
from worker.model.states import State
from worker.model.target import Target
from worker.services import audit, many

GROUP = "server_error-500-MSS.00000004"
REASON = {"reason": "TICKET-4711", "by": "ops-7"}


def states(console: Console) -> dict[State, int]:
    found = console.app.queries("default").status().states
    return {state: number for state, number in found.items() if number}


def ticked(step: str, *jobs: str, project: str = PROJECT, **fields: str) -> str:
    pairs = [("do", step), ("which", "ticked"), *fields.items(), *(("one", f"{project}/{job}") for job in jobs)]
    return f"{many_path()}?{urlencode(pairs)}"


def every(step: str, **fields: str) -> str:
    return f"{many_path()}?{urlencode({'do': step, 'which': 'all', **fields})}"


def many_path() -> str:
    return "/deletions/selected"


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("pending", ["cancel", "hold"]),
        ("held", ["cancel", "release"]),
        ("dead", ["hold", "replay", "discard"]),
        ("discarded", ["hold", "restore"]),
        ("cancelled", ["hold", "request"]),
        ("deleted", []),
        ("all", ["cancel", "hold", "release", "replay", "discard", "restore", "request"]),
    ],
)
def test_a_list_offers_what_can_be_done_with_its_states(
    console: Console, undertaker: Undertaker, state: str, offered: list[str]
) -> None:
    refs = {name: Target(PROJECT, name) for name in ("p", "h", "d", "x", "c")}
    undertaker.end("good", to="deleted")
    undertaker.end("d", "x")
    undertaker.ledger.discard([refs["x"]], why="T-1", by="ops-7")
    undertaker.request("p", "h", "c")
    undertaker.ledger.cancel([refs["c"]], why="T-1", by="ops-7")
    console.send(f"/deletions/{PROJECT}/h/hold", **REASON)
    page = console.get(f"/deletions?state={state}").text
    assert re.findall(r'<button name="do" value="([a-z]+)"', page) == offered
    assert re.findall(r'type="checkbox" name="one" value="([^"]+)"', page), "each row can be ticked"


def test_what_is_ticked_is_cancelled_after_one_plan_and_nothing_else_is(
    console: Console, undertaker: Undertaker
) -> None:
    undertaker.end("d")
    undertaker.request("a", "b", "c")
    path = ticked("cancel", "a", "b", "d", "unheard-of")
    plan = console.text(path)
    assert "Withdraw the requests for 2 deletions" in plan
    assert "left out: 1 deletion, in state dead" in plan
    assert "left out: 1 deletion, never requested" in plan
    assert f"eraser cancel a b --project {PROJECT} --reason TICKET" in plan
    assert states(console) == {State.PENDING: 3, State.DEAD: 1}
    assert "2 deletions withdrawn." in words(console.send(path, **REASON).text)
    assert states(console) == {State.PENDING: 1, State.DEAD: 1, State.CANCELLED: 2}


def test_one_act_on_two_projects_is_one_entry_of_the_audit(console: Console, undertaker: Undertaker) -> None:
    other = "1605768a2c8026af2f8bc00f4b0d3b7c"
    undertaker.request("a")
    Undertaker(undertaker.url, project=other).request("b")
    path = f"{ticked('hold', 'a')}&one={other}%2Fb"
    assert f"project {other}: 1" in console.text(path)
    assert "2 deletions on hold." in words(console.send(path, until="2099-01-31", **REASON).text)
    (entry,) = audit.entries(console.app, audit.AuditFilter())
    assert (entry.action, entry.by, entry.reason) == ("hold.added", "ops-7", "TICKET-4711")
    path = f"{ticked('release', 'a')}&one={other}%2Fb"
    assert "2 deletions released." in words(console.send(path, **REASON).text)
    assert states(console) == {State.PENDING: 2}


def test_all_that_a_filter_finds_is_more_than_a_page_and_wants_its_number(
    console: Console, undertaker: Undertaker
) -> None:
    undertaker.end(*[f"j{n:03d}" for n in range(120)], "other")
    path = every("discard", state="dead", job="j")
    plan = console.text(path)
    assert "Discard 120 deletions" in plan
    assert "… and 100 more" in plan
    assert console.send(path, **REASON).status_code == 422
    assert console.send(path, most="119", **REASON).status_code == 422
    assert "120 deletions discarded." in words(console.send(path, most="120", **REASON).text)
    assert states(console) == {State.DEAD: 1, State.DISCARDED: 120}
    assert "/deletions?state=dead&job=j" in links(console.get(path).text), "Cancel leads back to the list"
    path = every("restore", state="discarded")
    assert "120 deletions restored." in words(console.send(path, most="120", **REASON).text)


def test_what_came_after_the_plan_is_not_done_unseen(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a")
    path = every("cancel", state="pending")
    token = re.search(r'name="token" value="(\w+)"', console.get(path).text)
    assert token
    undertaker.request("b")
    response = console.post(path, token=token[1], planned="1", **REASON)
    assert (response.status_code, "2 deletions, and 1 were allowed" in words(response.text)) == (422, True)
    assert states(console) == {State.PENDING: 2}


def test_a_few_dead_letters_go_at_once_and_many_by_a_replay(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", *[f"j{n:02d}" for n in range(11)])
    assert "2 deletions replayed." in words(console.send(ticked("replay", "a", "b"), **REASON).text)
    path = every("replay", state="dead", group=GROUP)
    assert "One dead letter goes first" in console.text(path)
    assert re.search(r"/replays/replay-\d+", str(console.send(path, **REASON).url))
    assert console.app.queries("default").status().states[State.PENDING] == 2


def test_what_is_withdrawn_is_requested_again_together(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a", "b")
    console.send(every("cancel", state="pending"), **REASON)
    assert "2 deletions requested again." in words(console.send(every("request", state="cancelled"), **REASON).text)
    assert states(console) == {State.PENDING: 2}


def test_what_could_not_be_done_is_named(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("a", "b")
    lease = undertaker.take()
    text = words(console.send(every("cancel", state="all"), **REASON).text)
    assert "1 of 2 deletions withdrawn." in text
    assert re.search(rf"{lease.ref.name} a call is in progress", text)


@pytest.mark.parametrize("path", ["?do=explode", "?which=all", f"?do=cancel&one={PROJECT}/..", "?do=cancel&one=x"])
def test_what_makes_no_sense_is_refused(console: Console, path: str) -> None:
    assert console.get(many_path() + path).status_code == 422


def test_nothing_ticked_is_nothing_to_do(console: Console) -> None:
    assert "Nothing is ticked" in console.text(ticked("cancel"))


def test_more_than_one_plan_may_have_is_refused(
    console: Console, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "MOST", 3)
    undertaker.request("a", "b", "c", "d")
    response = console.get(every("cancel", state="pending"))
    assert (response.status_code, "more than 3 match" in words(response.text)) == (409, True)
