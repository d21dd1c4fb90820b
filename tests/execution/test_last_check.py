"""The last check: whatever came between a take and its call is heard right before the DELETE, and told as it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.execution.test_executor import Shop
from tests.execution.test_second_thoughts import Mind, deletes, holds, sweep
from tests.support.ledgers import POLICY_TEXT, PROJECT, Bench
from tests.support.sleeping import sleeper
from worker.ledger.replays import Replays, ReplayStage
from worker.metastudio.response import Response, TransportFailure
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

JOB = Target(DEMO_PROJECT, "job-1")


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.simulator.add_job("job-1", app_user_id="u-1")
    return shop


# -- what comes while an executor looks
# -------------------------------------------------------------------------------------


def cancel(shop: Shop) -> Any:
    return shop.ledger.cancel([JOB], why="T-1")[0][1]


def hold(shop: Shop) -> Any:
    return holds(shop).add([JOB], why="CASE-1", by="legal")[0][1]


def hold_user(shop: Shop) -> Any:
    return holds(shop).add_user("u-1", why="CASE-1", by="legal")


def pause(shop: Shop) -> Any:
    return shop.ledger.pause(why="T-1")


def refuse_key(shop: Shop) -> None:
    """Another hand's call is refused meanwhile."""
    watch = shop.client._watch
    assert watch is not None
    watch.after(
        shop.key.credentials.signer, Response(401, None, "APIGW.0301", None, None, 10, sent_at=time.monotonic())
    )


def outlive(shop: Shop) -> None:
    shop.pass_time(120)


ACTS: dict[str, tuple[Callable[[Shop], Any], Any, str]] = {
    "cancel": (cancel, "cancelled", "cancelled"),
    "hold": (hold, "held", "held"),
    "hold of its app user": (hold_user, None, "held"),
    "pause": (pause, False, "pending turn"),
    "refused key": (refuse_key, None, "pending turn"),
    "deadline": (outlive, None, "dead deadline"),
}


def looked_at(shop: Shop, why: str) -> dict[str, Any]:
    """A deletion that an executor looks at before its DELETE, for that reason, and what the executor needs for it."""
    if why == "policy":
        sweep(shop, "job-1", delay_s=0, deadline_s=100)
        return {"still_meant": Mind(None)}
    shop.request("job-1", deadline_s=100)
    if why == "app user":
        holds(shop).add_user("u-2", why="CASE-2", by="legal")
    if why == "probe":
        outage = {"cause": "outage", "why": "500", "since": 0, "until": 0, "pause": 60_000, "delete": True}
        shop.redis.hset(shop.ledger.prefix + "closures", "account", json.dumps(outage))
        shop.redis.zadd(shop.ledger.prefix + "probes", {"account": 0})
        shop.redis.hset(shop.ledger.prefix + "gate", "closed", "1")
    return {}


# a probe tries what is closed
BETWEEN = [
    (action, why)
    for action in ACTS
    for why in ("policy", "app user", "probe")
    if (action, why) != ("refused key", "probe")
]


@pytest.mark.parametrize(("action", "why"), BETWEEN)
def test_no_call_leaves_after_what_came_while_the_executor_looked(shop: Shop, action: str, why: str) -> None:
    come, expected, end = ACTS[action]
    wired = looked_at(shop, why)
    results: list[Any] = []

    def once() -> None:
        shop.wire.after_ask = lambda: None
        results.append(come(shop))

    shop.wire.after_ask = once
    shop.work(**wired)
    assert results == [expected], "no DELETE was under way: it is done, and said so"
    assert deletes(shop) == []
    assert shop.ends("job-1") == (end if why != "probe" else end.removesuffix(" turn")), "a probe took nothing yet"


def test_what_may_be_deleted_already_is_told_as_that_and_looked_for(shop: Shop) -> None:
    shop.simulator.fault("error", "job-1")
    shop.request("job-1")
    shop.work()
    holds(shop).add_user("u-2", why="CASE-2", by="legal")
    results: list[Any] = []
    shop.wire.on_ask = lambda: results.append(cancel(shop))
    shop.work(ahead_s=11)
    assert results[0] == "may_be_deleted"
    assert shop.ends("job-1") == "cancelled", "the look found it there"
    assert deletes(shop) == ["job-1"]


