"""Which workers are alive: each writes a heartbeat every few seconds, with Redis's time and its distance from the
worker's clock.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

import redis

from worker.config.clock import SAME_S, elapsed
from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.ledger import scripts, values
from worker.ledger.connection import server_of
from worker.ledger.keys import Keys
from worker.ledger.redis_read import info, read_redis
from worker.ledger.schema.states import VERSION
from worker.model.errors import OtherSchema

LONG_GONE_S = 3600.0
JUMP_S = 5.0  # Redis's clock jumped if it differs by more than this from the expected time


def _about(client: redis.Redis, keys: Keys) -> dict[str, dict[str, Any]]:
    """What each worker with a recent heartbeat says of itself. Raises `Unreachable`."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(keys.workers, 0, -1, withscores=True)
    pipe.hgetall(keys.worker_info)
    (seconds, _), beats, about = read_redis(pipe.execute)
    recent = [name for name, at in beats if abs(seconds * 1000 - at) <= WORKER_TIMEOUT_S * 1000]
    return {name.decode(): values.fields(about.get(name)) for name in recent}


def versions(client: redis.Redis, keys: Keys) -> dict[str, int]:
    """The schema's version of each worker with a recent heartbeat. Raises `Unreachable`."""
    return {name: values.whole(about.get("schema"), 1) for name, about in _about(client, keys).items()}


def archived_everywhere(client: redis.Redis, keys: Keys, account: str) -> int:
    """The number of the last receipt that every worker with a recent heartbeat has in its directory; 0: one has none,
    or does not say. Raises `Unreachable`."""
    every = [about.get("archived") for about in _about(client, keys).values()]
    return min((values.whole(one.get(account)) if isinstance(one, dict) else 0 for one in every), default=0)


def archivists(client: redis.Redis, keys: Keys) -> list[str]:
    """The workers with a recent heartbeat that archive receipts. Raises `Unreachable`."""
    return [name for name, about in _about(client, keys).items() if about.get("archived")]


def refuse_distant_workers(client: redis.Redis, keys: Keys) -> None:
    """Raise `OtherSchema` while a worker runs that could not go on beside this program; and `Unreachable`.

    After a rollback the stored version alone would let in a program that is two steps ahead of the running one.
    """
    for worker, version in versions(client, keys).items():
        if abs(version - VERSION) > 1:
            raise OtherSchema(f"worker {worker}, which runs now,", stored=version, ours=VERSION)


class LiveWorkers:
    """This worker's heartbeat, and what it knows of the other workers."""

    def __init__(self, app: AppContext, *, concurrency: int = 0) -> None:
        self._app = app
        self._client = app.redis
        self._keys = app.keys
        self._about = {"host": socket.gethostname(), "pid": os.getpid(), "threads": concurrency, "schema": VERSION}
        self._since = float("-inf")  # monotonic: until then no heartbeat could be seen, or Redis's dates were different
        self._redis_ahead: float | None = None  # of `elapsed`, in seconds
        self.clocks_agree = True

    def beat(self) -> None:
        """Write this worker's heartbeat. Raises redis-py's errors."""
        self.note_time(float(scripts.load("heartbeat").run(self._client, self._keys.workers, self._app.worker)))
        now: dict[str, Any] = {"clock_s": round(self._apart_s(), 1), "not_archived": dict(self._app.not_archived)}
        now["archived"] = dict(self._app.archived_here)
        about = json.dumps(self._about | now)
        scripts.load("describe_worker").run(self._client, self._keys.worker_info, self._app.worker, about)

    def note_time(self, redis_ms: float) -> None:
        """Redis's current time."""
        ahead, before = redis_ms / 1000 - elapsed(), self._redis_ahead
        self._redis_ahead = ahead
        if before is not None and abs(ahead - before) > JUMP_S:
            self.was_away()  # heartbeats from before the jump mean nothing
        self.clocks_agree = abs(self._apart_s()) <= SAME_S

    def _apart_s(self) -> float:
        """How far Redis's clock is ahead of this worker's, or of MetaStudio's if that is nearer."""
        now = elapsed() + (self._redis_ahead or 0.0)
        return min((now - clock for clock in self._app.clocks()), key=abs)

    def was_away(self) -> None:
        """Other workers may not have reconnected to Redis yet: count none as lost for a while."""
        self._since = time.monotonic()

    def alive(self) -> tuple[list[str], bool]:
        """Workers with a recent heartbeat, and whether a missing heartbeat proves anything.

        It does not if Redis was unreachable or restarted a moment ago, or if its clock jumped.
        """
        name, pipe = self._keys.workers, self._client.pipeline(transaction=False)
        pipe.time()
        pipe.zrange(name, 0, -1, withscores=True)
        (seconds, _), beats = pipe.execute()
        ages = {worker: abs(seconds - at / 1000) for worker, at in beats}  # of the future where Redis's clock went back
        recent = [worker for worker, age in ages.items() if age <= WORKER_TIMEOUT_S]
        long_gone = [worker for worker, age in ages.items() if age >= LONG_GONE_S]
        if long_gone:
            self._client.zrem(name, *long_gone)
            self._client.hdel(self._keys.worker_info, *long_gone)
        up = info(server_of(self._client, name), "server").get("uptime_in_seconds", WORKER_TIMEOUT_S)
        silence_counts = float(up) >= WORKER_TIMEOUT_S and time.monotonic() - self._since >= WORKER_TIMEOUT_S
        return [worker.decode() for worker in recent], silence_counts

    def goodbye(self) -> None:
        """Remove the heartbeat, so that nothing waits for this worker. Raises redis-py's errors."""
        self._client.zrem(self._keys.workers, self._app.worker)
        self._client.hdel(self._keys.worker_info, self._app.worker)
