"""Leases taken ahead, and settlements that wait for the next take: nothing of them is lost, or used twice."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from tests.execution.test_executor import Shop
from tests.support.ledgers import Bench
from tests.support.waiting import PATIENCE_S, wait_until
from worker.execution import executor as executors
from worker.execution import prefetch as prefetched
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.execution.prefetch import MOST_AHEAD, Prefetch, Result, Slot
from worker.ledger.deletions import Ledger
from worker.ledger.types import DeletionRequest, GateSignal, Lease, Settlement
from worker.model.errors import Unreachable
from worker.model.target import Target

JOBS = tuple(f"job-{n:05d}" for n in range(1, 10))


class Roomy(Prefetch):
    """It always has room for three, however long calls take on a busy machine."""

    def room(self, call_ms: float) -> int:
        return min(3, super().room(0.0))


@dataclass
class Takes:
    """What executors asked the ledger for."""

    settled: list[int] = field(default_factory=list)  # by each take, of its own executor and of others
    brought: list[int] = field(default_factory=list)

    def watch(self, shop: Shop) -> None:
        take = shop.ledger.take

        def watched(*, settlement: Settlement | None = None, earlier: Sequence[Settlement] = (), **more: Any) -> Any:
            answer = take(settlement=settlement, earlier=earlier, **more)
            self.settled.append(len(earlier) + (settlement is not None))
            self.brought.append(len(answer.ahead) + (answer.lease is not None))
            return answer

        shop.ledger.take = watched  # type: ignore[method-assign]


@pytest.fixture
def takes(shop: Shop) -> Takes:
    takes = Takes()
    takes.watch(shop)
    return takes


def test_one_take_settles_and_leases_for_several_calls(shop: Shop, takes: Takes) -> None:
    shop.simulator.fill(9)
    shop.request(*JOBS)
    shop.work(prefetch=Roomy(3))
    assert [shop.ends(job) for job in JOBS] == ["deleted"] * 9
    assert shop.calls() == [f"delete {job}" for job in JOBS]
    assert sum(takes.settled) == sum(takes.brought) == 9
    assert max(takes.settled) == max(takes.brought) == 4


def test_without_room_each_call_has_a_take_of_its_own(shop: Shop, takes: Takes) -> None:
    shop.simulator.fill(3)
    shop.request(*JOBS[:3])
    shop.work(prefetch=Prefetch())
    assert max(takes.settled) == max(takes.brought) == 1


@pytest.mark.parametrize("fault", ["error", "throttled"])
def test_after_a_failure_what_was_taken_ahead_goes_back_unsent(shop: Shop, takes: Takes, fault: str) -> None:
    shop.simulator.fill(9)
    shop.request(*JOBS)
    failed, sent = JOBS[2], list[str]()
    shop.simulator.fault(fault, failed, times=1)
    shop.wire.on_delete = lambda: sent.extend(job for job in JOBS if shop.record(job)["state"] == "running")
    shop.work(prefetch=Roomy(3))
    assert max(takes.brought) == 4
    assert {*JOBS[3:5]} <= {*sent}, "they were leased when it failed"
    assert [job for job in JOBS if shop.ends(job) != "deleted"] == [failed]
    assert [len(shop.attempts(job)) for job in JOBS if job != failed] == [1] * 8


def test_a_worker_that_stops_gives_back_what_it_did_not_send(shop: Shop, takes: Takes) -> None:
    shop.simulator.fill(9)
    shop.request(*JOBS)
    calls: list[None] = []

    def stop_at_the_third() -> None:
        calls.append(None)
        if len(calls) == 3:
            shop.stopping.set()

    shop.wire.after_delete = stop_at_the_third
    shop.work(prefetch=Roomy(3))
    assert [shop.ends(job) for job in JOBS] == ["deleted"] * 3 + ["pending turn"] * 2 + ["pending"] * 4
    assert shop.redis.zcard(shop.ledger.prefix + "running") == 0


def test_whoever_has_no_more_time_calls_for_what_it_took_before(
    shop: Shop, takes: Takes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slots would have passed unused: a thirtieth of the limit at 10/s."""
    shop.simulator.fill(9)
    shop.request(*JOBS)
    clock = itertools.chain([0.0, 0.0, 0.0], itertools.repeat(1e9))  # its time is over after the second take
    monkeypatch.setattr(executors, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=time.sleep))
    shop.work(prefetch=Roomy(3))
    assert [shop.ends(job) for job in JOBS] == ["deleted"] * 5 + ["pending"] * 4
    assert takes.brought == [1, 4, 0]


