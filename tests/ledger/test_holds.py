"""Holds in the ledger: nothing is sent for them, and nothing is forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger.holds import OnHold
from worker.ledger.pseudonyms import BELIEVED_S, Pseudonyms
from worker.model.states import Lane
from worker.model.target import Target

DAY_S = 86400.0


def hold(bench: Bench, *jobs: str, **terms: Any) -> list[str]:
    refs = [Target(PROJECT, job) for job in jobs]
    return [result for _, result in bench.holds.add(refs, **{"why": "CASE-1", "by": "legal"} | terms)]


def nothing_to_take(bench: Bench) -> bool:
    bench.pass_time(1)
    turn = bench.turn()
    return turn.lease is None and turn.wait_s is None


def remove(bench: Bench, *jobs: str) -> list[str]:
    return [result for _, result in bench.holds.remove([Target(PROJECT, job) for job in jobs])]


def hold_user(bench: Bench, user: str = "u-1") -> None:
    bench.holds.add_user(user, why="CASE-1", by="legal")


def test_a_hold_between_request_and_call_stops_it_and_its_removal_sends_it(bench: Bench) -> None:
    bench.request("a", "b")
    assert hold(bench, "a") == ["held"]
    assert bench.take().ref.id == "b"
    assert nothing_to_take(bench)
    assert remove(bench, "a") == ["released"]
    assert bench.take().ref.id == "a"


def test_a_job_may_be_on_hold_before_anybody_asks_for_it(bench: Bench) -> None:
    assert hold(bench, "a") == ["none"]
    assert bench.request("a", "b", lane=Lane.USER) == ["held", "pending"]
    assert bench.state("a") == "held"
    assert bench.take().ref.id == "b"
    assert nothing_to_take(bench)
    assert bench.request("a", lane=Lane.USER) == ["=held"]


def test_a_call_under_way_is_told_and_no_other_follows(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    assert hold(bench, "a") == ["in_flight"]
    assert bench.settle(lease, "pending", status=500) == "pending"
    assert nothing_to_take(bench)
    assert bench.state("a") == "held"


@pytest.mark.parametrize("waits", ["not_deletable_yet", "retry"])
def test_what_is_released_waits_for_what_it_waited_for(bench: Bench, waits: str) -> None:
    bench.request("a")
    called = waits == "retry"
    bench.settle(bench.take(), "pending", wait=waits, delay_s=600.0, called=called, used=called, status=500)
    before = bench.record("a")
    hold(bench, "a")
    bench.pass_time(60)
    remove(bench, "a")
    after = bench.record("a")
    assert after["wait"] == before["wait"] == waits
    assert {name for name in before if before[name] != after.get(name)} <= {"log", "dl"}


def test_a_late_200_wins_against_a_hold(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.settle(lease, "pending", status=500)
    hold(bench, "a")
    assert bench.settle(lease) == "deleted"


def test_a_retry_and_a_replay_are_held_too(bench: Bench) -> None:
    bench.request("a", "b")
    bench.settle(bench.take(), "pending", delay_s=30.0, status=500, fields={"unk": "1"})
    bench.settle(bench.take(), "dead", cause="server_error", status=500)
    assert hold(bench, "a", "b") == ["may_be_deleted", "dead"]
    bench.ledger.replay([Target(PROJECT, "b")], why="T-1", deadline_s=DAY_S)
    bench.pass_time(60)
    assert nothing_to_take(bench)
    assert {bench.state("a"), bench.state("b")} == {"held"}


def test_the_time_that_is_left_stands_still_while_it_is_held(bench: Bench) -> None:
    bench.request("a", deadline_s=10 * DAY_S)
    hold(bench, "a")
    bench.pass_time(100 * DAY_S)
    remove(bench, "a")
    lease = bench.take()
    assert lease.deadline_left_s == pytest.approx(10 * DAY_S, abs=1)


def test_what_waits_for_its_grace_goes_back_to_it(bench: Bench) -> None:
    bench.request("a", delay_s=7 * DAY_S)
    hold(bench, "a")
    bench.pass_time(DAY_S)
    remove(bench, "a")
    assert bench.record("a")["wait"] == "grace"
    assert nothing_to_take(bench)
    bench.pass_time(6 * DAY_S + 1)
    assert bench.take().ref.id == "a"


def test_a_hold_with_a_date_ends_by_itself(bench: Bench) -> None:
    bench.request("a")
    hold(bench, "a", until_ms=bench.now + 3_600_000)
    assert bench.holds.release_in_time() == 0
    bench.pass_time(3601)
    assert bench.holds.release_in_time() == 1
    assert list(bench.holds.each()) == []
    assert bench.take().ref.id == "a"


def test_a_hold_is_replaced_by_a_second_one_date_and_all(bench: Bench) -> None:
    hold(bench, "a", until_ms=bench.now + 1000)
    hold(bench, "a", why="CASE-2")
    bench.pass_time(3600)
    bench.holds.release_in_time()
    (one,) = bench.holds.each()
    assert (one.ref, one.reason, one.by, one.until) == (Target(PROJECT, "a"), "CASE-2", "legal", None)


def test_a_cancel_takes_what_is_held(bench: Bench) -> None:
    bench.request("a")
    hold(bench, "a")
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1") == [(Target(PROJECT, "a"), "cancelled")]
    assert remove(bench, "a") == ["removed"]
    assert remove(bench, "a") == ["not_held"]


def test_a_cancel_of_what_may_be_deleted_is_looked_at_in_spite_of_the_hold(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", delay_s=3600, status=500, fields={"unk": "1"})
    hold(bench, "a")
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1")[0][1] == "may_be_deleted"
    lease = bench.take()
    assert lease.cancel_requested, "the executor only looks"


def test_a_cancel_does_not_overtake_a_call_of_an_earlier_round(bench: Bench) -> None:
    bench.request("a")
    lost = bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=[], counts=False)
    bench.take()  # its call is under way when the lost one's answer comes
    assert bench.settle(lost) == "deleted"
    bench.request("a", force=True)
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1")[0][1] == "may_be_deleted"
    assert nothing_to_take(bench)
    bench.pass_time(61)
    assert bench.take().cancel_requested


def test_an_app_users_jobs_are_held_when_an_executor_would_take_them(bench: Bench) -> None:
    bench.request("a", app_user="u-1")
    bench.request("b", app_user="u-2")
    hold_user(bench)
    lease = bench.take()
    assert (lease.ref.id, lease.owner_lookup) == ("b", True), "who asked may name anybody: a look decides"
    assert nothing_to_take(bench)
    assert bench.state("a") == "held"
    assert bench.holds.remove_user("u-1") == (True, 1)
    assert bench.take().ref.id == "a"
    assert bench.holds.remove_user("u-1") == (False, 0)


def test_whose_job_is_not_known_is_looked_up_first_while_an_app_user_is_on_hold(bench: Bench) -> None:
    bench.request("a")
    hold_user(bench)
    lease = bench.take()
    assert lease.owner_lookup
    assert not bench.ledger.confirm(lease, key="k1", owner=bench.ledger.users.hashed("u-1"))
    bench.settle(lease, "pending", called=False, used=False, attempt=None)
    assert nothing_to_take(bench)
    assert bench.state("a") == "held"


def test_what_a_look_found_outlives_whatever_a_caller_says(bench: Bench) -> None:
    """Said once more while it is held, as a dead letter, and when it is replayed."""
    hold_user(bench)
    bench.request("a", app_user="u-2")
    owner = bench.ledger.users.hashed("u-1")
    lease = bench.take()
    assert not bench.ledger.confirm(lease, key="k1", owner=owner)
    bench.settle(lease, "pending", called=False, used=False, attempt=None)
    assert nothing_to_take(bench)
    bench.request("a", app_user="u-3", by="somebody")
    hold_user(bench, "u-9")
    bench.holds.remove_user("u-9")
    assert nothing_to_take(bench)
    bench.holds.remove_user("u-1")
    bench.settle(bench.take(), "dead", cause="server_error", status=500)
    hold_user(bench)
    for again in ("request", "replay"):
        if again == "request":
            bench.request("a", app_user="u-4", by="somebody else")
        else:
            bench.ledger.replay([Target(PROJECT, "a")], why="T-1", deadline_s=86400)
        assert nothing_to_take(bench)
        assert (bench.state("a"), bench.record("a")["owner"]) == ("held", owner)
        bench.holds.remove_user("u-1")
        bench.settle(bench.take(), "dead", cause="server_error", status=500)
        hold_user(bench)


def test_a_caller_who_names_somebody_on_hold_is_believed_until_a_look_says_otherwise(bench: Bench) -> None:
    bench.request("a", app_user="u-1")
    bench.request("b", app_user="u-1")
    bench.holds.add_user("u-2", why="CASE-2", by="legal")
    lease = bench.take()
    hold_user(bench)
    assert bench.ledger.confirm(lease, key="k1", owner="-"), "a look found that it is nobody's"
    assert nothing_to_take(bench)
    assert bench.state("b") == "held"


def test_whose_job_nobody_can_say_stays_held_and_is_asked_again(bench: Bench) -> None:
    bench.request("a")
    hold_user(bench)
    unsaid = {"called": False, "used": False, "attempt": None, "delay_s": 30.0}
    assert bench.settle(bench.take(), "held", **unsaid) == "held"
    bench.holds.release_in_time()
    assert nothing_to_take(bench)
    bench.pass_time(31)
    assert bench.holds.release_in_time() == 1
    again = bench.take()
    assert again.owner_lookup
    assert bench.settle(again, "held", **unsaid) == "held"
    assert bench.holds.remove_user("u-1") == (True, 1)
    bench.pass_time(31)
    assert not bench.take().owner_lookup


def test_the_ledger_shows_no_app_user_that_is_on_hold(bench: Bench) -> None:
    hold_user(bench, "somebody-7781")
    raw: Any = bench.client.hgetall(bench.p + "holds:users")
    assert b"somebody" not in json.dumps({k.decode(): v.decode() for k, v in raw.items()}).encode()
    assert bench.holds.now() == OnHold(frozenset(), frozenset({bench.ledger.users.hashed("somebody-7781")}))


def test_a_deletion_that_ended_keeps_no_trace_of_its_app_user(bench: Bench) -> None:
    bench.request("a", app_user="u-1")
    hold_user(bench, "u-2")
    lease = bench.take()
    assert bench.ledger.confirm(lease, key="k1", owner=bench.ledger.users.hashed("u-1"))
    bench.settle(lease)
    assert {"user", "au", "owner"} & set(bench.record("a")) == set()


def test_thousands_are_held_and_released_in_round_trips_of_500(bench: Bench) -> None:
    jobs = [f"job-{n}" for n in range(1200)]
    bench.request(*jobs, app_user="u-1")
    assert set(hold(bench, *jobs)) == {"held"}
    assert bench.client.zcard(bench.p + "held") == 1200
    assert set(remove(bench, *jobs)) == {"released"}


@pytest.mark.parametrize("how", ["it ended", "a person removed it"])
def test_what_an_app_users_hold_held_goes_on_though_who_released_it_died_halfway(bench: Bench, how: str) -> None:
    bench.request("a", app_user="u-1")
    user = bench.ledger.users.hashed("u-1")
    bench.holds.add_user("u-1", why="CASE-1", by="legal", until_ms=bench.now + 60_000 if how == "it ended" else None)
    assert nothing_to_take(bench)
    bench.pass_time(61)
    bench.ledger.run_script("release", {"ended": True} if how == "it ended" else {"user": user})  # and dead
    assert bench.holds.release_in_time() == 1
    assert bench.take().ref.id == "a"
    assert bench.client.zcard(f"{bench.p}holds:ends") == 0


def test_a_hold_that_begins_anew_while_the_last_ones_end_is_carried_out_keeps_its_date(bench: Bench) -> None:
    hold_user(bench)
    user = bench.ledger.users.hashed("u-1")
    bench.ledger.run_script("release", {"user": user})
    bench.holds.add_user("u-1", why="CASE-2", by="legal", until_ms=bench.now + 60_000)
    bench.ledger.run_script("release", {"looked_through": [f"u {user}"]})
    assert bench.client.zscore(f"{bench.p}holds:ends", f"u {user}") == bench.now + 60_000
    bench.pass_time(61)
    bench.holds.release_in_time()
    assert list(bench.holds.each()) == []


def test_a_cancel_after_a_hold_that_outlasted_the_deadline_is_resolved_by_asking(bench: Bench) -> None:
    bench.request("a", deadline_s=10 * DAY_S)
    bench.settle(bench.take(), "pending", delay_s=30.0, status=500, fields={"unk": "1"})
    assert hold(bench, "a") == ["may_be_deleted"]
    bench.pass_time(100 * DAY_S)
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1") == [(Target(PROJECT, "a"), "may_be_deleted")]
    lease = bench.take()
    assert lease.cancel_requested
    assert lease.deadline_left_s == pytest.approx(10 * DAY_S, abs=60)


def test_an_app_user_that_is_no_text_is_somebody_too(bench: Bench) -> None:
    assert bench.ledger.users.hashed("\ud800") != bench.ledger.users.hashed("\ud801")


def test_a_redis_that_was_lost_takes_its_key_along_in_every_process(bench: Bench) -> None:
    now = 0.0
    old = Pseudonyms(bench.client, "default", clock=lambda: now)
    before = old.hashed("u-1")
    assert before == bench.ledger.users.hashed("u-1")
    bench.client.flushall()
    now += BELIEVED_S
    after = Pseudonyms(bench.client, "default").hashed("u-1")
    assert old.hashed("u-1") == after != before, "otherwise it would meet no hold that is put on anew"
