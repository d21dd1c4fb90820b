"""A project that moves to another account takes along what its deleted jobs left behind, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from tests.execution.test_executor import CLOCK
from worker.ledger.deletions import Ledger
from worker.ledger.places import Places
from worker.ledger.project_moves import adopt_users, carry
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

ACT = {"act": "project.moved", "id": "m1"}
OURS = ("erasures", "erasure:", "left", "assets", "verdicts")


class Mute:
    """A source of whose process nothing leaves: it dies before that."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def run_script(self, name: str, *args: Any) -> dict[str, Any]:
        return {"gone": 0} if name == "depart" else self._ledger.run_script(name, *args)


class Late:
    """A source in which something happens after all was delivered, and before it leaves."""

    def __init__(self, ledger: Ledger, happens: Callable[[], object]) -> None:
        self._ledger, self._happens = ledger, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def run_script(self, name: str, *args: Any) -> dict[str, Any]:
        self._happens()
        return self._ledger.run_script(name, *args)


def move(estate: Estate, to: str = "b", meanwhile: Callable[[], object] = lambda: None) -> None:
    """What the estate reads from then on is the other account's. Whoever carries first dies half way; `meanwhile`
    happens then."""
    source = estate.ledger
    target = Ledger(estate.redis, to, source.policy, clock=CLOCK, clocks=estate.clocks, patience_s=0.2)
    ledgers = {source.account: source, to: target}
    if estate.redis.hget(source.keys.projects, DEMO_PROJECT) is None:
        Places(estate.redis, lambda _: source.account, ledgers.__getitem__).claim(DEMO_PROJECT, source.account)
    places = Places(estate.redis, lambda _: to, ledgers.__getitem__)
    assert places.begin_move(DEMO_PROJECT, to) == source.account
    every = list(places.members(source.account, DEMO_PROJECT))
    assert list(carry(Mute(source), target, DEMO_PROJECT, every, ACT)) == [0]  # type: ignore[arg-type]
    meanwhile()
    adopt_users(source, target, DEMO_PROJECT)
    assert list(carry(source, target, DEMO_PROJECT, every, ACT)) == [len(set(every))]
    assert places.end_move(DEMO_PROJECT, source.account, to, estate.ledger.now_ms())
    estate.ledger = target
    estate.trust_the_key()


def left_in(estate: Estate, account: str) -> dict[str, Any]:
    """What an account has of erasures: by key."""
    prefix = estate.redis.keys(f"*{{{account}}}:*")
    found = {name.decode().rpartition("}:")[2]: name for name in prefix}
    return {name: key for name, key in found.items() if name.startswith(OURS)}


@pytest.mark.parametrize("when", ["before the looks", "before the parts go", "after its end"])
def test_an_erasure_goes_on_in_the_other_account(estate: Estate, when: str) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, app_user_id="user-77")
    estate.delete(JOB, app_user="user-77")
    if when == "before the parts go":
        estate.later(66)
        estate.pass_time(601)
        estate.observer().work()
    elif when == "after its end":
        estate.to_the_end()
    before = estate.erasure()
    move(estate)
    after = estate.erasure()
    assert {name: value for name, value in after.items() if name != "leases"} == {
        name: value for name, value in before.items() if name != "leases"
    }
    assert set(left_in(estate, "default")) <= {"verdicts"}
    assert {int(many) for many in estate.redis.hvals("eraser:{default}:verdicts")} <= {0}  # type: ignore[union-attr]
    estate.to_the_end()
    estate.later(DAY_S)
    assert estate.verdict() == "whole_by_acknowledgement closed"
    assert estate.parts() == {
        "model_asset": "purged us",
        "voice_job": "absent_seen_before us",
        "voice_asset": "purged us",
    }
    assert estate.redis.hgetall(estate.ledger.prefix + "verdicts")[b"whole_by_acknowledgement"] == b"1"  # type: ignore[index]
    assert estate.redis.hlen(estate.ledger.prefix + "assets") == 3