def test_an_executor_whose_machine_slept_through_its_lease_knows_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.request("job-1")
    sleep = sleeper(monkeypatch)
    monkeypatch.setattr(
        "worker.execution.executor.MOMENT_S", 300.0
    )  # however long this test takes, by a clock that slept

    def asleep() -> None:
        shop.wire.on_ready = lambda: None
        sleep(600)
        shop.pass_time(600)
        assert [str(ref) for ref, _ in shop.ledger.rescue(alive=[], counts=True)[0]] == [str(JOB)], "it counts as lost"
        assert hold(shop) == "held"

    shop.wire.on_ready = asleep
    shop.work()
    assert deletes(shop) == []
    assert shop.ends("job-1") == "held"


def test_an_executor_that_was_overtaken_while_it_looked_sends_nothing(shop: Shop) -> None:
    """Held, released and taken by another hand: two looks, one call."""
    holds(shop).add_user("u-2", why="CASE-2", by="legal")
    shop.request("job-1")

    def overtaken() -> None:
        shop.wire.on_ask = lambda: None
        hold(shop)
        assert holds(shop).remove([JOB]) == [(JOB, "released")], "the next look says whose it is"
        shop.work()

    shop.wire.on_ask = overtaken
    shop.work()
    assert shop.ends("job-1") == "deleted"
    assert deletes(shop) == ["job-1"]


# -- what else may lie between -----------------------------------------------------------------------------------------


def test_a_cancel_while_a_token_is_fetched_stops_the_call(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.execution.executor.MOMENT_S", -1.0)  # as if IAM had taken long
    shop.request("job-1")
    results: list[Any] = []
    shop.wire.on_ready = lambda: results.append(cancel(shop))
    shop.work()
    assert results == ["in_flight"], "nobody knew that the call had not left"
    assert deletes(shop) == []
    assert shop.ends("job-1") == "cancelled"


def test_without_a_token_nothing_is_sent_and_no_attempt_is_used(shop: Shop) -> None:
    shop.request("job-1")
    shop.wire.no_token = Response(None, TransportFailure.TIMEOUT, None, None, None, 10, of_iam=True)
    shop.work()
    assert deletes(shop) == []
    assert shop.ends("job-1") == "pending turn"
    assert "used" not in shop.record("job-1")


def test_where_nothing_lies_between_nobody_is_asked_once_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[str] = []
    move = shop.ledger.run_script

    def counted(name: str, *args: Any, **more: Any) -> Any:
        moves.append(name)
        return move(name, *args, **more)

    monkeypatch.setattr(shop.ledger, "run_script", counted)
    monkeypatch.setattr("worker.execution.executor.MOMENT_S", 60.0)
    shop.request("job-1")
    shop.work()
    assert moves == ["request", "take", "take"]


# -- what the record says of it --------------------------------------------------------------------------------------


def lost(bench: Bench) -> dict[str, str]:
    bench.pass_time(61)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == [(Target(PROJECT, "a"), "pending")]
    return bench.record("a")


def test_a_worker_that_was_lost_while_it_looked_sent_nothing(bench: Bench) -> None:
    bench.request("a", policy="old", listed=True)
    lease = bench.take()
    assert lease.unsent
    assert "unk" not in lost(bench)
    assert not bench.ledger.confirm(lease, key="k1")


def test_a_worker_that_was_lost_after_the_last_check_may_have_called(bench: Bench) -> None:
    bench.request("a", policy="old", listed=True)
    lease = bench.take()
    assert bench.ledger.confirm(lease, key="k1", policy_text=POLICY_TEXT)
    assert bench.ledger.cancel([lease.ref], why="T-1")[0][1] == "in_flight"
    assert bench.holds.add([lease.ref], why="CASE-1", by="legal")[0][1] == "in_flight"
    assert lost(bench)["unk"] == "1"


def test_a_replay_that_is_stopped_takes_back_what_an_executor_only_looks_at(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="server_error", status=500)
    bench.holds.add_user("u-2", why="CASE-2", by="legal")
    replays = Replays(bench.ledger)
    replays.snapshot("replay-1", [Target(PROJECT, "a")])
    terms = {"why": "T-1", "by": "ops", "what": "all", "groups": {}, "mark": replays.mark(), "deadline_s": 100.0}
    assert replays.start(replays.terms("replay-1", **terms))
    replay = replays.find("replay-1")
    assert replay is not None
    replays.requeue_batch(replay, 1, ReplayStage.REST)
    lease = bench.take()
    replays.cancel("replay-1", why="T-2", by="ops")
    replays.revert_unstarted("replay-1")
    assert bench.state("a") == "dead"
    assert not bench.ledger.confirm(lease, key="k1")
