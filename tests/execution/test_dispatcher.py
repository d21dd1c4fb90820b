"""Who notifies, on a real Redis: one worker at a time, also when Redis is full or was away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.execution.dispatcher import FORGET_MOVES, Dispatcher
from worker.ledger.keys import OURS
from worker.ledger.types import DeletionRequest, Lease
from worker.model.states import Lane
from worker.model.target import Target


class Workshop:
    """A runtime with one account, and the wake-ups that were sent."""

    def __init__(self, redis_url: str, **settings: str) -> None:
        self.environ = {"ERASER_REDIS_URL": redis_url, "ERASER_ENDPOINT": "http://127.0.0.1:9", **settings}
        self.runtime = AppContext.load(self.environ)
        self.client = self.runtime.redis
        self.ledger = self.runtime.ledger(next(iter(self.runtime.settings.accounts)))
        self.wakeups: list[tuple[str, str]] = []

    def dispatcher(self, runtime: AppContext | None = None) -> Dispatcher:
        runtime = runtime or self.runtime
        runtime.notify = lambda account, wakeup: self.wakeups.append((account, wakeup))
        return Dispatcher(runtime)

    def another_worker(self) -> Dispatcher:
        return self.dispatcher(AppContext.load(self.environ))

    def lost_lease(self, worker: str = "long-gone") -> Lease:
        """A lease that ran out in the executors of a worker nobody heard of."""
        self.client.hset(self.ledger.prefix + "gate", "good:k1", "1")
        self.ledger.request([Target("p", "a")], DeletionRequest())
        lease = self.ledger.take(worker=worker, key="k1").lease
        assert lease is not None
        self.client.zadd(self.ledger.prefix + "running", {str(lease.ref): 1})
        return lease

    def record(self, job: str) -> dict[bytes, bytes]:
        return self.client.hgetall(f"{self.ledger.prefix}d:p/{job}")  # type: ignore[return-value]


@pytest.fixture
def shop(redis_url: str) -> Workshop:
    return Workshop(redis_url)


def test_work_that_is_due_is_rung_for_once(shop: Workshop) -> None:
    shop.ledger.request([Target("p", "a")], DeletionRequest())
    dispatcher = shop.dispatcher()
    dispatcher.tick()
    assert shop.wakeups == [("default", "1")]
    dispatcher.tick()
    assert len(shop.wakeups) == 1, "the wake-up is on its way"


def test_a_person_s_request_starts_an_executor_without_a_tick(shop: Workshop) -> None:
    dispatcher = shop.dispatcher()
    dispatcher.wait(0.01)
    assert shop.wakeups == []
    shop.ledger.request([Target("p", "a")], DeletionRequest(lane=Lane.USER))
    dispatcher.wait(10)
    assert shop.wakeups == [("default", "1")]


def test_a_dispatcher_that_dies_before_it_sends_loses_nothing(shop: Workshop) -> None:
    shop.ledger.request([Target("p", "a")], DeletionRequest(lane=Lane.USER))
    assert shop.client.bzpopmin(OURS.wake_now, 1) is not None  # type: ignore[no-untyped-call]
    shop.another_worker().tick()
    assert shop.wakeups == [("default", "1")]


def test_without_a_dispatcher_each_account_waits_once(hundreds: Workshop) -> None:
    for job in ("a", "b", "c"):
        for n in range(3):
            hundreds.runtime.ledger(f"a{n}").request([Target(f"p{n}", job)], DeletionRequest(lane=Lane.USER))
    assert hundreds.client.zcard(OURS.wake_now) == 3


def test_an_account_of_other_settings_is_left_to_those_who_know_it(shop: Workshop) -> None:
    shop.runtime.wake("somebody-s", now=True)
    shop.dispatcher().wait(1)
    assert shop.wakeups == []


def test_nothing_due_rings_nobody(shop: Workshop) -> None:
    shop.dispatcher().tick()
    assert shop.wakeups == []


def test_one_worker_at_a_time_dispatches_and_another_takes_over(shop: Workshop) -> None:
    first, second = shop.dispatcher(), shop.another_worker()
    first.tick()
    shop.ledger.request([Target("p", "a")], DeletionRequest())
    second.tick()
    assert shop.wakeups == []
    shop.client.delete(OURS.dispatcher)
    second.tick()
    assert len(shop.wakeups) == 1


def test_a_wakeup_for_an_account_that_nobody_knows_is_dropped(shop: Workshop) -> None:
    shop.runtime.wake("somebody-s", 0)
    shop.dispatcher().tick()
    assert shop.client.zcard(OURS.wakeups) == 0


def test_a_wakeup_is_moved_forward_and_never_back(shop: Workshop) -> None:
    shop.runtime.wake("default", 5_000)
    shop.runtime.wake("default", 9_000)
    assert shop.client.zscore(OURS.wakeups, "default") == 5_000
    shop.runtime.wake("default", 1_000)
    assert shop.client.zscore(OURS.wakeups, "default") == 1_000


@pytest.fixture
def hundreds(redis_url: str, tmp_path: Path) -> Workshop:
    """A runtime with 300 accounts."""
    config = tmp_path / "accounts.toml"
    one = '[accounts.a{0}]\nendpoint = "http://127.0.0.1:9"\nprojects = ["p{0}"]\nak_env = "AK"\nsk_env = "SK"\n'
    config.write_text("".join(one.format(n) for n in range(300)))
    return Workshop(redis_url, ERASER_CONFIG=str(config))


def commands(shop: Workshop) -> int:
    stats: Any = shop.client.info("stats")
    return int(stats["total_commands_processed"])


def test_hundreds_of_idle_accounts_cost_redis_two_commands_each_in_half_a_minute(hundreds: Workshop) -> None:
    dispatcher, other = hundreds.dispatcher(), hundreds.another_worker()
    before = commands(hundreds)
    dispatcher.tick()
    assert commands(hundreds) - before < 2 * 300 + 20, "the full look: is there work, and are there receipts to seal?"
    before = commands(hundreds)
    dispatcher.tick()
    assert commands(hundreds) - before <= 8, "a calm tick"
    other.tick()
    before = commands(hundreds)
    other.tick()
    assert commands(hundreds) - before <= 4, "a worker that does not dispatch: whose turn is it, and for how long?"


def test_what_waits_for_later_is_looked_at_once_and_then_when_it_is_due(hundreds: Workshop) -> None:
    for n in range(300):
        hundreds.runtime.ledger(f"a{n}").request([Target(f"p{n}", "a")], DeletionRequest(delay_s=3600))
    hundreds.client.delete(OURS.wakeups)
    dispatcher = hundreds.dispatcher()
    dispatcher.tick()
    assert hundreds.client.zcard(OURS.wakeups) == 300, "nothing had announced it"
    dispatcher._full_look = 0.0
    before = commands(hundreds)
    dispatcher.tick()
    assert commands(hundreds) - before < 300 * 14 + 20, "seen to be announced, and what time it is"


@pytest.fixture
def full(shop: Workshop) -> Workshop:
    """The same, with a Redis above its maxmemory once something is due."""
    shop.ledger.request([Target("p", "a")], DeletionRequest())
    shop.client.config_set("maxmemory", 1_000_000)
    return shop


def test_a_full_redis_is_dispatched_for_so_that_it_drains(full: Workshop) -> None:
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            full.client.set("something", "else")
        full.dispatcher().tick()
        assert len(full.wakeups) == 1
        assert full.client.zcard(OURS.workers) == 1, "and the worker is known to live"
        full.runtime.wake("default", 7, now=True)
        assert full.client.zscore(OURS.wakeups, "default") == 7
        assert full.client.zcard(OURS.wake_now) == 1
    finally:
        full.client.config_set("maxmemory", 0)


def test_a_replay_that_this_version_cannot_read_keeps_nobody_from_being_rung(shop: Workshop) -> None:
    p = shop.ledger.prefix
    shop.client.hset(f"{p}replay:r", mapping={"at": 1, "state": "running", "stage": "from_the_future"})
    shop.client.zadd(f"{p}replays:feeding", {"r": 1})
    shop.ledger.request([Target("p", "a")], DeletionRequest())
    shop.dispatcher().tick()
    assert len(shop.wakeups) == 1
    assert shop.client.zscore(OURS.wakeups, "default") is not None, "and the account is looked at again soon"


@pytest.mark.parametrize("broken", ["a0", "a1"])
def test_an_account_that_no_script_can_read_keeps_no_other_waiting(
    hundreds: Workshop, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise redis.ResponseError("user_script:30: attempt to compare nil with number")

    for account in ("a0", "a1"):
        hundreds.runtime.ledger(account).request([Target(f"p{account[1:]}", "a")], DeletionRequest())
    monkeypatch.setattr(hundreds.runtime.ledger(broken), "due_wakeup", fails)
    hundreds.dispatcher().tick()
    assert [account for account, _ in hundreds.wakeups] == [{"a0": "a1", "a1": "a0"}[broken]]


def test_a_lease_that_ran_out_with_its_worker_counts_as_lost(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.client, "info", lambda _: {"uptime_in_seconds": WORKER_TIMEOUT_S})
    shop.lost_lease()
    shop.dispatcher().tick()
    assert shop.record("a")[b"state"] == b"pending"
    assert shop.record("a")[b"lost"] == b"1"


@pytest.mark.parametrize("why", ["Redis restarted", "Redis was out of reach"])
def test_after_redis_was_away_nobody_counts_as_lost(shop: Workshop, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Found by reading: a partition does not restart Redis, and the others may come back a second later."""
    restarted = why == "Redis restarted"
    monkeypatch.setattr(shop.client, "info", lambda _: {"uptime_in_seconds": 1 if restarted else 86_400})
    shop.lost_lease()
    dispatcher = shop.dispatcher()
    if not restarted:
        dispatcher.was_away()
    dispatcher.tick()
    assert shop.record("a")[b"state"] == b"pending"
    assert shop.record("a")[b"lost"] == b"0"


def test_old_records_go_in_one_turn_however_many(shop: Workshop) -> None:
    old = [f"p/j{n}" for n in range(450)]
    shop.client.zadd(shop.ledger.prefix + "deleted", dict.fromkeys(old, 1))
    dispatcher = shop.dispatcher()
    dispatcher._forget = 0.0
    dispatcher.tick()
    assert shop.client.zcard(shop.ledger.prefix + "deleted") == 0
    assert FORGET_MOVES * 500 > 10 * 600, "more than ten a second over ten minutes"
