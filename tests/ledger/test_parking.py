"""What is parked: told by group, kept whole where it has a way back, lent to one worker, gone with its last."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.support.ledgers import CLOCK, START_MS
from worker.ledger.keys import Keys
from worker.ledger.parking import LENT_S, MOST_KEPT, Parked, ParkedKind, Parking, group_name

WHY = "no worker knows it"


def message(id_: str = "m-1", *, raw: dict[str, Any] | None = None, **more: Any) -> Parked:
    return Parked(id=id_, task="eraser.delete", why=WHY, at=float(START_MS), raw=raw, **more)


@pytest.fixture
def parking(client: redis.Redis) -> Parking:
    client.set("test:clock", repr(float(START_MS)))
    return Parking(client, clock=CLOCK)


def pass_time(client: redis.Redis, seconds: float) -> None:
    client.incrbyfloat("test:clock", seconds * 1000)


def test_a_group_is_a_kind_and_what_it_is_about(client: redis.Redis, parking: Parking) -> None:
    parking.park(ParkedKind.REFUSED, "p-1", message(raw={"body": ""}))
    pass_time(client, 5)
    parking.park(ParkedKind.REFUSED, "p-1", message("m-2", raw={"body": ""}))
    parking.park(ParkedKind.BAD, "eraser.delete", message("m-3"))
    bad, refused = sorted(parking.groups(), key=lambda group: group.name)
    assert (refused.name, refused.count, refused.ever, refused.why) == ("refused:p-1", 2, 2, WHY)
    assert (refused.since, refused.last) == (START_MS, START_MS + 5000)
    assert (bad.kind, bad.what, bad.count) == (ParkedKind.BAD, "eraser.delete", 1)
    assert [one.id for _, one in parking.each("refused:p-1")] == ["m-1", "m-2"]


def test_what_is_parked_comes_out_as_it_was(parking: Parking) -> None:
    raw = {"body": "AAE=", "headers": {"deep": [{}, [], None, "ü"]}, "properties": {}}
    wanted = message(raw=raw, project="p", job="j", times=3)
    parking.park(ParkedKind.FAULT, "eraser.delete", wanted)
    ((_, found),) = parking.lend("fault:eraser.delete")
    assert found == wanted


def test_what_is_lent_is_nobody_elses_for_a_while_and_stays_until_it_has_another_place(
    client: redis.Redis, parking: Parking
) -> None:
    parking.park(ParkedKind.REFUSED, "p", message(raw={}), wait_s=2.0)
    assert parking.lend("refused:p") == []
    pass_time(client, 2.001)
    ((line, _),) = parking.lend("refused:p")
    assert parking.lend("refused:p") == []
    assert [group.count for group in parking.groups()] == [1], "whoever took it may die"
    pass_time(client, LENT_S + 0.001)
    assert [lent for lent, _ in parking.lend("refused:p")] == [line]
    assert parking.unpark("refused:p", [line]) == 1
    assert parking.unpark("refused:p", [line]) == 0
    assert parking.groups() == []
    assert [key for key in client.scan_iter("*") if b"parked" in key] == [], "nothing is left behind"


def test_of_bad_ones_the_last_thousand_are_told_and_all_are_counted(parking: Parking) -> None:
    for number in range(MOST_KEPT + 5):
        parking.park(ParkedKind.BAD, "eraser.delete", message(f"m-{number}"))
    (group,) = parking.groups()
    assert (group.count, group.ever) == (MOST_KEPT, MOST_KEPT + 5)
    assert not [one for _, one in parking.each(group.name) if one.id == "m-0"]


def test_only_the_first_message_of_a_group_for_a_minute_is_to_be_told(client: redis.Redis, parking: Parking) -> None:
    def park(what: str, id_: str) -> str | None:
        return parking.park(ParkedKind.BAD, what, message(id_))

    assert [park("a", f"m-{number}") for number in range(3)] == ["bad:a", None, None]
    assert park("b", "m-3") == "bad:b"
    pass_time(client, 59.9)
    assert park("a", "m-4") is None
    pass_time(client, 60)
    assert park("a", "m-5") == "bad:a"
    pass_time(client, -3600)
    assert park("a", "m-6") == "bad:a", "a clock that was put back silences nothing for an hour"


def test_names_that_anybody_sends_are_harmless_and_not_without_end(client: redis.Redis, parking: Parking) -> None:
    assert group_name(ParkedKind.FOREIGN, "a b\n\x1b[31m:" + "x" * 100) == "foreign:a_b_31m_" + "x" * 56
    assert group_name(ParkedKind.FOREIGN, "") == "foreign:-"
    for number in range(600):
        parking.park(ParkedKind.FOREIGN, f"shop.task-{number}", message(f"m-{number}", raw={}))
    groups = {group.name: group.count for group in parking.groups()}
    assert len(groups) == 501
    assert groups["foreign:+"] == 100
    assert client.zcard("{eraser:parked}:in:foreign:+") == 100


def test_each_installation_has_its_own(client: redis.Redis, parking: Parking) -> None:
    parking.park(ParkedKind.BAD, "eraser.delete", message())
    assert Parking(client, Keys("staging")).groups() == []