def test_executors_of_one_process_use_what_any_of_them_took(shop: Shop, takes: Takes) -> None:
    """Two at once: one waits in its call until the other one has made all the others."""
    shop.simulator.fill(9)
    shop.request(*JOBS)
    shared, others_are_done, first = Roomy(3), threading.Event(), threading.Lock()
    here: list[str] = []

    def hold_one_up() -> None:
        if threading.current_thread().name == "slow" and not here:
            here.append("slow")
            assert others_are_done.wait(PATIENCE_S)

    shop.wire.on_delete = hold_one_up
    slow = threading.Thread(target=lambda: shop.executor(prefetch=shared).work(), name="slow")
    slow.start()
    wait_until(lambda: bool(here))
    with first:
        shop.executor(prefetch=shared).work()
    assert [shop.ends(job) for job in JOBS].count("deleted") == 8
    others_are_done.set()
    slow.join()
    assert [shop.ends(job) for job in JOBS] == ["deleted"] * 9
    assert max(takes.settled) > 1


# -- what nobody took on in time ---------------------------------------------------------------------------------------


@dataclass
class Process:
    """An application whose dispatcher flushes, and a lease and a result that are left."""

    app: AppContext
    bench: Bench
    prefetch: Prefetch
    leases: list[Lease]

    def state(self, n: int) -> str:
        return self.bench.state(JOBS[n])


@pytest.fixture
def process(redis_url: str, client: redis.Redis) -> Process:
    app = AppContext.load(
        {"ERASER_REDIS_URL": redis_url, "ERASER_ENDPOINT": "http://127.0.0.1:9", "ERASER_RATE": "500"}
    )
    ledger = app.ledger("default")
    client.hset(ledger.prefix + "gate", mapping={"good:k1": "1", "call_ms": "50"})
    bench = Bench(client)
    ledger.request([Target("p", job) for job in JOBS], DeletionRequest())
    turn = ledger.take(worker=app.worker, key="k1", ahead=2)
    assert turn.lease is not None
    leases = [turn.lease, *turn.ahead]
    prefetch = Prefetch(MOST_AHEAD)
    app._prefetched["default"] = prefetch
    prefetch.add([Slot(lease, 0.0) for lease in leases[1:]])
    assert prefetch.next(Result(bench.settlement(leases[0]), {})) is not None
    return Process(app, bench, prefetch, leases)


def test_what_is_new_is_left_to_the_executors(process: Process) -> None:
    process.app.flush()
    assert [process.state(n) for n in range(3)] == ["running"] * 3


def test_what_nobody_took_on_in_time_is_settled_and_given_back(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetched, "STALE_S", 0.0)
    process.app.flush()
    assert [process.state(n) for n in range(3)] == ["deleted", "running", "pending"], (
        "the second one's call is under way"
    )
    assert process.prefetch.next(None) is None
    process.app.flush()


def failing(error: Exception) -> Callable[..., Any]:
    def take(*_: object, **__: object) -> None:
        raise error

    return take


def test_what_cannot_be_settled_now_is_kept(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetched, "STALE_S", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "take", failing(Unreachable("away")))
        process.app.flush()
    process.app.flush()
    assert [process.state(n) for n in range(3)] == ["deleted", "running", "pending"]


