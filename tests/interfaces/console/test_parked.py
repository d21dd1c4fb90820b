"""The pages of parked messages: what could not be recorded and why, and sending it again or discarding it."""

from __future__ import annotations

import re

import pytest

from tests.interfaces.cli.test_parked import park
from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import PROJECT, Undertaker
from worker.ledger.audit import AuditLog
from worker.ledger.parking import ParkedKind, Parking

WHO = {"reason": "TICKET-4711", "by": "ops-7"}
BAD, FOREIGN = "/parked/bad%3Aeraser.delete", "/parked/foreign%3Ashop.mail"


@pytest.fixture
def parking(undertaker: Undertaker) -> Parking:
    return Parking(undertaker.redis)


def test_what_now_leads_to_each_group_with_what_to_do(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.BAD, "eraser.delete", 2, raw=False)
    park(parking, ParkedKind.FOREIGN, "shop.mail")
    assert "/parked" in links(console.get("/").text)
    text = console.text("/parked")
    assert "Refused: the producer's request is wrong, and nothing was recorded" in text
    assert "correct the producer and send the requests again" in text
    assert {BAD, FOREIGN, f"{BAD}/discard", f"{FOREIGN}/send"} <= links(console.get("/parked").text)
    assert f"{BAD}/send" not in links(console.get("/parked").text), "their contents were not kept"
    assert console.get(f"{BAD}/send").status_code == 422


def test_each_message_of_a_group_has_its_reason_page_by_page(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.REFUSED, PROJECT, 120)
    path, found = f"/parked/refused%3A{PROJECT}", []
    while path:
        page = console.get(path).text
        found += re.findall(rf"{PROJECT}/(job-\d+)<", page)
        path = next((to for to in links(page) if "from=" in to), "")
    assert len(found) == len(set(found)) == 120
    assert "it cannot be" in console.text(f"/parked/refused%3A{PROJECT}")


def test_a_task_may_have_any_name(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.FOREIGN, "shop.eraser eraser ")
    park(parking, ParkedKind.FOREIGN, "shop.eraser")
    assert "eraser parked send foreign:shop.eraser --queue THEIRS" in console.text("/parked")


def test_a_message_that_was_sent_twice_is_shown_twice(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.REFUSED, PROJECT)
    park(parking, ParkedKind.REFUSED, PROJECT, why="the project is unknown")
    text = console.text(f"/parked/refused%3A{PROJECT}")
    assert ("it cannot be" in text, "the project is unknown" in text) == (True, True)


def test_a_group_is_discarded_and_that_is_in_the_audit(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.BAD, "eraser.delete", 101, raw=False)
    refused = console.send(f"{BAD}/discard", **WHO)
    assert (refused.status_code, len(parking.groups())) == (422, 1), "more than 100 need their number"
    assert "101 messages discarded." in words(console.send(f"{BAD}/discard", most="101", **WHO).text)
    assert parking.groups() == []
    (entry,) = AuditLog(parking._client, "default").newest()
    assert (entry.action, entry.by, entry.of, entry.results) == (
        "messages.given_up", "ops-7", "bad:eraser.delete", {"discarded": 101},
    )  # fmt: skip
    gone = console.get(f"{BAD}/discard")
    assert (gone.status_code, "is empty now" in gone.text) == (404, True)


def test_what_is_not_ours_goes_to_no_queue_of_ours(console: Console, parking: Parking) -> None:
    park(parking, ParkedKind.FOREIGN, "shop.mail")
    assert console.send(f"{FOREIGN}/send", queue="eraser", **WHO).status_code == 422
    assert [group.count for group in parking.groups()] == [1]