def test_what_was_left_behind_and_when_somebody_looks_next_is_the_same_in_the_other_account(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_avatar("job-2", voice=False)
    estate.delete(JOB)
    estate.to_the_end()
    estate.delete("job-2")
    indexes = ("left", "erasures")
    before = [estate.redis.zrange(estate.ledger.prefix + index, 0, -1, withscores=True) for index in indexes]
    assert [len(each) for each in before] == [1, 1]  # type: ignore[arg-type]
    estate.pass_time(7.0)
    move(estate)
    assert [estate.redis.zrange(estate.ledger.prefix + index, 0, -1, withscores=True) for index in indexes] == before


def test_a_look_that_ends_between_two_times_of_carrying_is_carried(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.later(66, 600)
    estate.pass_time(DAY_S)
    looked, now = estate.ledger.lease_erasures()
    observer = estate.observer()
    move(estate, meanwhile=lambda: observer._look_at(looked, int(now)))
    assert estate.verdict() == "partial closed"
    assert estate.redis.zcard(estate.ledger.prefix + "erasures") == 0
    assert estate.redis.zcard(estate.ledger.prefix + "left") == 1
    counted: Any = estate.redis.hgetall(estate.ledger.prefix + "verdicts")
    assert {word: many for word, many in counted.items() if many != b"0"} == {b"partial": b"1"}


@pytest.mark.parametrize(
    "what", ["a look is recorded", "its record is written", "a person wants a look", "an index is repaired"]
)
def test_what_changes_after_it_was_delivered_stays_for_the_next_time(estate: Estate, what: str) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    job, source, left = Target(DEMO_PROJECT, JOB), estate.ledger, estate.ledger.prefix + "left"
    if what == "an index is repaired":
        estate.to_the_end()
        estate.redis.zrem(left, str(job))
    estate.pass_time(66)
    looked, now = source.lease_erasures()
    observer = estate.observer()
    changes: dict[str, Callable[[], object]] = {
        "a look is recorded": lambda: observer._look_at(looked, int(now)),
        "its record is written": lambda: estate.redis.hset(f"{source.prefix}erasure:{job}", "looks", "1"),
        "a person wants a look": lambda: source.look_now(job),
        "an index is repaired": lambda: estate.redis.zadd(left, {str(job): now}),
    }

    def change() -> None:
        target = Ledger(estate.redis, "b", source.policy, clock=CLOCK, clocks=estate.clocks, patience_s=0.2)
        late = Late(source, changes[what])
        assert list(carry(late, target, DEMO_PROJECT, [str(job)], ACT)) == [0]  # type: ignore[arg-type]

    move(estate, meanwhile=change)
    left_at, next_look = (estate.redis.zscore(estate.ledger.prefix + name, str(job)) for name in ("left", "erasures"))
    match what:
        case "a look is recorded" | "its record is written":
            assert estate.erasure()["looks"] == "1"
        case "a person wants a look":
            assert next_look == 0
        case _:
            assert left_at == int(now)


def test_nothing_is_looked_at_while_it_is_carried_and_nobody_waits_behind_it(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.pass_time(66)

    def look() -> None:
        for account in ("default", "b"):
            ledger = Ledger(estate.redis, account, estate.ledger.policy, clock=CLOCK, clocks=estate.clocks)
            found, now = ledger.lease_erasures()
            assert found == []
            score: Any = estate.redis.zscore(ledger.prefix + "erasures", f"{DEMO_PROJECT}/{JOB}")
            assert score > now

    move(estate, meanwhile=look)


def test_a_look_that_was_under_way_counts_for_nothing_though_the_project_came_back(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.pass_time(66)
    looked, now = estate.ledger.lease_erasures()
    observer = estate.observer()
    move(estate)
    move(estate, to="default")
    observer._look_at(looked, int(now))
    assert (estate.verdict(), estate.erasure()["looks"]) == ("pending", "0")


def test_a_part_of_two_jobs_is_still_nobody_s_own_in_the_other_account(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_job("job-2", asset_id=f"asset-{JOB}", project_id=DEMO_PROJECT)
    estate.delete(JOB, "job-2")
    move(estate)
    assert set(left_in(estate, "default")) <= {"verdicts"}
    assert estate.redis.hgetall(estate.ledger.prefix + "assets") == {f"asset-{JOB}".encode(): b"* 2"}
    estate.to_the_end()
    assert estate.verdict() == estate.verdict("job-2") == "partial closed"
    assert estate.simulator.deletes("asset") == {}


def test_what_was_shared_with_a_job_that_nobody_remembers_is_not_the_other_one_s_own_now(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.redis.hset(estate.ledger.prefix + "assets", f"asset-{JOB}", "* 1")
    move(estate)
    assert estate.redis.hgetall(estate.ledger.prefix + "assets") == {f"asset-{JOB}".encode(): b"* 1"}
    estate.to_the_end()
    assert (estate.verdict(), estate.simulator.deletes("asset")) == ("partial closed", {})
