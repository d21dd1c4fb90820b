"""A temporary directory with its own Redis, simulator and worker: nothing of it is left afterwards."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.demo import scenario
from worker.execution.app_context import AppContext, app_context
from worker.ledger.deletions import Ledger
from worker.ledger.queries import Queries
from worker.local.embedded import EmbeddedRedis
from worker.local.processes import Child, Guard, celery, undisturbed, without_settings
from worker.local.up import WORKER, start_redis, stop_redis
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator

ACCOUNT = "default"


@dataclass
class Stage:
    """Everything that the demo needs."""

    directory: Path
    redis: EmbeddedRedis
    simulator: Simulator
    worker: Child
    app: AppContext

    @property
    def ledger(self) -> Ledger:
        return self.app.ledger(ACCOUNT)

    @property
    def queries(self) -> Queries:
        return self.app.queries(ACCOUNT)

    def worker_log(self, lines: int) -> list[str]:
        """The last lines of the worker's log."""
        text = (self.directory / "worker.log").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-lines:]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Set everything up, and remove everything: at the end, on `Stopped`, and by the reaper process on kill -9."""
    with contextlib.ExitStack() as stack:
        with undisturbed():
            guard = Guard()
            directory = Path(tempfile.mkdtemp(prefix="eraser-demo-"))
            guard.remove_at_end(directory)
            stack.callback(guard.dismiss)
        stack.enter_context(_no_settings_but(directory, {}))
        redis = EmbeddedRedis(directory / "redis")
        stack.callback(stop_redis, redis, guard)
        start_redis(redis, guard)
        simulator = stack.enter_context(Simulator(delete_per_s=scenario.RATE, get_per_s=scenario.RATE, lock_s=30.0))
        policies = directory / "eraser.toml"
        policies.write_text(scenario.POLICIES, encoding="utf-8")
        settings = _settings(redis.url, simulator.url) | {"ERASER_CONFIG": str(policies)}
        stack.enter_context(_no_settings_but(directory, settings))
        output = stack.enter_context((directory / "worker.log").open("ab"))
        worker = Child("worker", celery(*WORKER), dict(os.environ), directory, guard, output, grace_s=8.0)
        stack.callback(worker.wait_until_ended)
        stack.callback(worker.ask_to_end)
        yield Stage(directory, redis, simulator, worker, app_context())


def _settings(redis_url: str, endpoint: str) -> dict[str, str]:
    return {
        "ERASER_REDIS_URL": redis_url,
        "ERASER_ENDPOINT": endpoint,
        "ERASER_RATE": str(scenario.RATE),
        "ERASER_RELATED": "leave",  # but for the jobs of `leftovers`
        "ERASER_RELATED_SCHEDULE": scenario.RELATED_SCHEDULE,
        "ERASER_RETRY_SCHEDULE": scenario.RETRY_SCHEDULE,
        "ERASER_NOT_DELETABLE_SCHEDULE": scenario.NOT_DELETABLE_SCHEDULE,
        "ERASER_CONNECT_TIMEOUT": "1s",
        "ERASER_CALL_TIMEOUT": scenario.CALL_TIMEOUT,
        "ERASER_LEASE": scenario.LEASE,
        "HUAWEICLOUD_SDK_AK": DEMO_AK,
        "HUAWEICLOUD_SDK_SK": DEMO_SK,
        "HUAWEICLOUD_SDK_PROJECT_ID": DEMO_PROJECT,
    }


@contextlib.contextmanager
def _no_settings_but(directory: Path, ours: Mapping[str, str]) -> Iterator[None]:
    """Replace this process's environment while the demo runs, because Celery's variables override even settings in
    code.
    """
    before = dict(os.environ)
    theirs = without_settings(before) | {"TMPDIR": str(directory)} | dict(ours)
    os.environ.clear()
    os.environ.update(theirs)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
