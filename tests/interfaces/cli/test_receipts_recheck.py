"""`eraser receipts recheck`, `rechecks` and `back`: who looked, what came back, and requesting it once more."""

from __future__ import annotations

import pytest

from tests.support.command import Command, near
from tests.support.dead_letters import PROJECT, Undertaker
from worker.simulator import Simulator


@pytest.fixture
def metastudio(command: Command, simulator: Simulator) -> Simulator:
    simulator.fill(3)
    command.environ |= near(simulator)
    return simulator


def test_a_recheck_is_recorded_with_who_when_and_by_which_key(
    command: Command, undertaker: Undertaker, metastudio: Simulator
) -> None:
    assert "Nobody has checked the jobs of account default yet." in command("receipts", "rechecks").out
    undertaker.end("a", "b", to="deleted")
    metastudio.add_job("b")
    assert command("receipts", "recheck", "--by", "officer-1", "--since", "24h").code == 1
    (run,) = command("receipts", "rechecks", "--json").json
    assert (run["by"], run["results"]) == ("officer-1", {"gone": 1, "back": 1, "unknown": 0})
    assert run["at"] < run["ended_at"]
    assert run["since"] < run["at"]
    assert run["key"] not in ("", metastudio.ak)
    table = command("receipts", "rechecks").out
    assert "officer-1" in table
    assert metastudio.ak not in table
    assert command("receipts", "recheck", "--by", "Ann Person").code == 2


def test_what_came_back_is_listed_everywhere_and_requested_by_one_command(
    command: Command, undertaker: Undertaker, metastudio: Simulator
) -> None:
    undertaker.end("a", "b", to="deleted")
    metastudio.add_job("b")
    command("receipts", "recheck")
    status = command("status")
    assert "Next: eraser receipts back list   (1 deleted job came back: MetaStudio has it again)" in status.out
    assert command("status", "--json").json[0]["came_back"] == 1
    assert "came back: a recheck found that MetaStudio has it again" in command("show", "b").out
    listed = command("receipts", "back", "list")
    assert "Next: eraser receipts back request --reason TICKET" in listed.out
    (found,) = command("receipts", "back", "list", "--json").json
    assert (found["job_id"], found["command"]) == ("b", f"eraser request b --project {PROJECT} --force")
    exported = command("receipts", "export")
    assert "1  came back: MetaStudio has them again after their deletion" in exported.err
    assert "Not erased: 1 job of this file." in exported.err
    plan = command("receipts", "back", "request", "--reason", "T-1", "--by", "ops-1")
    assert (plan.code, f"1  project {PROJECT}" in plan.out) == (3, True)
    done = command("receipts", "back", "request", "--reason", "T-1", "--by", "ops-1", "--yes")
    assert (done.code, "1 job requested again." in done.out) == (0, True), done.all
    shown = command("show", "b", "--json").json[0]
    assert (shown["state"], shown["round"], shown["requested_by"], shown["lane"]) == ("pending", 2, "ops-1", "user")
    assert "No deleted job is known to be back." in command("receipts", "back", "list").out
    assert command("status", "--json").json[0]["came_back"] == 0
    assert command("receipts", "back", "request", "--reason", "T-1", "--yes").code == 0
