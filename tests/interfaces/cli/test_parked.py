"""`eraser parked`: people see what could not be recorded, why, and what to type."""

from __future__ import annotations

import json

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.ledger.parking import Parked, ParkedKind, Parking

RAW = {
    "body": "W10=",
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "headers": {"task": "eraser.delete", "id": "m-0"},
    "properties": {"priority": 0},
    "queue": "eraser",
}


@pytest.fixture
def parking(undertaker: Undertaker) -> Parking:
    return Parking(undertaker.redis)


def park(
    parking: Parking, kind: ParkedKind, what: str, number: int = 1, *, raw: bool = True, why: str = "it cannot be"
) -> None:
    for n in range(number):
        message = Parked(f"m-{n}", what, why, 1_800_000_000_000.0, PROJECT, f"job-{n}", 1, RAW if raw else None)
        parking.park(kind, what, message)


def test_nothing_parked_is_said_in_words(command: Command) -> None:
    assert "Nothing is parked" in command("parked", "list").out
    assert command("parked", "list", "--json").out == ""


def test_each_group_says_why_and_what_to_type(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.REFUSED, PROJECT, 3)
    park(parking, ParkedKind.BAD, "eraser.delete", raw=False)
    output = command("parked", "list").out
    assert f"refused:{PROJECT}" in output
    assert "add the project to the settings of the workers" in output
    assert "correct the producer" in output
    lines = {line["group"]: line for line in command("parked", "list", "--json").json}
    assert lines[f"refused:{PROJECT}"]["count"] == 3
    assert set(lines["bad:eraser.delete"]) == {"group", "kind", "what", "count", "ever", "since", "last", "why"}


def test_each_message_of_a_group_is_told_but_not_what_it_says(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.REFUSED, PROJECT, 60)
    output = command("parked", "list", f"refused:{PROJECT}").out
    assert "job-0" in output
    assert "and 10 more" in output
    lines = command("parked", "list", f"refused:{PROJECT}", "--json").json
    assert len(lines) == 60
    assert lines[0] == {
        "id": "m-0",
        "task": PROJECT,
        "project_id": PROJECT,
        "job_id": "job-0",
        "why": "it cannot be",
        "at": "2027-01-15T08:00:00.000Z",
        "times": 1,
        "kept": True,
    }


def test_an_unknown_group_is_told_with_those_there_are(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.FOREIGN, "shop.mail")
    ended = command("parked", "send", "foreign:shop.nail", "--queue", "q", "--reason", "T-1")
    assert ended.code == 2
    assert "foreign:shop.mail" in ended.err


def test_a_celery_variable_that_would_beat_our_broker_exits_2_before_anything_is_sent(
    command: Command, parking: Parking
) -> None:
    park(parking, ParkedKind.FAULT, "eraser.delete", 7)
    send = ("parked", "send", "fault:eraser.delete", "--reason", "T-1")
    ended = command(*send, CELERY_BROKER_URL="redis://elsewhere:6379/1")
    assert ended.code == 2
    assert "unset CELERY_BROKER_URL" in ended.err
    assert [group.count for group in parking.groups()] == [7]


def test_sending_brings_them_to_the_broker_and_into_the_audit(
    command: Command, parking: Parking, undertaker: Undertaker
) -> None:
    park(parking, ParkedKind.FAULT, "eraser.delete", 7)
    ended = command.process("parked", "send", "fault:eraser.delete", "--reason", "T-1", "--by", "ops-1")
    assert (ended.code, ended.out) == (0, "7 messages sent to eraser.\n")
    assert undertaker.redis.llen("eraser") == 7
    assert parking.groups() == []
    (action,) = command("audit", "--json").json
    assert (action["act"], action["by"], action["reason"]) == ("messages.sent_back", "ops-1", "T-1")
    assert action["results"] == {"sent": 7}
    assert "fault:eraser.delete" in command("audit").out


def test_a_broker_that_is_away_leaves_them_parked(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.FAULT, "eraser.delete", 2)
    words = ("parked", "send", "fault:eraser.delete", "--reason", "T-1")
    ended = command.process(*words, ERASER_BROKER_URL="redis://127.0.0.1:1/0")
    assert ended.code == 4
    assert "stay parked" in ended.err
    assert parking.groups()[0].count == 2


@pytest.mark.parametrize(
    ("kind", "more"), [(ParkedKind.FOREIGN, []), (ParkedKind.FOREIGN, ["--queue", "eraser"]), (ParkedKind.BAD, [])]
)
def test_what_would_only_come_back_or_is_not_there_cannot_be_sent(
    command: Command, parking: Parking, kind: ParkedKind, more: list[str]
) -> None:
    park(parking, kind, "x", raw=kind is not ParkedKind.BAD)
    ended = command("parked", "send", f"{kind}:x", "--reason", "T-1", *more)
    assert ended.code == 2
    assert parking.groups()[0].count == 1


def test_the_plan_of_a_discard_counts_each_reason(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.BAD, "eraser.delete", 2, raw=False, why="no job id")
    park(parking, ParkedKind.BAD, "eraser.delete", 3, raw=False, why="no project id")
    shown = command("parked", "discard", "bad:eraser.delete", "--reason", "T-1", "--plan").out
    assert ("2  no job id" in shown, "3  no project id" in shown) == (True, True)


def test_discarding_shows_a_plan_first_and_more_than_a_hundred_need_their_number(
    command: Command, parking: Parking
) -> None:
    park(parking, ParkedKind.BAD, "eraser.delete", 101, raw=False)
    words = ["parked", "discard", "bad:eraser.delete", "--reason", "T-1"]
    too_many = "refused by max: 101 messages"
    for more, says in (([], too_many), (["--yes"], too_many), (["--max", "101"], "Dry run, nothing was done")):
        ended = command(*words, *more)
        assert ended.code == 3
        assert says in ended.err
        assert "--yes --max 101" in ended.err
    assert parking.groups()[0].count == 101
    ended = command(*words, "--yes", "--max", "101", "--json")
    assert (ended.code, ended.json) == (0, [{"group": "bad:eraser.delete", "discarded": 101}])
    (action,) = command("audit", "--json").json
    assert (action["act"], action["cap"]) == ("messages.given_up", 101)


def test_status_and_doctor_say_it(command: Command, parking: Parking) -> None:
    assert command("status", "--json").json[0]["parked"] == []
    park(parking, ParkedKind.REFUSED, PROJECT, 2)
    park(parking, ParkedKind.FOREIGN, "shop.mail")
    groups = command("status", "--json").json[0]["parked"]
    assert {one["group"]: one["count"] for one in groups} == {f"refused:{PROJECT}": 2, "foreign:shop.mail": 1}
    output = command("status").out
    assert "eraser parked list" in output
    assert "2 messages parked: no worker" in output
    checks = [json.loads(line) for line in command("doctor", "--offline", "--json").out.splitlines()]
    found = [check for check in checks if check["check"] == "parked messages"]
    assert [check["verdict"] for check in found] == ["warning", "warning"]
    assert {check["todo"] for check in found} == {"eraser parked list"}


def test_the_metrics_count_them_by_kind(command: Command, parking: Parking) -> None:
    park(parking, ParkedKind.REFUSED, PROJECT, 2)
    output = command("metrics").out
    assert 'avatar_eraser_parked_messages{kind="refused"} 2.0' in output
    assert 'avatar_eraser_parked_messages{kind="foreign"} 0.0' in output
