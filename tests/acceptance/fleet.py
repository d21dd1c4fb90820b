"""A whole installation for one test: a real Redis, a simulated MetaStudio and Celery workers, each its own process.

Everything may be killed at any moment; nothing of it is left behind. A test that fails says what the workers wrote
last and how the ledger stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from celery import Celery

from tests.acceptance.other_side import adds_up
from tests.support import forkserver, scratch
from tests.support.forkserver import clean
from tests.support.redis_keys import wrong_keys
from tests.support.waiting import wait_until
from worker.config.accounts import DEFAULT
from worker.execution.app_context import AppContext
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.queries import Queries
from worker.ledger.records import Deletion
from worker.ledger.types import Accepted, DeletionRequest
from worker.local.embedded import EmbeddedRedis
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services.request import record
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, SimulatorControl

QUICK_KEYS = "tests.acceptance.quick_keys"  # the application in which a refused key rests for a second or two
OPEN = (State.PENDING, State.RUNNING, State.HELD)
PATIENCE_S = 240.0  # far more than anything takes, on a slow and busy machine too; only a fault of ours reaches it

SHORT = {
    "ERASER_RATE": "100",
    "ERASER_RELATED": "leave",  # one call a deletion; what a job leaves behind has tests of its own
    "ERASER_RETRY_SCHEDULE": "0.2s,0.4s,0.8s",
    "ERASER_NOT_DELETABLE_SCHEDULE": "0.5s",
    "ERASER_CALL_TIMEOUT": "30s",  # an answer that is only slow is no silence
    "ERASER_LEASE": "60s",
    "HUAWEICLOUD_SDK_AK": DEMO_AK,
    "HUAWEICLOUD_SDK_SK": DEMO_SK,
    "HUAWEICLOUD_SDK_PROJECT_ID": DEMO_PROJECT,
}
BYSTANDER = "bystander"  # of a project that is empty nothing proves that a job is gone
ATTEMPTS = 4  # the schedule's length and one
LEASE_S = 4.0
IMPATIENT = {  # where a service hangs or a worker is killed, and the test waits for a deadline or the end of a lease
    "ERASER_CONNECT_TIMEOUT": "1s",
    "ERASER_CALL_TIMEOUT": "2.5s",
    "ERASER_LEASE": f"{LEASE_S:g}s",
}


def tell(text: str) -> None:
    """A figure or a seed; `pytest -rP` shows them of passed tests too."""
    sys.stdout.write(text + "\n")


def seeded(test: str) -> random.Random:
    """This run's random choices; the seed is printed, and ACCEPTANCE_SEED repeats it."""
    seed = os.environ.get("ACCEPTANCE_SEED") or str(random.SystemRandom().randrange(10**6))
    tell(f"{test}: ACCEPTANCE_SEED={seed}")
    return random.Random(f"{test} {seed}")


@dataclass
class Process:
    """One child process and the file that it writes to."""

    popen: subprocess.Popen[bytes] | forkserver.Forked
    log: Path

    @classmethod
    def start(cls, argv: Iterable[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path) -> Process:
        with log.open("ab") as output:
            popen = forkserver.start([str(word) for word in argv], cwd=cwd, env=env, log=output)
        return cls(popen, log)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, its children too, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def ask_to_end(self) -> None:
        self.send(signal.SIGTERM)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)


