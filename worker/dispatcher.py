"""Who rings: a thread in every worker, of which one at a time looks for work that is due and calls hands.

Correctness never depends on it: it reads hints, a doorbell too many is harmless, and every half minute a full look
finds what a crash left unannounced. It also brings back what lost workers held, and lets old records go.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from celery import bootsteps

from worker.bells import send_bell
from worker.errors import EraserError
from worker.ledger.holds import HoldList
from worker.runtime import HEARD_S, WAKEUPS, WORKER_INFO, WORKERS, Runtime, runtime
from worker.standin import StandIns

log = logging.getLogger(__name__)

TICK_S = 0.1
FULL_LOOK_S = 30.0
BEAT_S = 5.0  # how often a worker says that it lives
LOCK_MS = 3_000  # the dispatching worker's turn, renewed each tick
STANDIN_MARGIN_S = 5.0  # to record what the last call of a stand-in brought
FORGET_S = 600.0
FORGET_MOVES = 100  # of 200 records a state each: more than ten a second over ten minutes, and done within the lock

LOCK = "eraser:dispatcher"

# Each first writes something that needs no memory, so that it runs on when Redis is full: what drains must be rung for.
# Renew the turn if it is ours, take it if it is nobody's.
_TURN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# Say that a worker lives, by Redis's clock.
_BEAT = """
redis.call('ZREM', KEYS[1], '-')
local t = redis.call('TIME')
return redis.call('ZADD', KEYS[1], t[1] * 1000 + t[2] / 1000, ARGV[1])
"""
# Say what it is.
_INFO = """
redis.call('HDEL', KEYS[1], '-')
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
"""


class Dispatcher:
    """The loop. `ring(account, bell)` calls a hand."""

    def __init__(self, runtime: Runtime, ring: Callable[[str, str], None], *, concurrency: int = 0) -> None:
        self.runtime = runtime
        self.ring = ring
        self._info = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "threads": concurrency})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._full_look = 0.0
        self._beat = 0.0
        self._forget = time.monotonic() + FORGET_S
        self._away = False
        self._back = float("-inf")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop ringing and say goodbye, so that nobody waits for this worker."""
        self._stop.set()
        self._thread.join(timeout=10)
        try:
            pipe = self.runtime.redis.pipeline(transaction=False)
            pipe.zrem(WORKERS, self.runtime.worker)
            pipe.hdel(WORKER_INFO, self.runtime.worker)
            pipe.eval("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end", 1, LOCK, self._me)
            pipe.execute()
        except redis.RedisError:
            return

    @property
    def _me(self) -> str:
        return self.runtime.worker

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            try:
                self.tick()
                if self._away:
                    log.info("redis.back")
                self._away = False
            except (redis.RedisError, EraserError) as error:
                if not self._away:
                    log.warning("redis.away", extra={"error": str(error)})
                self.was_away()
                self._stop.wait(0.5)
            except Exception:  # the loop must outlive any fault of ours
                log.exception("dispatcher.fault")
                self._stop.wait(1.0)

    def was_away(self) -> None:
        """Redis cannot be reached now: look at everything once it can, and count nobody as lost for a while then."""
        self._away = True
        self._back = time.monotonic()
        self._full_look = 0.0

    def tick(self) -> None:
        """One look. Cheap when nothing is due: one round trip."""
        client = self.runtime.redis
        if time.monotonic() - self._beat >= BEAT_S:
            self._say_alive(client)
        pipe = client.pipeline(transaction=False)
        pipe.eval(_TURN, 1, LOCK, self._me, LOCK_MS)
        pipe.time()
        pipe.zrange(WAKEUPS, 0, 99, withscores=True)
        mine, (seconds, micros), wakeups = pipe.execute()
        if not mine:
            return
        now_ms = seconds * 1000 + micros / 1000
        accounts = {name.decode() for name, at in wakeups if at <= now_ms}
        known = self.runtime.settings.accounts
        if time.monotonic() - self._full_look >= FULL_LOOK_S:
            self._full_look = time.monotonic()
            accounts |= set(known)
            for account in known:
                HoldList(self.runtime.ledger(account)).release_in_time()
        for account in accounts:
            if account in known:
                self._look_at(account, client)
            else:
                client.zrem(WAKEUPS, account)
        if time.monotonic() >= self._forget:
            self._forget = time.monotonic() + FORGET_S
            for account in known:
                self._forget_old(account)

    def _forget_old(self, account: str) -> None:
        """Let old records go, a few hundred a script: as many as a busy account settles, and no endless turn."""
        for _ in range(FORGET_MOVES):
            if not self.runtime.ledger(account).forget(keep_s=self.runtime.settings.keep_final) or self._stop.is_set():
                return

    def _look_at(self, account: str, client: redis.Redis) -> None:
        """Rescue what ran out, ring if somebody has to come, and note when to look again."""
        ledger = self.runtime.ledger(account)
        client.zrem(WAKEUPS, account)  # before the look: what comes meanwhile sets it anew
        alive, counts = self._alive(client)
        rescued, next_lease = ledger.rescue(alive=alive, counts=counts)
        for ref, state in rescued:
            log.warning("deletion.lost", extra={"job_id": ref.job_id, "state": state})
        bell, due = ledger.ring()
        if bell:
            self.ring(account, bell)
        looks = [at for at in (due, next_lease) if at is not None]
        if looks:
            self.runtime.wake(account, min(looks))

    def _say_alive(self, client: redis.Redis) -> None:
        pipe = client.pipeline(transaction=False)
        pipe.eval(_BEAT, 1, WORKERS, self._me)
        pipe.eval(_INFO, 1, WORKER_INFO, self._me, self._info)
        pipe.execute()
        self._beat = time.monotonic()

    def _alive(self, client: redis.Redis) -> tuple[list[str], bool]:
        """Workers heard of lately, and whether silence proves anything.

        Not when Redis was away a moment ago, restarted or out of reach: others may not have come back to it yet.
        """
        seconds, _ = client.time()
        heard: Any = client.zrangebyscore(WORKERS, (seconds - HEARD_S) * 1000, "+inf")
        long_gone: Any = client.zrangebyscore(WORKERS, "-inf", (seconds - 3600) * 1000)
        if long_gone:
            client.zrem(WORKERS, *long_gone)
            client.hdel(WORKER_INFO, *long_gone)
        up: Any = client.info("server").get("uptime_in_seconds", HEARD_S)
        silence_counts = float(up) >= HEARD_S and time.monotonic() - self._back >= HEARD_S
        return [worker.decode() for worker in heard], silence_counts


class DispatcherStep(bootsteps.StartStopStep):
    """Runs the dispatcher beside Celery's consumer, in every worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self._dispatcher: Dispatcher | None = None
        self._stand_ins: StandIns | None = None
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        running = runtime()

        def ring(account: str, bell: str) -> None:
            if not send_bell(parent.app, account, bell):
                stand_ins.answer(account, bell)

        stand_ins = self._stand_ins = StandIns(lambda account, bell: running.work(account, ring, bell))
        self._dispatcher = Dispatcher(running, ring, concurrency=parent.concurrency)
        self._dispatcher.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - bootsteps pass it
        runtime().stopping.set()
        if self._dispatcher:
            self._dispatcher.stop()
        if self._stand_ins:
            self._stand_ins.wait(runtime().settings.call_deadline + STANDIN_MARGIN_S)

    terminate = stop
