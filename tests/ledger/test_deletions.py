"""The ledger's moves."""

from __future__ import annotations

import functools
import os
from typing import Any

import pytest
import redis

from tests.support.ledgers import CLOCK, POLICY, PROJECT, Bench
from worker.ledger import scripts
from worker.ledger.audit import AuditLog
from worker.ledger.connection import connect
from worker.ledger.damage import check
from worker.ledger.deletions import Ledger
from worker.ledger.replays import Replays
from worker.ledger.types import DeletionRequest, GateSignal, Lease, Settlement
from worker.model.errors import RefusedBySafetyRule, Unreachable
from worker.model.states import Lane
from worker.model.target import Target

DAY_S = 86_400.0


# -- request ---------------------------------------------------------------------------------------------------------


def test_a_request_is_pending_and_a_second_one_merges(bench: Bench) -> None:
    assert bench.request("a", by="ann") == ["pending"]
    assert bench.request("a", by="bob", run="r1") == ["=pending"]
    record = bench.record("a")
    assert record["by"] == "ann"
    assert '"bob"' in record["claims"]


def test_the_same_claim_twice_is_one(bench: Bench) -> None:
    bench.request("a", by="ann", run="r1")
    bench.request("a", by="ann", run="r1")
    assert "claims" not in bench.record("a")


def test_a_merge_takes_the_more_urgent_lane_and_the_earlier_time(bench: Bench) -> None:
    bench.request("a", lane=Lane.BULK, delay_s=7 * 86400)
    assert bench.record("a")["wait"] == "grace"
    bench.request("a", lane=Lane.USER)
    assert bench.indexes()[f"{PROJECT}/a"] == ["due:user"]
    assert "wait" not in bench.record("a")
    assert bench.take().ref.id == "a"


def test_a_merge_never_makes_it_less_urgent(bench: Bench) -> None:
    bench.request("a", lane=Lane.USER)
    bench.request("a", lane=Lane.BULK, delay_s=3600)
    assert bench.indexes()[f"{PROJECT}/a"] == ["due:user"]
    assert bench.take().ref.id == "a"


def test_a_merge_takes_the_earlier_deadline(bench: Bench) -> None:
    bench.request("a", deadline_s=1000)
    bench.request("a", deadline_s=500)
    bench.request("a", deadline_s=2000)
    assert float(bench.record("a")["dl"]) == bench.now + 500_000


