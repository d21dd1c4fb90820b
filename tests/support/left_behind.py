"""An installation whose workers are this thread, its MetaStudio, and jobs that leave something behind."""

from __future__ import annotations

import json
from typing import Any

from tests.support.command import Command, Ended, near
from tests.support.waiting import wait_until
from worker.execution.app_context import AppContext
from worker.ledger.queries import Queries
from worker.model.target import Target
from worker.simulator import Simulator

LOOKS = "0.05s,0.1s"  # instead of a day
WHO_AND_WHY = ("--reason", "CASE-12", "--by", "ops-7")


class LeftBehind:
    """`command` as a person types it; `leave` deletes jobs and looks at what they left until that is closed."""

    def __init__(self, command: Command, simulator: Simulator, **environ: str) -> None:
        simulator.add_avatar("other")  # there are always others
        self.simulator, self._command = simulator, command
        self.environ = near(simulator) | {"ERASER_RATE": "100", "ERASER_RELATED": "verify"}
        self.environ |= {"ERASER_RELATED_SCHEDULE": LOOKS} | environ
        self.app = AppContext.load({"ERASER_REDIS_URL": command.url, **self.environ})

    def with_settings(self, **environ: str) -> LeftBehind:
        """The same MetaStudio and ledger by other settings."""
        return LeftBehind(self._command, self.simulator, **environ)

    def command(self, *args: str, **more: Any) -> Ended:
        return self._command(*args, **{**self.environ, **more})

    def target(self, job: str) -> Target:
        return Target(self.simulator.project, job)

    def key(self, name: str) -> str:
        return self.app.keys.account("default") + name

    def leave(self, *jobs: str, **avatar: Any) -> None:
        for job in jobs:
            self.simulator.add_avatar(job, **avatar)
        assert self.command("request", *jobs).code == 0
        self.closes(*jobs)

    def closes(self, *jobs: str) -> None:
        """Work as any worker, until the erasures of these jobs are closed."""
        self.work_until(lambda: all("closed" in self.erasure(job) for job in jobs), "the erasures to close")

    def work_until(self, condition: Any, what: str) -> None:
        def there() -> object:
            self.app.work("default")
            return condition()

        wait_until(there, what=what)

    def erasure(self, job: str) -> dict[str, str]:
        raw: Any = self.app.redis.hgetall(self.key(f"erasure:{self.target(job)}"))
        return {name.decode(): value.decode() for name, value in raw.items()}

    def parts(self, job: str) -> dict[str, str]:
        return {part["part"]: part["evidence"] for part in json.loads(self.erasure(job).get("parts", "[]"))}

    def queries(self) -> Queries:
        return self.app.queries("default")

    def states(self) -> dict[str, str]:
        """Of every asset in the library."""
        return self.simulator.assets()[self.simulator.project]