def test_what_the_ledger_refuses_is_tried_once(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be refused with each take of the account, and nothing else be settled any more."""
    monkeypatch.setattr(prefetched, "STALE_S", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "take", failing(redis.ResponseError("WRONGTYPE")))
        process.app.flush()
    with process.prefetch.collect(give_back=True) as left:
        assert left == []


@pytest.mark.parametrize("error", [Unreachable("away"), redis.ResponseError("WRONGTYPE"), RuntimeError("a bug")])
def test_a_flush_that_fails_stops_no_dispatcher(
    process: Process, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(prefetched, "STALE_S", 0.0)
    dispatcher, ticked = Dispatcher(process.app), threading.Event()
    monkeypatch.setattr(Ledger, "take", failing(error))
    monkeypatch.setattr(dispatcher, "tick", ticked.set)
    dispatcher.start()
    try:
        assert ticked.wait(PATIENCE_S)
    finally:
        dispatcher.stop()


def test_a_flush_calls_whoever_it_counted_as_called(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetched, "STALE_S", 0.0)
    called: list[tuple[str, str]] = []
    process.app.notify = lambda account, wakeup: called.append((account, wakeup))
    process.bench.client.hdel(process.bench.p + "gate", "called_until")
    process.bench.client.delete(process.bench.p + "wakeups")
    process.app.flush()
    wakeups = process.bench.client.zrange(process.bench.p + "wakeups", 0, -1)
    assert [("default", wakeup.decode()) for wakeup in wakeups] == called  # type: ignore[union-attr]
    assert called


def test_a_dispatcher_that_stops_settles_and_gives_back_what_is_here(process: Process) -> None:
    dispatcher = Dispatcher(process.app)
    dispatcher.start()
    dispatcher.stop()
    assert [process.state(n) for n in range(3)] == ["deleted", "running", "pending"]


def test_whoever_has_nothing_to_record_waits_for_no_ledger_that_is_away(shop: Shop) -> None:
    prefetch = Prefetch()
    with prefetch.turn, pytest.raises(Unreachable):
        shop.work(prefetch=prefetch)


def test_only_where_the_dispatcher_flushes_leases_are_taken_ahead(redis_url: str) -> None:
    env = {"ERASER_REDIS_URL": redis_url, "ERASER_ENDPOINT": "http://127.0.0.1:9"}
    env |= {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK", "HUAWEICLOUD_SDK_PROJECT_ID": "p"}
    app = AppContext.load(env)
    with app.executor("default").prefetch as alone:
        assert alone.room(1.0) == 0
    app.prefetch()
    with app.executor("default").prefetch as shared:
        assert shared.room(1.0) == MOST_AHEAD
        assert app.executor("default").prefetch is shared


# -- how much ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("executors", "call_ms", "room"), [(1, 1, 7), (1, 5, 4), (1, 50, 0), (8, 50, 3), (32, 50, 7)])
def test_no_more_is_taken_ahead_than_begins_soon(executors: int, call_ms: float, room: int) -> None:
    prefetch = Prefetch(MOST_AHEAD)
    for _ in range(executors):
        prefetch.__enter__()
    assert prefetch.room(call_ms) == room


def settled(bench: Bench, **more: Any) -> Settlement:
    bench.request("a")
    return bench.settlement(bench.take(), **more)


@pytest.mark.parametrize(
    ("make", "waits"),
    [
        (lambda bench: settled(bench), True),
        (lambda bench: settled(bench, to="pending"), False),
        (lambda bench: settled(bench, to="gone"), False),
        (lambda bench: settled(bench, signal=GateSignal("ok", key="k1", probe="account")), False),
        (lambda bench: settled(bench, signal=GateSignal("fail", key="k1")), False),
    ],
)
def test_only_a_success_that_opens_nothing_may_wait(
    client: redis.Redis, make: Callable[[Bench], Settlement], waits: bool
) -> None:
    bench = Bench(client)
    bench.open()
    assert Result(make(bench), {}).can_wait is waits
