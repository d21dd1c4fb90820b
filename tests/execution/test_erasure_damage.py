"""What other programs spoil of what jobs left behind is put aside and named, and stops the looks of no other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from worker.ledger.damage import DamageList, check
from worker.model.target import Target
from worker.services.damage import what_to_do
from worker.simulator import DEMO_PROJECT

OTHER = "job-2"
TARGETS = [Target(DEMO_PROJECT, job) for job in (JOB, OTHER)]
WHOLE = "whole_by_acknowledgement closed"
ERASURE, EXPERIMENT = f"erasure:{TARGETS[0]}", f"experiment:{TARGETS[0]}"


def both_deleted(estate: Estate, *, shared: bool = False, **how: Any) -> None:
    estate.related = "delete"
    for job in (JOB, OTHER):
        estate.simulator.add_avatar(job, voice=False, **how)
    if shared:
        estate.simulator.add_job(OTHER, asset_id=f"asset-{JOB}", project_id=DEMO_PROJECT)
    estate.delete(JOB, OTHER)
    assert [estate.ends(job) for job in (JOB, OTHER)] == ["deleted", "deleted"]


def assets(estate: Estate) -> dict[str, str]:
    raw: Any = estate.redis.hgetall(estate.ledger.prefix + "assets")
    return {name.decode(): named.decode() for name, named in raw.items()}


def put_aside(estate: Estate) -> dict[str, str]:
    return {one.name: what_to_do(one) for one in DamageList(estate.redis, "default").each()}


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    "name", ["erasures", "left", "verdicts", "parts", "assets", "experiments", ERASURE, EXPERIMENT]
)
def test_a_key_of_the_wrong_kind_stops_nobody_and_is_named(estate: Estate, name: str, checked: bool) -> None:
    """`checked`: the dispatching worker's check finds it before anybody looks."""
    both_deleted(estate)
    if name in ("experiments", EXPERIMENT):
        estate.redis.zadd(estate.ledger.prefix + "experiments", {str(TARGETS[0]): 1})
    estate.redis.delete(estate.ledger.prefix + name)
    estate.redis.set(estate.ledger.prefix + name, "oops")
    if checked or name in ("erasures", "experiments", "assets"):  # these no look can do without
        check(estate.ledger, TARGETS, keys=True)
    if name == "assets":
        estate.to_the_end()
        assert estate.verdict() == "pending", "nothing is sent until a person has looked"
        estate.ledger.resume(why="T-1")
    estate.to_the_end()
    assert estate.verdict(OTHER) == WHOLE
    assert estate.verdict() == ("unverifiable closed" if name == ERASURE else WHOLE)
    found = put_aside(estate)
    assert set(found) == {name}
    assert found[name].endswith(f"eraser damaged discard {name} --reason R"), found
    assert ("eraser resume" in found[name]) == (name == "assets")


def test_what_was_put_aside_before_anybody_looked_ends_as_unverifiable_with_a_receipt(estate: Estate) -> None:
    both_deleted(estate)
    estate.redis.delete(estate.ledger.prefix + ERASURE)
    estate.redis.rpush(estate.ledger.prefix + ERASURE, "oops")
    check(estate.ledger, TARGETS, keys=True)
    estate.to_the_end()
    assert (estate.erasure()["verdict"], "inventory" in estate.erasure()) == ("unverifiable", False)
    assert [one["er"] for one in estate.receipts() if one["er"] not in ("", "pending")] == [
        "unverifiable",
        "whole_by_acknowledgement",
    ]


def test_a_check_finds_out_anew_which_parts_several_jobs_named(estate: Estate) -> None:
    both_deleted(estate, shared=True)
    known = assets(estate)
    assert known[f"asset-{JOB}"] == "* 2"
    for lost in ("the hash", "its field", "the second name"):
        match lost:
            case "the hash":
                estate.redis.delete(estate.ledger.prefix + "assets")
            case "its field":
                estate.redis.hdel(estate.ledger.prefix + "assets", f"asset-{JOB}")
            case _:
                estate.redis.hset(estate.ledger.prefix + "assets", f"asset-{JOB}", str(TARGETS[0]))
        check(estate.ledger, TARGETS)
        assert assets(estate) == known, lost
    estate.to_the_end()
    assert estate.verdict() == estate.verdict(OTHER) == "partial closed"
    assert estate.simulator.deletes("asset") == {}


def test_a_check_finds_what_was_left_behind_and_stood_in_no_index(estate: Estate) -> None:
    both_deleted(estate, shared=True)
    estate.to_the_end()
    left = estate.redis.zrange(estate.ledger.prefix + "left", 0, -1, withscores=True)
    assert len(left) == 2  # type: ignore[arg-type]
    estate.redis.delete(estate.ledger.prefix + "left")
    check(estate.ledger, TARGETS)
    assert estate.redis.zrange(estate.ledger.prefix + "left", 0, -1, withscores=True) == left
    check(estate.ledger, TARGETS)
    assert put_aside(estate) == {}


# -- who named what ----------------------------------------------------------------------------------------------------


def test_what_several_jobs_named_is_forgotten_with_the_last_of_them(estate: Estate) -> None:
    both_deleted(estate, shared=True)
    estate.to_the_end()
    record = f"{estate.ledger.prefix}d:{TARGETS[1]}"
    estate.redis.zadd(estate.ledger.prefix + "deleted", {str(TARGETS[1]): estate.ledger.now_ms() + 50 * DAY_S * 1000})
    estate.redis.hset(record, "fin", str(int(estate.ledger.now_ms() + 50 * DAY_S * 1000)))
    estate.pass_time(40 * DAY_S)
    assert estate.ledger.forget(keep_s=30 * DAY_S) == 1
    assert assets(estate) == {f"asset-{JOB}": "* 1"}, "it is not the other one's own now"
    estate.pass_time(60 * DAY_S)
    assert estate.ledger.forget(keep_s=30 * DAY_S) == 1
    assert assets(estate) == {}
