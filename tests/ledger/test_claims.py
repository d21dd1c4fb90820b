"""Claims are one list: what is most urgent in it is the record's, and it lives as long as the deletion is wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger.receipts import Receipts
from worker.ledger.replays import Replays, ReplayStage
from worker.model.states import Lane
from worker.model.target import Target

DAY_S = 86_400.0
A = Target(PROJECT, "a")
DEAD: dict[str, Any] = {"cause": "server_error", "status": 500}


def sweep(bench: Bench, policy: str = "old", **claim: Any) -> None:
    bench.request("a", **{"policy": policy, "by": f"policy:{policy}", "run": f"{policy}-1", "listed": True} | claim)


def withdraw(bench: Bench, run: str) -> str:
    return bench.ledger.cancel([A], why="T-1", run=run)[0][1]


def left_s(bench: Bench) -> float:
    """Until its deadline."""
    return (float(bench.record("a")["dl"]) - bench.now) / 1000


def feed(bench: Bench, name: str = "replay-1") -> Replays:
    replays = Replays(bench.ledger)
    replays.snapshot(name, [A])
    terms: dict[str, Any] = {"why": "T-2", "by": "ops", "what": "all", "groups": {}, "deadline_s": DAY_S}
    assert replays.start(replays.terms(name, mark=replays.mark(), **terms))
    replay = replays.find(name)
    assert replay is not None
    replays.requeue_batch(replay, 1, ReplayStage.REST)
    return replays


# -- in every round ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["replay", "replay job", "restore and replay", "another policy"])
def test_what_a_policy_alone_asked_for_is_asked_of_it_again_in_every_round(bench: Bench, how: str) -> None:
    sweep(bench)
    bench.settle(bench.take(), "dead", **DEAD)
    if how == "restore and replay":
        bench.ledger.discard([A], why="T-1")
        bench.ledger.restore([A], why="T-2")
    if how == "replay job":
        feed(bench)
    elif how == "another policy":
        sweep(bench, "failed")
    else:
        bench.ledger.replay([A], why="T-3", by="ops", deadline_s=DAY_S)
    lease = bench.take()
    assert lease.policies == (("old", "failed") if how == "another policy" else ("old",))
    assert lease.unsent, "nothing leaves before the policies were read again"


def test_a_replay_adds_nobody_to_those_who_ask(bench: Bench) -> None:
    bench.request("a", by="ann", why="T-1", run="r1", lane=Lane.USER)
    bench.request("a", by="bob", why="T-2")
    bench.pass_time(60)
    bench.settle(bench.take(), "dead", **DEAD)
    before = bench.record("a")
    bench.pass_time(60)
    feed(bench)
    bench.settle(bench.take())
    receipt = list(Receipts(bench.client, "default").each())[-1].fields
    assert (receipt["by"], receipt["why"], receipt["run"], receipt["at"]) == ("ann", "T-1", "r1", before["at"])
    assert json.loads(receipt["also"]) == [{"by": "bob", "why": "T-2"}]


def test_a_person_who_asks_for_a_swept_dead_letter_gets_it_whatever_the_policy_means(bench: Bench) -> None:
    sweep(bench)
    bench.settle(bench.take(), "dead", **DEAD)
    bench.request("a", by="ann", run="r1", deadline_s=DAY_S)
    assert (bench.record("a")["by"], bench.take().policies) == ("policy:old", ())


def test_once_that_person_withdraws_the_policy_is_asked_again(bench: Bench) -> None:
    sweep(bench)
    bench.settle(bench.take(), "dead", **DEAD)
    bench.request("a", by="ann", run="r1", deadline_s=DAY_S)
    assert withdraw(bench, "r1") == "claim_removed"
    assert bench.take().policies == ("old",)


@pytest.mark.parametrize("end", ["cancelled", "discarded", "deleted", "withdrawn and dead", "withdrawn in flight"])
def test_what_was_met_withdrawn_or_given_up_asks_for_nothing_more(bench: Bench, end: str) -> None:
    """A person asked, and it is over for that person: a policy that comes later has to mean it by itself."""
    bench.request("a", by="ann", deadline_s=60)
    if end == "cancelled":
        bench.ledger.cancel([A], why="T-1")
    lease = None if end == "cancelled" else bench.take()
    if lease and end.startswith("withdrawn"):
        bench.ledger.cancel([A], why="T-1")
    if lease and end == "withdrawn and dead":
        bench.settle(lease, "pending", delay_s=3600, fields={"unk": "1"})
        bench.pass_time(61)
        assert bench.turn().lease is None
    elif lease and end in ("discarded", "deleted"):
        bench.settle(lease, *(["dead"] if end == "discarded" else []))
    if end == "discarded":
        bench.ledger.discard([A], why="T-1")
    sweep(bench, force=True)
    if lease and end == "withdrawn in flight":
        bench.settle(lease, "pending", status=500)
    assert bench.record("a")["by"] == "policy:old"
    assert bench.take().policies == ("old",)


def test_who_asked_for_a_round_that_is_over_stays_in_the_history(bench: Bench) -> None:
    bench.request("a", by="ann", why="T-1")
    bench.request("a", by="bob", why="T-2")
    bench.settle(bench.take())
    bench.pass_time(60)
    bench.request("a", by="eve", force=True)
    (event,) = [json.loads(line.split(" ", 2)[2]) for line in bench.record("a")["log"].split("\n") if line[0] == "E"]
    assert [(claim["by"], claim["why"]) for claim in event["claims"]] == [("ann", "T-1"), ("bob", "T-2")]


def test_a_replay_that_is_stopped_leaves_what_somebody_asked_for_meanwhile(bench: Bench) -> None:
    """The same person in the same words: one claim, and yet a wish that was accepted."""
    bench.request("a", by="ann")
    bench.settle(bench.take(), "dead", **DEAD)
    policy_text = feed(bench)
    assert bench.request("a", by="ann") == ["=pending"]
    policy_text.cancel("replay-1", why="T-2", by="ops")
    policy_text.revert_unstarted("replay-1")
    assert bench.state("a") == "pending"


def test_a_replay_that_is_stopped_gives_every_claim_its_time_back(bench: Bench) -> None:
    bench.request("a", by="ann", deadline_s=10 * DAY_S)
    bench.request("a", by="bob", deadline_s=20 * DAY_S)
    bench.settle(bench.take(), "dead", **DEAD)
    before = bench.record("a")
    policy_text = feed(bench)
    policy_text.cancel("replay-1", why="T-2", by="ops")
    policy_text.revert_unstarted("replay-1")
    bench.pass_time(60)
    after = bench.record("a")
    assert json.loads(after["claims"]) == json.loads(before["claims"])
    assert [after[name] for name in ("dl", "by", "at")] == [before[name] for name in ("dl", "by", "at")]


def test_a_replay_that_is_stopped_brings_no_withdrawn_claim_back(bench: Bench) -> None:
    bench.request("a", by="ann", run="r1")
    bench.request("a", by="bob", run="r2", lane=Lane.USER)
    bench.settle(bench.take(), "dead", **DEAD)
    policy_text = feed(bench)
    assert withdraw(bench, "r1") == "claim_removed"
    policy_text.cancel("replay-1", why="T-2", by="ops")
    policy_text.revert_unstarted("replay-1")
    record = bench.record("a")
    assert (record["state"], record["by"], record["lane"], "claims" in record) == ("dead", "bob", "user", False)


# -- what a claim brought it takes along -------------------------------------------------------------------------------


def test_a_run_that_is_withdrawn_takes_its_deadline_along(bench: Bench) -> None:
    bench.request("a", by="shop", delay_s=2 * 3600, deadline_s=30 * DAY_S)
    bench.request("a", by="cleanup", run="r1", delay_s=600, deadline_s=3600)
    assert left_s(bench) == 3600
    assert withdraw(bench, "r1") == "claim_removed"
    assert left_s(bench) == 30 * DAY_S
    bench.pass_time(2 * 3600 + 1)
    assert bench.take().ref == A


def test_a_run_that_is_withdrawn_takes_its_lane_along(bench: Bench) -> None:
    bench.request("a", by="shop")
    bench.request("a", by="x", run="r1", lane=Lane.USER)
    assert withdraw(bench, "r1") == "claim_removed"
    assert (bench.record("a")["lane"], bench.indexes()[str(A)]) == ("bulk", ["due:bulk"])


def test_the_first_claim_too_takes_its_lane_and_deadline_along(bench: Bench) -> None:
    bench.request("a", by="x", run="r1", lane=Lane.USER, deadline_s=3600)
    bench.pass_time(60)
    bench.request("a", by="shop", deadline_s=30 * DAY_S)
    assert withdraw(bench, "r1") == "claim_removed"
    assert (bench.record("a")["lane"], left_s(bench)) == ("bulk", 30 * DAY_S)
    assert (bench.record("a")["by"], float(bench.record("a")["at"])) == ("shop", bench.now)


def test_a_deadline_that_is_given_back_is_that_of_the_call_under_way_too(bench: Bench) -> None:
    bench.request("a", by="shop")
    bench.request("a", by="x", run="r1", deadline_s=60)
    lease = bench.take()
    assert withdraw(bench, "r1") == "claim_removed"
    bench.settle(lease, "pending", delay_s=3600, status=500)
    bench.pass_time(61)
    assert bench.turn().lease is None
    assert bench.state("a") == "pending"


def test_a_deadline_asked_for_while_it_is_held_counts_from_then(bench: Bench) -> None:
    bench.request("a", by="ann", deadline_s=100 * DAY_S)
    bench.holds.add([A], why="CASE-1", by="legal")
    bench.pass_time(20 * DAY_S)
    bench.request("a", by="bob", run="r1", deadline_s=3600)
    bench.pass_time(DAY_S)
    bench.holds.remove([A])
    assert left_s(bench) == 3600
    withdraw(bench, "r1")
    assert left_s(bench) == 100 * DAY_S


def test_a_replay_of_many_claims_gives_each_the_new_deadline(bench: Bench) -> None:
    bench.request("a", by="ann", deadline_s=3600)
    bench.request("a", by="bob", run="r1", deadline_s=2 * 3600)
    bench.settle(bench.take(), "dead", **DEAD)
    bench.pass_time(DAY_S)
    bench.ledger.replay([A], why="T-1", deadline_s=DAY_S)
    assert left_s(bench) == DAY_S
    withdraw(bench, "r1")
    assert left_s(bench) == DAY_S