def test_a_request_for_a_running_one_does_not_take_its_lease(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    assert bench.request("a", lane=Lane.USER) == ["=running"]
    assert bench.settle(lease, "pending", delay_s=10) == "pending"
    assert bench.indexes()[f"{PROJECT}/a"] == ["due:user"], "it comes back in the more urgent lane"


@pytest.mark.parametrize("final", ["deleted", "gone"])
def test_what_is_over_stays_over_unless_asked_again(bench: Bench, final: str) -> None:
    bench.request("a")
    bench.settle(bench.take(), final)
    assert bench.request("a") == [f"={final}"]
    assert bench.state("a") == final
    assert bench.request("a", force=True) == ["=pending"]
    assert bench.record("a")["round"] == "2"
    assert "A 1 1" in bench.record("a")["past"], "the first round's attempts stay"


def test_a_round_after_our_200_knows_that_an_absence_is_after_our_call(bench: Bench) -> None:
    """Found by reading: it would have ended as never seen, or dead because the credential sees nothing."""
    bench.request("a")
    bench.settle(bench.take(), "deleted")
    bench.request("a", force=True)
    assert bench.take().outcome_unknown


def test_a_round_counts_anew(bench: Bench) -> None:
    bench.request("a")
    counted = {"later": "4", "refused": "2", "look": "1001"}
    bench.settle(bench.take(), "pending", fields=counted, delay_s=10, wait="not_deletable_yet", status=400)
    bench.pass_time(10)
    bench.settle(bench.take(), "dead", cause="refused", status=400, code="MSS.00000003")
    bench.request("a", delay_s=5)
    assert not {"used", "cl", "later", "refused", "look", "cause", "sc", "code"} & set(bench.record("a"))
    assert bench.record("a")["wait"] == "grace"
    bench.pass_time(5)
    lease = bench.take()
    assert (lease.attempts_used, lease.calls, lease.not_deletable_count, lease.refused_count, lease.lookup_count) == (
        0,
        0,
        0,
        0,
        0,
    )


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_a_request_for_a_dead_or_cancelled_one_opens_a_new_round(bench: Bench, end: str) -> None:
    bench.request("a", policy="old-ones")
    bench.settle(bench.take(), end, cause="server_error" if end == "dead" else None)
    assert bench.request("a", by="bob")[0].endswith("pending")
    record = bench.record("a")
    assert (record["round"], '"bob"' in record["claims"] if end == "dead" else record["by"]) == (
        "2",
        True if end == "dead" else "bob",
    )
    assert "used" not in record
    assert "cause" not in record


def test_thousands_are_accepted_in_scripts_of_five_hundred(bench: Bench) -> None:
    jobs = [f"j{i}" for i in range(1201)]
    assert bench.request(*jobs) == ["pending"] * 1201
    assert bench.client.zcard(bench.p + "due:bulk") == 1201


# -- take ------------------------------------------------------------------------------------------------------------


def test_the_user_lane_goes_first_and_then_the_oldest(bench: Bench) -> None:
    bench.request("old")
    bench.pass_time(1)
    bench.request("new")
    bench.request("person", lane=Lane.USER)
    assert [bench.take().ref.id for _ in range(3)] == ["person", "old", "new"]


def test_what_is_not_due_is_not_taken(bench: Bench) -> None:
    bench.request("a", delay_s=60)
    turn = bench.turn()
    assert turn.lease is None
    assert turn.next_ms == bench.now + 60_000
    bench.pass_time(60)
    assert bench.take().ref.id == "a"


def test_a_leased_deletion_is_taken_by_nobody_else(bench: Bench) -> None:
    bench.request("a")
    bench.take()
    bench.pass_time(1)
    assert bench.turn().lease is None


def test_a_deletion_past_its_deadline_dies_without_a_call(bench: Bench) -> None:
    bench.request("a", "b", deadline_s=10)
    bench.request("c")
    bench.pass_time(11)
    assert bench.take().ref.id == "c"
    assert bench.record("a")["cause"] == "deadline"
    assert bench.state("b") == "dead"


def test_a_retry_is_never_later_than_the_deadline(bench: Bench) -> None:
    bench.request("a", deadline_s=60)
    bench.settle(bench.take(), "pending", delay_s=3600, wait="retry")
    bench.pass_time(60)
    assert bench.turn().lease is None
    assert bench.record("a")["cause"] == "deadline"


# -- settle ----------------------------------------------------------------------------------------------------------


def test_settling_keeps_the_attempt_and_clears_what_was_personal(bench: Bench) -> None:
    bench.request("a", app_user="u-17")
    lease = bench.take()
    assert lease.app_user == "u-17"
    bench.settle(lease, "deleted", attempt={"status": 200, "request_id": "abc", "outcome": "deleted"})
    record = bench.record("a")
    assert '"request_id":"abc"' in record["log"]
    assert not {"user", "tok", "wrk", "tk"} & set(record)


def test_a_wrong_token_changes_nothing(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    forged = Settlement(ref=lease.ref, token="0" * 16, to="gone", evidence="never_seen")
    assert bench.turn(forged, want=False).settled == "late running"
    assert bench.state("a") == "running"


def test_a_late_failure_loses_and_a_late_200_wins(bench: Bench) -> None:
    bench.request("a", "b")
    slow, slow_too = bench.take(), bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=["w1"], counts=True)
    second = bench.take()
    assert bench.settle(slow, "pending", delay_s=10) == "late running"
    assert bench.settle(second, "dead", cause="server_error") == "dead"
    assert bench.settle(slow, "deleted") == "deleted"
    assert bench.state("a") == "deleted"
    assert bench.settle(slow_too, "deleted") == "deleted", "from pending as well"


@pytest.mark.parametrize("to", ["dead", "gone", "cancelled", "discarded"])
def test_a_late_200_wins_against_every_state(bench: Bench, to: str) -> None:
    bench.request("a", policy="old-ones")
    slow = bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=[], counts=True)
    bench.settle(bench.take(), "dead" if to == "discarded" else to, cause="server_error" if to == "dead" else None)
    if to == "discarded":
        bench.ledger.discard([Target(PROJECT, "a")], why="T-1")
    assert bench.state("a") == to
    assert bench.settle(slow, "deleted") == "deleted"
    record = bench.record("a")
    assert record["state"] == "deleted"
    assert '"late":true' in record["log"]
    assert not {"cause", "evidence"} & set(record)


