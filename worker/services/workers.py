"""The workers, from their last heartbeats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.ledger import values
from worker.ledger.redis_read import read_redis


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker from its last heartbeat. It is silent if that is older than `WORKER_TIMEOUT_S`."""

    worker: str
    host: str | None
    pid: int | None
    threads: int | None
    heartbeat_age_s: float
    clock_s: float | None = None  # how far Redis's clock is ahead of its own; None: not reported
    not_archived: dict[str, str] = field(default_factory=dict)  # accounts whose receipts it cannot archive, and why

    @property
    def silent(self) -> bool:
        return self.heartbeat_age_s > WORKER_TIMEOUT_S


def hanging(every: Iterable[WorkerStatus]) -> str:
    """What to do about workers that are silent, after a semicolon; empty: none is."""
    names = ", ".join(worker.worker for worker in every if worker.silent)
    return f"; silent: {names} (host:process:…): if such a process still runs, it hangs: kill -9 it" if names else ""


def workers(app: AppContext) -> tuple[float, tuple[WorkerStatus, ...]]:
    """Redis's clock in ms since 1970, and every worker. Raises `Unreachable`."""
    pipe = app.redis.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(app.keys.workers, 0, -1, withscores=True)
    pipe.hgetall(app.keys.worker_info)
    (seconds, micros), beats, infos = read_redis(pipe.execute)
    now = seconds * 1000 + micros / 1000
    return now, tuple(_worker(name, at, infos.get(name), now) for name, at in beats)


def _worker(name: bytes, at: float, info: bytes | None, now: float) -> WorkerStatus:
    fields = values.fields(info)
    heartbeat_age_s = abs(now - at) / 1000  # a heartbeat from the future was written before Redis's clock went back
    known = {name: fields.get(name) for name in ("host", "pid", "threads", "clock_s")}
    not_archived = fields.get("not_archived") or {}
    return WorkerStatus(name.decode(), heartbeat_age_s=round(heartbeat_age_s, 1), not_archived=not_archived, **known)
