"""`eraser hold`: on hold, released, listed, imported; in words and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from worker.ledger.holds import HoldList

WHO_AND_WHY = ("--reason", "CASE-12", "--by", "legal-3")


def test_what_waits_is_held_and_removing_the_hold_sends_it(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    ended = command("hold", "add", "job-1", "job-2", *WHO_AND_WHY)
    assert ended.code == 0
    assert "held: nothing is sent until the hold is removed" in ended.out
    assert "its deletion was not requested yet" in ended.out
    shown = command("show", "job-1").out
    assert "held: on hold" in shown
    assert "by legal-3: CASE-12" in shown
    ended = command("hold", "remove", "job-1", "--reason", "closed")
    assert ended.code == 0
    assert "released: its deletion continues" in ended.out
    assert "No reason" not in ended.err
    assert undertaker.take().ref.id == "job-1"


def test_a_call_under_way_or_over_exits_1(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-2", to="deleted")
    undertaker.request("job-1")
    undertaker.take()
    ended = command("hold", "add", "job-1", "job-2", *WHO_AND_WHY, "--json")
    assert ended.code == 1
    assert [(line["job_id"], line["result"], line["done"]) for line in ended.json] == [
        ("job-1", "in_flight", False),
        ("job-2", "deleted", False),
    ]


def test_an_app_user_is_held_by_a_hash(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", app_user="u-7781")
    assert command("hold", "add", "--app-user", "u-7781", *WHO_AND_WHY).code == 0
    (line,) = command("hold", "list", "--json").json
    assert line["job_id"] is None
    assert len(line["app_user_hash"]) == 32
    listed = command("hold", "list").all
    assert "u-7781" not in listed
    assert "app user #" in listed
    undertaker.ledger.take(worker="w1", key="k1")
    shown = command("show", "job-1").out
    assert "Next: eraser hold remove --app-user U --reason TICKET" in shown
    assert "eraser hold remove job-1" not in shown, "this job itself is not on hold"
    removed = command("hold", "remove", "--app-user", "u-7781", "--reason", "closed")
    assert "1 deletion that it held goes on" in removed.out
    assert command("hold", "remove", "--app-user", "u-7781").code == 2, "a reason is needed"
    assert command("hold", "remove", "--app-user", "u-7781", "--reason", "closed").code == 1


def test_a_job_on_hold_beside_its_app_user_has_both_ways_out(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", app_user="u-7781")
    command("hold", "add", "--app-user", "u-7781", *WHO_AND_WHY)
    undertaker.ledger.take(worker="w1", key="k1")
    command("hold", "add", "job-1", *WHO_AND_WHY)
    for _ in range(2):
        shown = command("show", "job-1").out
        assert "Next: eraser hold remove job-1" in shown
        assert "or: eraser hold remove --app-user U --reason TICKET" in shown
        command("hold", "remove", "--app-user", "u-7781", "--reason", "closed")
    assert "released: its deletion continues" in command("hold", "remove", "job-1", "--reason", "closed").out
    assert command("show", "job-1", "--json").json[0]["state"] == "pending"


def test_a_file_is_imported_whatever_its_length(command: Command, undertaker: Undertaker, tmp_path: Path) -> None:
    file = tmp_path / "case.txt"
    file.write_text("# CASE-12\n" + "".join(f"job-{n}\n" for n in range(700)))
    ended = command("hold", "import", str(file), *WHO_AND_WHY, "--until", "2999-01-31")
    assert ended.code == 0
    assert "700 jobs on hold." in ended.out
    found = list(HoldList(undertaker.ledger).each())
    assert len(found) == 700
    assert {hold.until for hold in found} == {datetime(2999, 2, 1, tzinfo=UTC).timestamp() * 1000}
    assert command("hold", "import", "-", *WHO_AND_WHY, input=b"job-1\n../x\n").code == 1


def test_no_hold_is_said_in_words(command: Command) -> None:
    assert "Nothing is on hold." in command("hold", "list").out
    ended = command("hold", "remove", "job-1", "--reason", "closed")
    assert ended.code == 1
    assert "there is no hold of this job" in ended.out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("add", *WHO_AND_WHY), "give jobs, or an app user"),
        (("add", "job-1", "--app-user", "u-1", *WHO_AND_WHY), "not both"),
        (("add", "job-1", *WHO_AND_WHY, "--until", "tomorrow"), "--until: expected a time with its zone"),
        (("add", "job-1", *WHO_AND_WHY, "--until", "2001-01-31"), "has passed"),
        (("add", "job-1", *WHO_AND_WHY, "--until", "2027-02-30"), "there is no such day"),
        (("add", "job-1", "--reason", "a@b.c", "--by", "legal-3"), "never personal data"),
        (("add", "job-1", "--reason", "CASE-12", "--by", "Ann Onymous"), "opaque id"),
        (("add", "--app-user", "u-1", *WHO_AND_WHY, "--account", "nobody"), "there is no account"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_held(command: Command, args: tuple[str, ...], says: str) -> None:
    ended = command("hold", *args)
    assert ended.code == 2
    assert says in ended.all.replace("\n", " ")
    assert command("hold", "list", "--json").json == []