def test_after_a_late_200_a_new_round_waits_for_the_lease_that_is_still_out(bench: Bench) -> None:
    """Found by the state machine: two calls of one job would have been under way."""
    bench.request("a")
    slow = bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=[], counts=False)
    bench.take()
    bench.settle(slow, "deleted")
    bench.request("a", force=True)
    bench.request("a", lane=Lane.USER)
    bench.pass_time(1)
    assert bench.turn().lease is None
    bench.pass_time(60)
    assert bench.take().round == 2


def test_settling_and_taking_is_one_move(bench: Bench) -> None:
    bench.request("a", "b")
    first = bench.take()
    bench.pass_time(1)
    settlement = Settlement(ref=first.ref, token=first.token, to="deleted", signal=GateSignal("ok", key="k1"))
    turn = bench.turn(settlement)
    assert (turn.settled, turn.lease.ref.id if turn.lease else None) == ("deleted", "b")


def test_of_a_round_the_first_3_and_the_last_20_attempts_stay(bench: Bench) -> None:
    bench.request("a")
    for n in range(1, 41):
        bench.settle(bench.take(), "pending", attempt={"status": 500, "n": n})
    kept = [int(line.split(" ")[2]) for line in bench.record("a")["log"].split("\n") if line.startswith("A 1 ")]
    assert kept == [1, 2, 3, *range(21, 41)]


# -- repeated operations ---------------------------------------------------------------------------------------------


def test_the_history_of_many_rounds_is_bounded_and_no_move_but_the_next_round_reads_it(bench: Bench) -> None:
    """It grew by 23 attempts a round for ever, and each move read and wrote all of it."""
    for _ in range(100):
        bench.request("a", by="shop", why="T-1", force=True)
        for last in (False, False, True):
            lease = bench.take()
            cause = {"cause": "refused"} if last else {}
            bench.settle(lease, "dead" if last else "pending", status=500, **cause)
    record = bench.record("a")
    assert record["log"].count("\n") < 5, "the present round's alone"
    past = record["past"].split("\n")
    assert len(past) == 100
    assert past[0].startswith("A 1 1 "), "how it began stays"
    assert past[-1].startswith("A 99 3 ")
    assert len(past) + int(record["cut"]) == 99 * 3 + 98


def test_an_operation_repeated_under_its_number_repeats_its_first_answer(bench: Bench) -> None:
    move = scripts.load("request", clock=bench.ledger.clock)
    options = '{"lane":"bulk","delay_s":0,"deadline_s":1,"gate":"{\\"interval\\":100,\\"max_calls\\":9}"}'
    first = move.run(bench.client, bench.p, "caller", 1, options, f"{PROJECT}/a")
    bench.settle(bench.take(), "deleted")
    assert move.run(bench.client, bench.p, "caller", 1, options, f"{PROJECT}/a") == first
    assert bench.state("a") == "deleted"


def test_an_operation_that_arrives_after_its_successor_does_nothing(bench: Bench) -> None:
    move = scripts.load("request", clock=bench.ledger.clock)
    options = '{"lane":"bulk","delay_s":0,"deadline_s":1,"gate":"{\\"interval\\":100,\\"max_calls\\":9}"}'
    move.run(bench.client, bench.p, "caller", 2, options, f"{PROJECT}/a")
    assert move.run(bench.client, bench.p, "caller", 1, options, f"{PROJECT}/b") == b'{"stale":true}'
    assert f"{PROJECT}/b" not in bench.indexes()


