"""The dispatcher: a thread in every worker, which starts executors.

All of them wait for producers: whichever Redis gives an account to starts an executor for it at once. One of them at a
time also looks for work that has become due, rescues deletions of lost workers, seals receipts, and removes old
records. Correctness never depends on either: they read hints, an extra wake-up is harmless, and what a crash left
unannounced is found by the next tick or, every half minute, by a full check.

Of a cluster a part may be away: what is about that part waits, and the accounts of the others go on. Where the hints
themselves are away each dispatcher looks at all accounts that it reaches, without them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import redis

from worker.execution.app_context import BEAT_S, AppContext
from worker.execution.live_workers import LiveWorkers
from worker.ledger import scripts
from worker.ledger.bindings import bindings, refuse_unknown
from worker.ledger.cluster import Cluster
from worker.ledger.damage import Checker, clear_hints
from worker.ledger.deletions import Ledger
from worker.ledger.due_heads import due_heads
from worker.ledger.holds import HoldList
from worker.ledger.reachable import reachable
from worker.ledger.redis_errors import is_away
from worker.ledger.types import Look
from worker.model.errors import EraserError, OtherEndpoint, Unreachable, WrongLedger
from worker.receipts.sealing import Sealer
from worker.replay.job import drive

log = logging.getLogger(__name__)

TICK_S = 0.1  # while there is work
CALM_TICK_S = 0.7  # when nothing was due for a while: a person's request does not wait for it
OTHERS_TICK_S = 1.4  # of a worker that does not dispatch: how soon it notices that none does
CALM_AFTER_S = 5.0
FULL_LOOK_S = 30.0
LOCK_MS = 3_000  # the dispatching worker's turn, renewed each tick
MOST_ACCOUNTS = 100  # accounts checked in one tick
LONGEST_WAIT_S = 0.7  # at once: a worker that is told to stop waits no longer for its dispatcher
SHORTEST_WAIT_S = 0.01  # Redis takes a wait of less than a millisecond for one without end
CHECK_S = 15.0  # how often a part of the records and indexes is checked for damage
CHECKS = 50  # round trips each time: up to ten thousand records of one account, or a few of many accounts
FORGET_S = 600.0
NO_ANSWER: Any = object()  # whoever has the hints is away
FORGET_MOVES = 100  # of 500 records each: eighty a second over ten minutes, and finished within the lock's life


class Dispatcher:
    """The loop. `end_worker` ends a process with wrong settings."""

    def __init__(
        self, app: AppContext, *, concurrency: int = 0, end_worker: Callable[[int], None] = lambda _: None
    ) -> None:
        self.app = app
        self._end_worker = end_worker
        self._workers = LiveWorkers(app, concurrency=concurrency)
        self._client, self._keys = app.redis, app.keys
        self._ledgers: dict[str, Ledger] = {}
        self._sealer = Sealer(self._ledger, app.keys)
        self._checker = Checker(app.redis, self._ledger, app.keys)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._full_look = 0.0
        self._beat = 0.0
        self._busy = 0.0
        self._pause = TICK_S
        self._next_tick = 0.0
        self._forget = time.monotonic() + FORGET_S
        self._check = time.monotonic() + CHECK_S
        self._away = False
        self._unhinted = False  # the hints are away, and others are not

    def start(self) -> None:
        self.app.prefetch()
        self._thread.start()

    def stop(self) -> None:
        """Stop, and remove the heartbeat, so that nothing waits for this worker."""
        self._stop.set()
        self._thread.join(timeout=10)
        self.app.flush(everything=True)
        try:
            self._workers.goodbye()
            self._yield()
        except redis.RedisError:
            return

    def _yield(self) -> None:
        """Let another worker dispatch."""
        scripts.load("yield_dispatch").run(self._client, self._keys.dispatcher, self.app.worker)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.app.refused:
                    raise self.app.refused
                self.app.flush()
                if (left_s := self._next_tick - time.monotonic()) > 0:
                    self.wait(min(left_s, LONGEST_WAIT_S))
                    continue
                self.tick()
                self._next_tick = time.monotonic() + self._pause
                if self._away:
                    log.info("redis.back")
                    self.app.redis_back()
                self._away = False
            except WrongLedger as error:
                self._refused(error)
                return
            except (redis.RedisError, EraserError) as error:
                self._miss(error)
            except Exception:  # the loop must survive any internal error
                log.exception("dispatcher.fault")
                self._stop.wait(1.0)

    def _miss(self, error: redis.RedisError | EraserError) -> None:
        if isinstance(error, redis.RedisError) and not is_away(error):
            with suppress(redis.RedisError):
                clear_hints(self._client, self._keys)
        if not self._away:
            log.warning("redis.away", extra={"error": str(error)})
        self.was_away()
        self._stop.wait(0.5)

    def _refused(self, error: WrongLedger) -> None:
        """An account was given another address, or a version that this program does not know: its successor goes on."""
        if isinstance(error, OtherEndpoint):
            log.error("endpoint.refused", extra={"account": error.account, "error": str(error)})
        else:
            log.error("schema.refused", extra={"error": str(error)})
        self.app.stopping.set()
        self._end_worker(error.exit_code)

    def was_away(self) -> None:
        """Redis cannot be reached now: check everything once it can be, and count no worker as lost for a while."""
        self._away = True
        self._workers.was_away()
        self._full_look = 0.0

    def wait(self, timeout_s: float) -> None:
        """Wait for a producer, and start an executor at once. What is lost here is found by the next tick."""
        if self._unhinted:
            self._stop.wait(timeout_s)
            return
        woken: Any = self._client.bzpopmin(self._keys.wake_now, max(timeout_s, SHORTEST_WAIT_S))
        account = woken[1].decode(errors="replace") if woken else ""
        if account in self.app.settings.accounts:
            with self._outlived(account):
                self._start_executor(self._ledger(account))

    def tick(self) -> None:
        """One tick. Cheap when nothing is due: one script."""
        here = reachable(self._client, self.app.settings.accounts, self._keys)
        if time.monotonic() - self._beat >= BEAT_S:
            some = list(here)[:1]  # a worker marks all of them when it starts
            refuse_unknown(bindings(self._client, some, self._keys))
            with self._without_the_others(here):
                self._workers.beat()
            self._beat = time.monotonic()
        keys, turn = (self._keys.dispatcher, self._keys.wakeups), NO_ANSWER
        with self._without_the_others(here):
            turn = scripts.load("dispatch").run(self._client, keys, self.app.worker, LOCK_MS, MOST_ACCOUNTS)
        self._unhinted = turn is NO_ANSWER
        if self._unhinted:
            self._look_at(self._unannounced(here, 0.0, {}))
            self._pause = CALM_TICK_S
            return
        if turn is None:
            self._pause = OTHERS_TICK_S
            return
        now_ms, due, head = float(turn[0]), [name.decode(errors="replace") for name in turn[1]], turn[2]
        self._workers.note_time(now_ms)
        for account, name in zip(due, turn[1], strict=True):
            if account not in self.app.settings.accounts:
                self._client.zrem(self._keys.wakeups, name)
        at_work, others = here & set(due), set[str]()
        if time.monotonic() - self._full_look >= FULL_LOOK_S:
            self._full_look = time.monotonic()
            announced: Any = self._client.zrange(self._keys.wakeups, 0, -1, withscores=True)
            due += self._unannounced(here, now_ms, dict(announced))
            others = here
        if due:
            self._look_at(here & set(due))
            self._busy = time.monotonic()
        with self._without_the_others(here):
            self._sealer.tick(self._client, at_work, others)
        self._pause = self._next_tick_s(float(head) - now_ms if head else None)
        if time.monotonic() >= self._check:
            self._check = time.monotonic() + CHECK_S
            with self._without_the_others(here):
                clear_hints(self._client, self._keys)
                self._checker.step(here, CHECKS)
        if others and not self._workers.clocks_agree:  # it releases and rescues nothing: let others try
            self._yield()
            self._pause = 3 * OTHERS_TICK_S
        if time.monotonic() >= self._forget:
            self._forget = time.monotonic() + FORGET_S
            for account in here:
                with self._without_the_others(here):
                    self._forget_old(account)

    def _ledger(self, account: str) -> Ledger:
        """Of a cluster: whoever is away is looked at again with the next tick, and the others need not wait for it."""
        if not isinstance(self._client, Cluster):
            return self.app.ledger(account)
        if account not in self._ledgers:
            self._ledgers[account] = replace(self.app.ledger(account), patience_s=0.0)
        return self._ledgers[account]

    @contextmanager
    def _without_the_others(self, here: Collection[str]) -> Iterator[None]:
        """What is about a part of a cluster that is away is left out, as long as another part is here."""
        try:
            yield
        except (redis.RedisError, Unreachable) as error:
            if not isinstance(self._client, Cluster) or not here:
                raise
            if isinstance(error, redis.RedisError) and not is_away(error):
                raise
            self._workers.was_away()  # their heartbeats may be what is away

    def _next_tick_s(self, next_ms: float | None) -> float:
        """How long to wait for the next tick, if the next known wake-up is in `next_ms`."""
        if time.monotonic() - self._busy < CALM_AFTER_S:
            return TICK_S
        return CALM_TICK_S if next_ms is None else min(CALM_TICK_S, max(TICK_S, next_ms / 1000))

    def _unannounced(self, here: Collection[str], now_ms: float, announced: Mapping[bytes, float]) -> list[str]:
        """Accounts with work that no wake-up announces in time. Holds whose time is over are released."""
        found = due_heads(self._client, here, self.app.keys)
        latest = max(now_ms, *(clock * 1000 for clock in self.app.clocks()))
        for account, head in found.items():
            ledger = self._ledger(account)
            with self._without_the_others(here):
                ledger.look_at_clocks()
                if head.hold is not None and head.hold <= latest:
                    HoldList(ledger).release_in_time()
        return [
            account
            for account, head in found.items()
            if (head.work is not None and announced.get(account.encode(), math.inf) > max(head.work, now_ms))
            or head.hold is not None
        ]

    def _forget_old(self, account: str) -> None:
        """Remove old records, a few hundred per script: as many as a busy account settles, without an endless turn."""
        for _ in range(FORGET_MOVES):
            if not self._ledger(account).forget(keep_s=self.app.settings.record_ttl) or self._stop.is_set():
                return

    def _look_at(self, accounts: Collection[str]) -> None:
        """Rescue expired leases, start an executor if one is needed, and note when to check again."""
        alive, counts = list[str](), False
        with self._without_the_others(accounts):
            alive, counts = self._workers.alive()
        for account in accounts:
            with self._without_the_others(accounts), self._outlived(account):
                self._look_at_one(account, alive, counts=counts)

    @contextmanager
    def _outlived(self, account: str) -> Iterator[None]:
        """An internal error about one account must not stop the others."""
        try:
            yield
        except Exception as error:
            if isinstance(error, EraserError) or (isinstance(error, redis.RedisError) and is_away(error)):
                raise
            log.exception("dispatcher.fault", extra={"account": account})

    def _look_at_one(self, account: str, alive: list[str], *, counts: bool) -> None:
        ledger = self._ledger(account)
        if not self._unhinted:
            self._client.zrem(self._keys.wakeups, account)  # before the check: whatever comes meanwhile sets it again
        look = self._start_executor(ledger)
        if look.lost:
            for ref, state in ledger.rescue(alive=alive, counts=counts)[0]:
                log.warning("deletion.lost", extra={"account": account, **ref.for_log(), "state": state})
            look = self._start_executor(ledger)
        looks = [at for at in (look.next_ms, drive(ledger, look.replays)) if at is not None]
        if looks:
            self.app.wake(account, min(looks))

    def _start_executor(self, ledger: Ledger) -> Look:
        """Start one if it is needed."""
        look = ledger.due_wakeup(self.app.fingerprint(ledger.account))
        if look.wakeup:
            self.app.notify(ledger.account, look.wakeup)
        return look
