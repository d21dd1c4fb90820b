"""A replay in the console: the plan of the command line, its cap, its start, its progress and its end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.console_pages import Console, Form, words
from tests.support.dead_letters import PROJECT, Undertaker
from worker.interfaces.console import replays as page
from worker.ledger.holds import HoldList
from worker.model.states import State
from worker.model.target import Target
from worker.replay.job import step
from worker.services import audit

GROUP = "server_error-500-MSS.00000004"
NEW = f"/replays/new?group={GROUP}"
WHO_AND_WHY = {"reason": "TICKET-4711", "by": "ops-7"}


def plan_form(console: Console, path: str = NEW) -> dict[str, Any]:
    (form,) = [form for form in Form(console.get(path).text).forms if "reason" in form["fields"]]
    return form


def begun(console: Console, path: str = NEW, **fields: str) -> str:
    """The id of a replay that was started."""
    form = plan_form(console, path)
    response = console.post(form["to"].replace("&amp;", "&"), **form["fields"] | WHO_AND_WHY | fields)
    assert response.status_code == 303, words(response.text)
    return str(response.headers["location"]).removeprefix("/replays/")


def go_on(console: Console, undertaker: Undertaker, replay: str, to: str = "deleted") -> None:
    """What workers do until the replay waits for nobody, each letter ending so."""
    for _ in range(50):
        if step(console.app.ledger("default"), replay) is None:
            return
        while (lease := undertaker.ledger.take(worker="w1", key="k1").lease) is not None:
            undertaker.settle(lease, to=to)
    raise AssertionError("the replay does not end")


def test_the_plan_is_the_one_of_the_command_line(console: Console, command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(7)])
    undertaker.end("other", cause="refused", status=403, code=None)
    HoldList(undertaker.ledger).add([Target(PROJECT, "j0"), Target(PROJECT, "j1")], why="CASE-1", by="legal-3")
    (planned,) = command("dead", "replay", GROUP, "--reason", "T-1", "--json").json
    text = console.text(NEW)
    assert (planned["will_be_replayed"], planned["on_hold"]) == (5, 2)
    assert "5 dead letters begin a new round" in text
    assert "2 dead letters on hold: they stay dead" in text
    assert "One dead letter goes first;" in text
    assert console.app.queries("default").status().states[State.DEAD] == 8, "a plan changes nothing"


def test_a_replay_is_started_watched_and_ends(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(30)])
    replay = begun(console)
    assert "running" in console.text(f"/replays/{replay}")
    go_on(console, undertaker, replay)
    text = console.text(f"/replays/{replay}")
    assert "done all replayed deletions are finished" in text
    assert "30 deleted" in text
    assert "TICKET-4711" in text
    assert replay in console.text("/replays")
    (entry,) = audit.entries(console.app, audit.AuditFilter())
    assert (entry.by, entry.reason) == ("ops-7", "TICKET-4711")


def test_the_overview_leads_to_a_replay_that_runs(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(30)])
    replay = begun(console)
    assert "A replay is running: 0 of 30 dead letters started" in console.text("/")
    assert f'href="/replays/{replay}"' in console.get("/").text
    go_on(console, undertaker, replay)
    assert "A replay is running" not in console.text("/")


def test_a_canary_that_fails_stops_it_and_says_where_to_look(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(30)])
    replay = begun(console)
    go_on(console, undertaker, replay, to="dead")
    text = console.text(f"/replays/{replay}")
    assert "the canary failed again at its first attempt" in text
    assert "29 not started: dead as before, nothing was sent for them" in text
    assert "Show the dead letters" in text


def test_progress_is_asked_for_until_the_end_and_no_longer(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b")
    replay = begun(console)
    assert f'hx-get="/replays/{replay}" hx-trigger="every 2s"' in console.get(f"/replays/{replay}").text
    part: Any = console.get(f"/replays/{replay}", **{"HX-Request": "true"})
    assert (part.status_code, "<html" in part.text) == (200, False)
    assert 'aria-live="polite"' in part.text
    go_on(console, undertaker, replay)
    assert console.get(f"/replays/{replay}", **{"HX-Request": "true"}).status_code == 286
    assert "hx-get" not in console.get(f"/replays/{replay}").text


def test_what_died_after_the_plan_is_not_replayed(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a", "b")
    form = plan_form(console)
    undertaker.end("later")
    replay = console.post(NEW, **form["fields"] | WHO_AND_WHY).headers["location"]
    assert "2 dead letters" in console.text(replay)


@pytest.mark.parametrize("mark", ["x", "-1", "9" * 20])
def test_a_plan_that_was_tampered_with_is_refused(console: Console, undertaker: Undertaker, mark: str) -> None:
    undertaker.end("a")
    form = plan_form(console)
    response = console.post(NEW, **form["fields"] | {"mark-default": mark} | WHO_AND_WHY)
    assert response.status_code == 422
    assert "No replay yet" in console.text("/replays")


@pytest.mark.parametrize(("typed", "why"), [("", "must be confirmed"), ("100", "100 were allowed"), ("all", "digits")])
def test_more_than_a_hundred_want_their_number(console: Console, undertaker: Undertaker, typed: str, why: str) -> None:
    undertaker.end(*[f"j{n}" for n in range(101)])
    assert "Type 101 to confirm" in console.text(NEW)
    response = console.send(NEW, most=typed, **WHO_AND_WHY)
    assert response.status_code == 422
    assert why in words(response.text)
    assert words(response.text).count("Nothing was done") == 1
    assert "No replay yet" in console.text("/replays")
    assert begun(console, most="101")


def test_no_reason_no_replay(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    response = console.send(NEW, reason="", by="ops-7")
    assert (response.status_code, "Reason: give" in response.text) == (422, True)


def test_all_dead_letters_are_replayed_at_once(console: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    undertaker.end("b", cause="refused", status=403, code=None)
    replay = begun(console, "/replays/new?all=1")
    go_on(console, undertaker, replay)
    assert "2 deleted" in console.text(f"/replays/{replay}")


def test_of_very_many_the_page_comes_first_and_the_plan_follows(
    console: Console, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    undertaker.end("a", "b", "c")
    monkeypatch.setattr(page, "AT_ONCE", 2)
    first = console.get(NEW).text
    assert "Reading 3 dead letters" in words(first)
    assert "Start the replay" not in first
    (later,) = re.findall(r'hx-get="(/replays/new[^"]*)"[^>]*hx-trigger="load delay:150ms', first)
    part = console.get(later, **{"HX-Request": "true"}).text
    assert "Start the replay" in part
    assert "<html" not in part
    assert "Start the replay" in console.get(f"{NEW}&whole=1").text, "without JavaScript a link leads to it"


def test_a_running_replay_is_cancelled_with_a_reason(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"j{n}" for n in range(20)])
    replay = begun(console)
    step(console.app.ledger("default"), replay)
    assert "No further deletion starts" in console.text(f"/replays/{replay}/cancel")
    response = console.send(f"/replays/{replay}/cancel", reason="T-9", by="ops-8")
    assert "The replay is cancelled." in words(response.text)
    assert console.app.queries("default").status().states[State.DEAD] == 20
    again = console.post(f"/replays/{replay}/cancel", token=console.token(), **WHO_AND_WHY)
    assert (again.status_code, "has ended" in again.text) == (422, True)


@pytest.mark.parametrize("path", ["/replays/nothing", "/replays/nothing/cancel", "/replays/new?group=nothing"])
def test_what_there_is_not_is_said_in_words(console: Console, path: str) -> None:
    response = console.get(path)
    assert response.status_code in (404, 422)
    assert "there is no" in words(response.text).lower()