# -- rescue ----------------------------------------------------------------------------------------------------------


def test_a_lease_that_ran_out_goes_back_and_is_marked_as_of_unknown_outcome(bench: Bench) -> None:
    bench.request("a")
    bench.take()
    assert bench.ledger.rescue(alive=[], counts=True)[0] == []
    bench.pass_time(60.1)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == [(Target(PROJECT, "a"), "pending")]
    lease = bench.take()
    assert lease.outcome_unknown
    assert lease.attempts_used == 0, "a lost worker uses no attempt"


def test_three_lost_workers_make_a_dead_letter(bench: Bench) -> None:
    bench.request("a")
    for expected in ("pending", "pending", "dead"):
        bench.take(worker="w9")
        bench.pass_time(61)
        assert bench.ledger.rescue(alive=["w1"], counts=True)[0] == [(Target(PROJECT, "a"), expected)]
    assert bench.record("a")["cause"] == "worker_lost"


@pytest.mark.parametrize(("alive", "counts"), [(["w1"], True), ([], False)])
def test_a_living_worker_and_an_outage_of_redis_count_against_nobody(
    bench: Bench, alive: list[str], counts: bool
) -> None:
    bench.request("a")
    for _ in range(5):
        bench.take(worker="w1")
        bench.pass_time(61)
        assert bench.ledger.rescue(alive=alive, counts=counts)[0] == [(Target(PROJECT, "a"), "pending")]


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_before_any_call(bench: Bench) -> None:
    bench.request("a")
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1") == [(Target(PROJECT, "a"), "cancelled")]
    assert bench.turn().lease is None


def test_cancelling_a_run_removes_only_its_claim(bench: Bench) -> None:
    bench.request("a", run="r1", by="sweep")
    bench.request("a", by="ann", lane=Lane.USER)
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="r1")[0][1] == "claim_removed"
    assert bench.record("a")["by"] == "ann"
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="r1")[0][1] == "not_claimed"
    assert bench.state("a") == "pending"


def test_a_persons_claim_counts_however_many_others_ask(bench: Bench) -> None:
    bench.request("a", by="policy:p0", run="r0", policy="p0")
    for n in range(1, 60):
        bench.request("a", by=f"policy:p{n}", run=f"r{n}", policy=f"p{n}")
    bench.request("a", by="shop", why="T-1")
    assert bench.take().policies == (), "no policy alone decides any more"


def test_what_more_asked_for_than_can_be_kept_no_run_withdraws(bench: Bench) -> None:
    for n in range(60):
        bench.request("a", by="shop", run=f"r{n}")
    for n in range(60):
        bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run=f"r{n}")
    assert bench.state("a") == "pending"
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1") == [(Target(PROJECT, "a"), "cancelled")]


def test_cancelling_a_run_removes_all_its_claims(bench: Bench) -> None:
    """Found by reading: of a run with two requesters only one claim went."""
    bench.request("a", run="r1", by="ann")
    bench.request("a", run="r1", by="bob")
    bench.request("a", run="r2", by="eve")
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="r1")[0][1] == "claim_removed"
    assert (bench.record("a")["run"], bench.record("a")["by"]) == ("r2", "eve")
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="r2")[0][1] == "cancelled"


@pytest.mark.parametrize("order", ["grace hurry", "hurry grace", "grace later hurry", "later hurry grace"])
def test_a_run_that_is_withdrawn_gives_back_the_time_that_it_took(bench: Bench, order: str) -> None:
    after_s = {"grace": 7 * DAY_S, "hurry": 60.0, "later": 30 * DAY_S}
    for run in order.split():
        bench.request("a", run=run, delay_s=after_s[run])
    score = functools.partial(bench.client.zscore, bench.p + "due:bulk", f"{PROJECT}/a")
    assert score() == bench.now + 60_000
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="hurry")[0][1] == "claim_removed"
    assert score() == bench.now + 7 * DAY_S * 1000
    assert bench.record("a")["wait"] == "grace"


