"""The story of a night: failures arrive, a person sees their cause, tries a replay too early and then in time, and goes
back to bed. Started in the console and watched on the command line, and the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.fleet import Fleet
from tests.browser.conftest import PHONE, Visitor, Visits, start_console
from worker.model.states import State
from worker.simulator import FaultKind

# What waits since the same moment goes by name, and what is tried again keeps that order. Beside each failure there is
# an answer that is none, both times: this is no outage, however fast the worker is.
JOBS = [f"job-{n:03d}" for n in range(236)]
REFUSED = JOBS[40:56:2]
BAD = [job for job in JOBS[::2] if job not in REFUSED]
GROUP = "server_error-500-MSS.00000004"
SETTINGS = {"ERASER_RETRY_SCHEDULE": "0.2s"}


def eraser(fleet: Fleet, *words: str) -> list[dict[str, Any]]:
    """The command line, in another window."""
    done = fleet.command(*words, "--json")
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def failures_arrive(fleet: Fleet) -> None:
    fleet.plant(*JOBS)
    for job in BAD:
        fleet.metastudio.fault(FaultKind.ERROR, job, times=None)
    for job in REFUSED:
        fleet.metastudio.fault(FaultKind.FORBIDDEN, job, times=None)
    for job in JOBS[1::2]:
        fleet.metastudio.fault(FaultKind.ERROR, job, status=400)
    fleet.ask(*JOBS, why="TICKET-4700", by="svc-cleanup")


def start_replay(ops: Visitor, *, most: str | None = None) -> str:
    """Fill in the plan's form and send it; the replay's id."""
    ops.page.get_by_label("Reason").fill("TICKET-4711")
    ops.page.get_by_label("Who you are").fill("ops-7")
    if most:
        ops.page.get_by_label("Type").fill(most)
    ops.page.get_by_role("button", name="Start the replay").click()
    ops.page.wait_for_url("**/replays/replay-*")
    return ops.page.url.rpartition("/")[2]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A fixture and asked for first, so that it outlives the windows: a page that asks a dead console complains."""
    with Fleet(settings=SETTINGS) as fleet:
        yield fleet


def test_the_story_of_a_night(fleet: Fleet, context: Visits) -> None:
    url = start_console(fleet)
    ops = context(url)
    ops.open("/")
    expect(ops.page.get_by_text("No deletion has been requested yet.")).to_be_visible()

    # failures arrive; the overview says so by itself
    fleet.start_workers(1)
    failures_arrive(fleet)
    look = ops.page.get_by_role("link", name="Show the dead letters")
    look.wait_for()
    fleet.wait(lambda: fleet.states().get(State.DEAD, 0) == len(BAD) + len(REFUSED), "all the bad ones are dead")
    expect(ops.page.locator("#state-dead b")).to_have_text("118")
    ops.keep("night-1-overview")

    # groups, the largest cause first
    ops.page.get_by_role("link", name="Show the dead letters").click()
    cards = ops.page.locator("ul.cards > li")
    expect(cards).to_have_count(2)
    expect(cards.first.get_by_role("heading")).to_have_text(GROUP)
    ops.keep("night-2-dead-letters")

    # the plan; a replay that is tried too early stops itself after one letter
    cards.first.get_by_role("link", name="Replay…").click()
    expect(ops.page.get_by_role("heading", name="The plan: 110 dead letters begin a new round")).to_be_visible()
    ops.keep("night-3-plan", whole=True)
    early = start_replay(ops, most="110")
    expect(ops.page.get_by_text("the canary failed again at its first attempt").first).to_be_visible()
    expect(ops.page.get_by_text("109 not started: dead as before")).to_be_visible()
    ops.keep("night-4-stopped", whole=True)
    (status,) = eraser(fleet, "replay", "status", early)
    assert (status["state"], status["by"], status["reason"]) == ("stopped", "ops-7", "TICKET-4711")

    every_one = len(BAD) + len(REFUSED)
    fleet.wait(lambda: fleet.states().get(State.DEAD, 0) == every_one, "the canary has used up its attempts, too")

    # MetaStudio is well again: from one letter to all of them, seen here and there
    fleet.metastudio.clear_faults()
    fleet.metastudio.set_latency(2.0)  # each letter takes as long, and that is seen
    ops.page.get_by_role("link", name="Show the dead letters").click()
    ops.page.locator("ul.cards > li").first.get_by_role("link", name="Replay…").click()
    expect(ops.page.get_by_label("Who you are")).to_have_value("ops-7")
    replay = start_replay(ops, most="110")
    expect(ops.page.get_by_text(re.compile(r"started: \d+ deleted, \d+ wait")).first).to_be_visible()
    fleet.metastudio.set_latency(0.5)
    ops.keep("night-5-progress")
    (status,) = eraser(fleet, "replay", "status", replay)
    assert (status["replay"], status["total"], status["fed"] > 0) == (replay, 110, True)
    expect(ops.page.get_by_text("all replayed deletions are finished")).to_be_visible()
    expect(ops.page.locator("progress")).to_have_attribute("value", "110")
    ops.keep("night-6-done", whole=True)
    fleet.metastudio.set_latency(0.0)
    (status,) = eraser(fleet, "replay", "status", replay)
    assert (status["state"], status["deleted"]) == ("done", 110)

    # the other way round: started on the command line, watched on a phone
    phone = context(url, size=PHONE, dark=True)
    last = eraser(fleet, "dead", "replay", "--all", "--reason", "T-2", "--by", "ops-8", "--yes", "--no-wait")[-1]
    phone.open("/replays")
    phone.page.get_by_role("link", name=last["replay"]).click()
    expect(phone.page.get_by_text("all replayed deletions are finished")).to_be_visible()
    expect(phone.page.get_by_text("ops-8")).to_be_visible()
    phone.keep("night-7-phone", whole=True)

    # back to bed
    phone.page.get_by_role("link", name="Back to overview").click()
    expect(phone.page.get_by_text("Nothing is waiting and nothing is dead.")).to_be_visible()
    phone.keep("night-8-overview", whole=True)
    assert fleet.states() == {State.DELETED: len(JOBS)}
    actions = [(entry["act"], entry["by"]) for entry in eraser(fleet, "audit")]
    assert actions.count(("deletions.replayed", "ops-7")) == 2
    assert actions.count(("deletions.replayed", "ops-8")) == 1