class Fleet:
    """`with Fleet(...) as fleet:` Redis and MetaStudio run; workers come by `start_worker`.

    settings: beside `SHORT`, None takes one away. simulator: further words of its command line. config: the TOML file
    of accounts. account: whose ledger `ledger`, `queries` and all looks are about. application: what Celery runs.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str | None] | None = None,
        simulator: Iterable[str] = (),
        config: str | None = None,
        account: str = DEFAULT,
        application: str = "worker",
    ) -> None:
        self.account, self.application = account, application
        self.directory = scratch.directory("fleet-")
        self.redis_server = EmbeddedRedis(self.directory / "redis", appendfsync="always")
        self.workers: list[Process] = []
        self.others: list[Process] = []
        self.client: redis.Redis
        self.adds_up = True  # its ledger is about its own MetaStudio
        self.restored: set[str] = set()  # jobs that MetaStudio has again after they were deleted, as after a backup
        self._settings = dict(settings or {})
        if config is not None:
            file = self.directory / "accounts.toml"
            file.write_text(config, encoding="utf-8")
            self._settings["ERASER_CONFIG"] = str(file)
        self._simulator_words = list(simulator)
        self._started = 0

    # -- coming and going --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.redis_server.start()
            self.metastudio = self._start_simulator()
            self.client = connect(self.env["ERASER_REDIS_URL"], timeout_s=PATIENCE_S)
            self.app = AppContext.load(self.env)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._judge()
            else:
                error.add_note(self.report())
        finally:
            self._end()

    def _judge(self) -> None:
        """What holds after every run: nothing moves any more."""
        for process in self.workers:
            process.kill()
        if self.redis_server.pid is None:
            self.start_redis()
        try:
            if self.adds_up:
                adds_up(self)
            wrong = wrong_keys(self.client)
            assert wrong == [], wrong
        except AssertionError as error:
            error.add_note(self.report())
            raise

    def _end(self) -> None:
        for process in (*self.workers, *self.others):
            process.kill()
        if hasattr(self, "app"):
            self.app.redis.close()
            self.client.close()
        self.redis_server.stop()
        if not os.environ.get("ACCEPTANCE_KEEP"):  # set it to read all the logs afterwards
            shutil.rmtree(self.directory, ignore_errors=True)

    def _start_simulator(self) -> SimulatorControl:
        words = [sys.executable, "-m", "worker.simulator", "--port", "0", *self._simulator_words]
        process = self.start("simulator", words, env=clean())
        wait_until(lambda: "http://" in process.text or not process.alive, PATIENCE_S, "the simulator listens")
        return SimulatorControl(re.findall(r"http://\S+", process.text)[0])

    # -- processes -----------------------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """What a process of this installation sees, and nothing else."""
        settings: dict[str, str | None] = {
            **clean(),
            **SHORT,
            "ERASER_REDIS_URL": self.redis_server.url,
            "ERASER_ENDPOINT": self.metastudio.url,
            "TMPDIR": str(self.directory),
            "HOME": str(self.directory),
            **self._settings,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def start(
        self, name: str, words: Iterable[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Start any program; it is killed at the end."""
        log = self.directory / f"{name}.log"
        process = Process.start(words, cwd=cwd or self.directory, env=self.env if env is None else env, log=log)
        self.others.append(process)
        return process

    def command(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The command line, to its end."""
        return self.run(Path(sys.executable).with_name("eraser"), *words, env=env)

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Any program, to its end."""
        return forkserver.run(words, cwd=self.directory, env=self.env if env is None else env)

    def start_worker(self, *words: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a worker; it takes work some seconds later. Each start has a log of its own."""
        self._started += 1
        name = f"worker-{self._started}"
        command = [*self.celery("worker", "--loglevel", "INFO", "--hostname", f"{name}@test"), *words]
        process = self.start(name, command, env=env)
        self.others.remove(process)
        self.workers.append(process)
        return process

    def start_workers(self, count: int, *words: str) -> list[Process]:
        """Start so many workers and wait until each has said that it lives."""
        workers = [self.start_worker(*words) for _ in range(count)]
        self.wait(lambda: self.live_workers() >= count, f"{count} workers say that they live")
        return workers

    def celery(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "celery", "-A", self.application, *words]

    def inspect(self, what: str) -> dict[str, Any]:
        """What `celery inspect` prints, once a worker answers: one that lives listens a little later."""
        done: list[subprocess.CompletedProcess[str]] = []

        def answered() -> bool:
            done.append(self.run(*self.celery("inspect", what, "--json", "--timeout", "3")))
            return done[-1].returncode == 0

        self.wait(answered, f"a worker answers {what}")
        answers: dict[str, Any] = json.loads(done[-1].stdout)
        return answers

    def live_workers(self) -> int:
        """Workers that said that they live and did not say goodbye."""
        return int(self.client.zcard(self.app.keys.workers))  # type: ignore[arg-type]

    def kill_redis(self) -> None:
        """kill -9, and wait for its end."""
        pid = self.redis_server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.redis_server.pid is None, PATIENCE_S, "Redis is gone")

    def start_redis(self) -> None:
        self.redis_server.start()

    def change(self, **settings: str) -> None:
        """Other settings for what starts from now on."""
        self._settings |= settings

    # -- asking --------------------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return self.app.ledger(self.account)

    @property
    def queries(self) -> Queries:
        return self.app.queries(self.account)

    def plant(self, *jobs: str, **job: Any) -> tuple[str, ...]:
        """Let these jobs exist at MetaStudio."""
        self.metastudio.add_jobs({"job_id": name, **job} for name in jobs)
        return jobs

    def ask(self, *jobs: str, lane: Lane = Lane.BULK, project: str = DEMO_PROJECT, **claim: Any) -> list[Accepted]:
        """Ask for deletions as every door does. The wake-ups of a request get lost here: a tick later it must not
        matter."""
        refs = (Target(project, job) for job in jobs)
        return list(record(self.app, refs, DeletionRequest(lane=lane, **claim)))

    def producer(self) -> Celery:
        """Somebody else's Celery application, which knows our broker and nothing else."""
        broker = self.app.broker
        app = Celery("somebody-elses", broker=broker.url, set_as_current=False)
        app.conf.broker_transport_options = dict(broker.options)
        return app

    # -- reading ------------------------------------------------------------------------------------------------------

    def show(self, job: str) -> Deletion:
        found = self.queries.show(Target(DEMO_PROJECT, job))
        assert found is not None, f"{job} is unknown"
        return found

    def state(self, job: str) -> State | None:
        found = self.queries.show(Target(DEMO_PROJECT, job))
        return found.state if found else None

    def states(self) -> dict[State, int]:
        """Of deletions of all kinds."""
        return {state: count for state, count in self.queries.status().every.items() if count}

    def settled(self) -> int:
        return sum(count for state, count in self.states().items() if state not in OPEN)

    def wait(self, predicate: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> float:
        """Wait until it is so; returns the seconds that it took. Asks twenty times a second: the cores are few."""
        began = time.monotonic()
        wait_until(predicate, timeout, what, every=0.05)
        return time.monotonic() - began

    def wait_until_settled(self, count: int, timeout: float = PATIENCE_S) -> float:
        return self.wait(lambda: self.settled() >= count, f"{count} deletions are settled", timeout)

    def everything_ever_written(self) -> Iterator[tuple[str, str]]:
        """(where, text) of each log."""
        for file in sorted(self.directory.glob("*.log")):
            yield file.name, file.read_text(encoding="utf-8", errors="replace")

    # -- when a test fails ---------------------------------------------------------------------------------------------

    def report(self) -> str:
        """What the workers wrote last, and how the ledger stands."""
        parts = []
        for worker in self.workers[-4:]:
            tail = "\n".join(worker.text.splitlines()[-25:])
            parts.append(f"--- {worker.log.name} ({'runs' if worker.alive else worker.popen.returncode})\n{tail}")
        for other in self.others:
            tail = "\n".join(other.text.splitlines()[-8:])
            parts.append(f"--- {other.log.name} ({'runs' if other.alive else other.popen.returncode})\n{tail}")
        try:
            parts.append(self._ledger_view())
        except Exception as error:  # the report must not hide the failure
            parts.append(f"--- the ledger cannot be read: {error!r}")
        return "\n".join(parts)

    def _ledger_view(self) -> str:
        gate: Any = self.client.hgetall(self.ledger.prefix + "gate")
        lines = [f"--- the ledger: {self.states()}", f"gate: {self.queries.gate()}", f"raw: {gate}"]
        lines.append(f"heard of: {self.client.zrange(self.app.keys.workers, 0, -1, withscores=True)}")
        for index in ("wakeups", "waiting"):
            lines.append(f"{index}: {self.client.zrange(self.ledger.prefix + index, 0, -1, withscores=True)}")
        lines.append(f"Redis's clock: {self.queries.now_ms():.0f}")
        for state in (*OPEN, State.DEAD):
            for deletion, _ in zip(self.queries.each(state, history=True), range(5), strict=False):
                lines.append(f"{deletion.ref.id} {deletion.state} {deletion.waiting_for} due={deletion.due_at}")
                lines += [f"    {attempt}" for attempt in deletion.attempts]
                lines += [f"    {event}" for event in deletion.events]
        return "\n".join(lines)