def test_who_asks_again_to_be_served_sooner_keeps_that_when_a_run_goes(bench: Bench) -> None:
    for run, after_s in (("first", 7 * DAY_S), ("other", 6 * DAY_S), ("other", 60.0), ("first", 120.0)):
        bench.request("a", run=run, delay_s=after_s)
    bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="other")
    assert bench.client.zscore(bench.p + "due:bulk", f"{PROJECT}/a") == bench.now + 120_000


def test_what_is_held_gets_its_time_back_and_what_was_called_for_keeps_that_of_its_next_attempt(bench: Bench) -> None:
    for job in ("held", "called"):
        bench.request(job, run="grace", delay_s=7 * DAY_S)
        bench.request(job, run="hurry", delay_s=60.0)
    bench.holds.add([Target(PROJECT, "held")], why="CASE-1", by="legal")
    bench.pass_time(61)
    bench.settle(bench.take(), "pending", delay_s=30.0, status=500)
    for job in ("held", "called"):
        assert bench.ledger.cancel([Target(PROJECT, job)], why="T-1", run="hurry")[0][1] == "claim_removed"
    assert bench.client.zscore(bench.p + "held", f"{PROJECT}/held") > bench.now + 6 * DAY_S * 1000
    assert bench.client.zscore(bench.p + "due:bulk", f"{PROJECT}/called") < bench.now + 60_000


def test_a_cancel_that_has_to_ask_is_not_put_off_past_the_deadline(bench: Bench) -> None:
    bench.request("a", deadline_s=60)
    lease = bench.take()
    bench.ledger.cancel([lease.ref], why="T-1")
    bench.settle(lease, "pending", delay_s=3600, fields={"unk": "1"})
    assert bench.client.zscore(bench.p + "due:bulk", f"{PROJECT}/a") == float(bench.record("a")["dl"])


def test_cancel_while_a_call_is_under_way_takes_effect_if_the_outcome_allows(bench: Bench) -> None:
    bench.request("a", "b")
    first, second = bench.take(), bench.take()
    results = bench.ledger.cancel([first.ref, second.ref], why="T-1")
    assert [result for _, result in results] == ["in_flight", "in_flight"]
    assert bench.settle(first, "pending", delay_s=10) == "cancelled"
    assert bench.settle(second, "deleted") == "deleted"


