"""A real Redis whose clock jumps ahead 100 days and comes back, while real workers on true time go on.

Without libfaketime on the machine nothing is lost: `tests/ledger/test_clock.py` has every case with a clock of its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tests.acceptance.fleet import SHORT
from tests.support.waiting import PATIENCE_S, wait_until
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.ledger import connection
from worker.ledger.holds import HoldList
from worker.ledger.types import DeletionRequest
from worker.local.redis_server import find_server
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import status
from worker.services.request import record
from worker.simulator import DEMO_PROJECT, Simulator

FAKETIME = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
DAY_S = 86_400.0

pytestmark = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: apt install libfaketime")


def answers(socket: Path) -> bool:
    """Whether Redis does: its socket is there before it listens."""
    with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(socket)) as client:
        return bool(client.ping())
    return False


class Site:
    """A Redis whose clock the test sets, a MetaStudio, and a worker: its dispatcher and its executors as threads."""

    def __init__(self, directory: Path, simulator: Simulator) -> None:
        self.simulator = simulator
        self._offset = directory / "offset"
        self.set_clock("+0")
        socket = directory / "s"
        fake = {"LD_PRELOAD": FAKETIME or "", "FAKETIME_TIMESTAMP_FILE": str(self._offset)}
        fake |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)]
        self.server = subprocess.Popen(
            [str(find_server({})), *words], env=os.environ | fake, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self.server.poll() is not None or answers(socket), what="Redis is up")
        environ = SHORT | {"ERASER_REDIS_URL": f"unix://{socket}", "ERASER_ENDPOINT": simulator.url}
        self.app = AppContext.load(environ | {"ERASER_RETRY_SCHEDULE": "2s,600s"})
        self.ledger = self.app.ledger("default")
        self.queries = self.app.queries("default")
        self.executors = ThreadPoolExecutor(4)
        self.app.notify = lambda account, wakeup: self.executors.submit(self.app.work, account, wakeup)
        self.dispatcher = Dispatcher(self.app, concurrency=4)

    def set_clock(self, offset: str) -> None:
        self._offset.write_text(offset + "\n", encoding="utf-8")

    def redis_ahead_s(self) -> float:
        seconds, _ = self.app.redis.time()
        return float(seconds) - time.time()

    def request(self, *jobs: str, **claim: object) -> None:
        request = DeletionRequest(**{"lane": Lane.BULK} | claim)  # type: ignore[arg-type]
        assert len(list(record(self.app, [Target(DEMO_PROJECT, job) for job in jobs], request))) == len(jobs)

    def state(self, job: str) -> State:
        deletion = self.queries.show(Target(DEMO_PROJECT, job))
        assert deletion is not None
        return deletion.state

    def due_in_s(self, job: str) -> float:
        deletion = self.queries.show(Target(DEMO_PROJECT, job))
        assert deletion is not None
        return 0.0 if deletion.due_at is None else deletion.due_at / 1000 - time.time()  # a call is under way

    def close(self) -> None:
        self.app.stopping.set()
        self.dispatcher.stop()
        self.executors.shutdown()
        self.app.redis.close()
        self.server.kill()
        self.server.wait(PATIENCE_S)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # a command that waits in a Redis whose clock went back waits until then: whoever sent it gives it up in time
    monkeypatch.setattr(connection, "TIMEOUT_S", 10.0)
    with Simulator(jobs=20) as simulator:
        one = Site(tmp_path, simulator)
        try:
            yield one
        finally:
            one.close()


def test_redis_jumps_ahead_100_days_and_back_and_nothing_is_freed_ended_or_dated_wrongly(site: Site) -> None:
    january = (time.time() + 40 * DAY_S) * 1000
    site.dispatcher.start()
    site.request("job-00001")
    HoldList(site.ledger).add([Target(DEMO_PROJECT, "job-00001")], why="T-1", by="ops", until_ms=january)
    site.request("job-00002", delay_s=DAY_S)
    site.request("job-00003", delay_s=10 * DAY_S, deadline_s=20 * DAY_S)
    site.request("job-00004")
    wait_until(lambda: site.state("job-00004") is State.DELETED, what="the first is deleted")
    site.simulator.fault("error", "job-00005", times=2)
    site.request("job-00005", "job-00006")
    wait_until(lambda: site.state("job-00006") is State.DELETED, what="work is under way")

    site.set_clock("+100d")
    wait_until(lambda: site.redis_ahead_s() > 99 * DAY_S, what="Redis is in March")
    site.request("job-00007")
    wait_until(lambda: site.state("job-00007") is State.DELETED, what="what nobody has to wait for goes on")
    site.request("job-00008", delay_s=DAY_S)
    assert DAY_S - 60 < site.due_in_s("job-00008") <= DAY_S + 1
    wait_until(lambda: len(site.simulator.calls(job_id="job-00005")) >= 2, what="the retry comes when it is due")
    wait_until(lambda: site.due_in_s("job-00005") > 60, what="and is dated right")
    assert site.due_in_s("job-00005") < 800
    site.dispatcher._full_look = 0.0
    wait_until(lambda: status.look(site.app).clocks is not None, what="status says it")
    clocks = status.look(site.app).clocks or ""
    assert "Redis's clock is 100 d ahead of that of the worker" in clocks
    assert [site.state(f"job-0000{n}") for n in (1, 2, 3)] == [State.HELD, State.PENDING, State.PENDING]

    site.set_clock("+0")
    wait_until(lambda: abs(site.redis_ahead_s()) < 5, what="Redis is back")
    wait_until(lambda: status.look(site.app).clocks is None, what="the clocks agree")
    site.dispatcher._full_look = 0.0
    site.request("job-00009")
    wait_until(lambda: site.state("job-00009") is State.DELETED, what="the work goes on")
    assert [site.state(f"job-0000{n}") for n in (1, 2, 3)] == [State.HELD, State.PENDING, State.PENDING]
    assert "job-00001" in site.simulator.job_ids(), "what is on hold until January is there"


def test_redis_goes_back_an_hour_and_everybody_works_on(site: Site) -> None:
    site.dispatcher.start()
    site.request("job-00001")
    wait_until(lambda: site.state("job-00001") is State.DELETED, what="the first is deleted")
    site.set_clock("-1h")
    wait_until(lambda: site.redis_ahead_s() < -3500, what="Redis went back")
    site.request("job-00002", lane=Lane.USER)
    site.request("job-00003", delay_s=1.0)
    wait_until(lambda: site.state("job-00002") is State.DELETED, what="a person is served")
    assert site.due_in_s("job-00003") < 5
    site.set_clock("+0")
    wait_until(lambda: site.state("job-00003") is State.DELETED, what="a grace ends in its time")