def test_cancel_after_an_unknown_outcome_is_resolved_by_asking(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", delay_s=3600, fields={"unk": "1"})
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1")[0][1] == "may_be_deleted"
    lease = bench.take()
    assert lease.lookup_count == 1
    assert lease.cancel_requested


def test_a_new_request_takes_a_cancel_back(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.ledger.cancel([lease.ref], why="T-1")
    bench.request("a", by="ann")
    assert bench.settle(lease, "pending") == "pending"


def test_a_new_request_during_the_look_that_a_cancel_asked_for_takes_it_back(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", delay_s=3600, fields={"unk": "1"})
    bench.ledger.cancel([Target(PROJECT, "a")], why="T-1")
    lease = bench.take()
    assert bench.request("a", by="ann") == ["=running"]
    assert bench.settle(lease, "cancelled", called=False, used=False, attempt=None) == "pending"
    assert not bench.take().cancel_requested


def withdrawn_in_flight(bench: Bench, **claim: Any) -> Lease:
    bench.request("a", **claim)
    lease = bench.take()
    assert bench.ledger.cancel([lease.ref], why="T-1")[0][1] == "in_flight"
    return lease


def test_a_withdrawn_deletion_does_not_die_where_a_replay_would_send_it_again(bench: Bench) -> None:
    assert bench.settle(withdrawn_in_flight(bench), "dead", cause="refused", status=403) == "cancelled"


def test_a_withdrawn_deletion_whose_last_call_may_have_deleted_it_is_looked_for(bench: Bench) -> None:
    end = bench.settle(withdrawn_in_flight(bench), "dead", cause="server_error", status=500, fields={"unk": "1"})
    assert end == "pending"
    bench.pass_time(60)
    lease = bench.take()
    assert (lease.lookup_count, lease.cancel_requested) == (1, True)


def test_a_withdrawn_deletion_is_looked_for_however_many_workers_are_lost(bench: Bench) -> None:
    withdrawn_in_flight(bench)
    for _ in range(4):
        bench.pass_time(61)
        assert bench.ledger.rescue(alive=[], counts=True)[0][0][1] == "pending"
        assert bench.take().cancel_requested


def test_a_withdrawn_deletion_that_died_unlooked_for_is_only_looked_for_in_a_replay(bench: Bench) -> None:
    lease = withdrawn_in_flight(bench, deadline_s=60)
    bench.settle(lease, "pending", delay_s=3600, fields={"unk": "1"})
    bench.pass_time(61)
    assert bench.turn().lease is None
    assert bench.record("a")["cause"] == "deadline"
    bench.ledger.replay([lease.ref], why="T-2", deadline_s=100)
    again = bench.take()
    assert (again.lookup_count, again.cancel_requested) == (1, True)
    bench.settle(again, "pending", called=False, used=False, attempt=None, delay_s=3600)
    bench.pass_time(101)
    assert bench.turn().lease is None
    assert bench.request("a", by="ann") == ["=pending"]
    assert not bench.take().cancel_requested, "who asks anew means it"


# -- dead letters ----------------------------------------------------------------------------------------------------


def test_a_replay_has_a_whole_new_budget_and_keeps_the_history(bench: Bench) -> None:
    bench.request("a", by="ann")
    bench.settle(bench.take(), "pending")
    bench.settle(bench.take(), "dead", cause="server_error", status=500)
    results = bench.ledger.replay([Target(PROJECT, "a")], why="T-2", by="ops", deadline_s=100)
    assert results == [(Target(PROJECT, "a"), "pending")]
    lease = bench.take()
    assert (lease.round, lease.attempts_used, lease.calls) == (2, 0, 0)
    record = bench.record("a")
    assert record["by"] == "ann", "who asked stays who asked"
    assert record["past"].count("A 1 ") == 2


def test_replay_touches_nothing_but_dead_letters(bench: Bench) -> None:
    bench.request("a")
    results = bench.ledger.replay([Target(PROJECT, "a"), Target(PROJECT, "x")], why="T", deadline_s=100)
    assert [result for _, result in results] == ["pending", "unknown"]
    assert "round" not in bench.record("a"), "it was pending and its round is not touched"


def test_discard_and_restore(bench: Bench) -> None:
    bench.request("a", app_user="u-1")
    bench.settle(bench.take(), "dead", cause="refused", status=400)
    assert bench.ledger.discard([Target(PROJECT, "a")], why="T-3")[0][1] == "discarded"
    assert bench.turn().lease is None
    assert bench.ledger.restore([Target(PROJECT, "a")], why="T-4")[0][1] == "dead"
    assert bench.record("a")["cause"] == "refused"
    bench.ledger.replay([Target(PROJECT, "a")], why="T-5", deadline_s=100)
    assert bench.take().app_user == "u-1", "a restored dead letter can still be sent as its app user"


def test_a_discarded_one_cannot_be_restored_after_thirty_days(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="refused")
    bench.ledger.discard([Target(PROJECT, "a")], why="T-3")
    bench.pass_time(31 * 86400)
    assert bench.ledger.restore([Target(PROJECT, "a")], why="T-4")[0][1] == "too_late"


def test_a_discarded_one_is_kept_while_it_can_be_restored_however_short_others_are_kept(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="refused")
    bench.ledger.discard([Target(PROJECT, "a")], why="T-3")
    bench.pass_time(29 * 86400)
    assert bench.ledger.forget(keep_s=86400) == 1, "the entry of the audit"
    assert bench.ledger.restore([Target(PROJECT, "a")], why="T-4")[0][1] == "dead"
    bench.ledger.discard([Target(PROJECT, "a")], why="T-5")
    bench.pass_time(31 * 86400)
    while bench.ledger.forget(keep_s=86400):
        pass
    assert bench.indexes() == {}


def test_old_final_records_are_forgotten_and_dead_letters_never(bench: Bench) -> None:
    bench.request("a", "b")
    bench.settle(bench.take(), "deleted")
    bench.settle(bench.take(), "dead", cause="refused")
    bench.pass_time(401 * 86400)
    assert bench.ledger.forget(keep_s=400 * 86400) == 1
    assert bench.indexes() == {f"{PROJECT}/b": ["dead"]}


def test_one_move_forgets_no_more_than_its_limit_whatever_it_is(bench: Bench) -> None:
    bench.request(*(f"j{n}" for n in range(6)))
    for to in ("deleted", "deleted", "gone", "gone"):
        bench.settle(bench.take(), to)
    bench.ledger.cancel([Target(PROJECT, "j4"), Target(PROJECT, "j5")], why="T-1")
    bench.pass_time(401 * 86400)
    forgotten = [bench.ledger.forget(keep_s=400 * 86400, limit=3) for _ in range(4)]
    assert forgotten == [3, 3, 1, 0], "six records, and one entry of the audit"
    assert bench.indexes() == {}


def test_a_discarded_letter_forgets_its_app_user_when_it_can_be_restored_no_more(bench: Bench) -> None:
    refs = [Target(PROJECT, job) for job in ("a", "b", "c")]
    bench.request("a", "b", "c", app_user="u-7781")
    for _ in refs:
        bench.settle(bench.take(), "dead", cause="refused")
    bench.ledger.discard(refs, why="T-3")
    bench.pass_time(30 * 86400 - 1)
    assert bench.ledger.forget(keep_s=400 * 86400) == 0
    assert bench.ledger.restore(refs[:2], why="T-4") == [(refs[0], "dead"), (refs[1], "dead")]
    assert bench.record("a")["user"] == "u-7781", "a restored letter is sent as it was asked for"
    bench.ledger.discard(refs[1:2], why="T-5")
    bench.pass_time(2)
    while bench.ledger.forget(keep_s=400 * 86400, limit=1):
        pass
    known = {job: {"user", "au"} & set(bench.record(job)) for job in ("a", "b", "c")}
    assert known == {"a": {"user", "au"}, "b": {"user", "au"}, "c": set()}, "only c's thirty days are over"
    assert bench.state("c") == "discarded"


# -- Redis away ------------------------------------------------------------------------------------------------------


def test_a_dead_redis_is_said_within_the_patience() -> None:
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    ledger = Ledger(nobody, "default", POLICY, patience_s=0.2)
    with pytest.raises(Unreachable, match="ERASER_REDIS_URL"):
        ledger.request([Target(PROJECT, "a")], DeletionRequest())


def test_requests_stop_before_redis_is_full_and_what_is_pending_drains(redis_url: str) -> None:
    client = connect(redis_url)
    bench = Bench(client)
    bench.open()
    bench.request("a", "b", "c")
    first, second = bench.take(), bench.take()
    bench.pass_time(10)
    used = client.info("memory")["used_memory"]  # type: ignore[index]
    ledger = Ledger(client, "default", POLICY, clock=CLOCK)
    try:
        client.config_set("maxmemory", int(used * 1.1))
        with pytest.raises(RefusedBySafetyRule, match="maxmemory"):
            ledger.request([Target(PROJECT, "d")], DeletionRequest())
        client.config_set("maxmemory", used // 2)
        bench.settle(first, "deleted")
        bench.settle(second, "pending", wait="retry", delay_s=1)
        assert bench.turn().lease is not None
        assert bench.state("a") == "deleted"
    finally:
        client.config_set("maxmemory", 0)
    assert ledger.request([Target(PROJECT, "d")], DeletionRequest())[0].state == "pending"
    bench.check_invariant()


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
        redis.exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        redis.exceptions.ResponseError(
            "Error running script (call to f_0a): @user_script:12: @user_script: 12: -MISCONF Errors writing to the AOF"
        ),
        redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        redis.exceptions.ResponseError("BUSY Redis is busy running a script."),
        redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        redis.exceptions.AuthenticationError("invalid username-password pair"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_is_kept_until_redis_can_write_again(bench: Bench, error: redis.RedisError) -> None:
    bench.request("a")
    lease = bench.take()
    settlement = Settlement(ref=lease.ref, token=lease.token, to="deleted", signal=GateSignal("ok", key="k1"))
    tries = iter([error, error])
    send = bench.client.execute_command

    def cannot_write(*args: Any, **options: Any) -> Any:
        if failure := next(tries, None):
            raise failure
        return send(*args, **options)

    bench.client.execute_command = cannot_write  # type: ignore[method-assign]
    try:
        assert bench.turn(settlement, want=False, until_recorded=lambda: True).settled == "deleted"
    finally:
        bench.client.execute_command = send  # type: ignore[method-assign]
    assert next(tries, None) is None


def test_each_child_of_a_fork_has_its_own_name(bench: Bench) -> None:
    """Under the parent's name and number one child's request would be answered with the other's, and not recorded."""
    bench.request("a")
    parent, seq = bench.ledger._caller.next()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, " ".join(map(str, bench.ledger._caller.next())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        name, number = answer.read().split()
    assert name != parent
    assert number == "1"
    assert bench.ledger._caller.next() == (parent, seq + 1)


# -- Redis full ------------------------------------------------------------------------------------------------------


def test_a_full_redis_refuses_requests_and_goes_on_with_everything_that_drains(redis_url: str) -> None:
    client = connect(redis_url)
    bench = Bench(client)
    bench.open()
    bench.request("a", "b", "c")
    client.config_set("maxmemory", 1_000_000)
    try:
        with pytest.raises(Unreachable, match="full"):
            bench.request("d")
        assert bench.turn().lease is not None
        assert bench.ledger.rescue(alive=["w1"], counts=True)[0] == []
        assert bench.ledger.forget(keep_s=1) == 0
        assert bench.ledger.reserve_lookup() == 0.0
        assert bench.ledger.cancel([Target(PROJECT, "b")], why="T-1")[0][1] == "cancelled"
        assert bench.ledger.pause(why="T-2") is False
        assert bench.ledger.due_wakeup()[0] is None, (
            "and one account that nobody may call for stops no other's wake-ups"
        )
        bench.ledger.resume(why="T-9")
        bench.ledger.resume(why="T-10")
        bench.ledger.due_wakeup()
    finally:
        client.config_set("maxmemory", 0)
    bench.check_invariant()


def test_on_a_full_redis_dead_letters_are_grouped_replayed_or_given_up_and_a_restore_is_refused_untouched(
    redis_url: str,
) -> None:
    client = connect(redis_url)
    bench = Bench(client)
    bench.open()
    names = [f"e-{n}" for n in range(600)]
    bench.request(*names, "f-1", "f-2")
    for _ in range(602):
        bench.settle(bench.take(), "dead", cause="server_error", status=500, code="MSS.00000004")
    refs = [Target(PROJECT, name) for name in names]
    policy_text, before = Replays(bench.ledger), bench.record("f-2")
    client.config_set("maxmemory", 1_000_000)
    try:
        with pytest.raises(Unreachable, match="nothing was recorded; give it memory"):
            policy_text.snapshot("replay-1", refs)
        check(bench.ledger, refs)
        discarded = bench.ledger.discard(refs, why="T-1")
        assert {state for _, state in discarded} == {"discarded"}
        with pytest.raises(Unreachable, match="nothing was recorded; give it memory"):
            bench.ledger.restore(refs, why="T-2")
        replayed = bench.ledger.replay([Target(PROJECT, "f-1")], why="T-3", by=None, lane=Lane.USER, deadline_s=60)
        assert replayed[0][1] == "pending"
    finally:
        client.config_set("maxmemory", 0)
    assert {bench.state(name) for name in names} == {"discarded"}
    assert bench.record("f-2") == before
    actions = {entry.action: entry.results for entry in AuditLog(client, "default").newest()}
    assert actions == {"deletions.discarded": {"discarded": 600}, "deletions.replayed": {"pending": 1}}
    bench.check_invariant()
