"""Fixtures that every test may use. A real Redis is part of the test extra, so its absence is a failure, not a skip."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, settings

from tests.parallel import compile_tests, longest_first, processes, scheduler
from tests.support import forkserver, scratch
from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from tests.support.http_site import Site
from tests.support.ledgers import Bench
from tests.support.left_behind import LeftBehind
from tests.support.waiting import PATIENCE_S
from tests.support.webhook_receiver import Receiver
from worker.config import known_secrets
from worker.execution.app_context import AppContext
from worker.ledger import connection
from worker.ledger.connection import connect
from worker.local.embedded import EmbeddedRedis
from worker.simulator import Simulator

if TYPE_CHECKING:
    from tests.support.otlp import Collector

# A slow machine is no fault, and a run says the same whenever it is repeated. `--hypothesis-profile=default` explores.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

# What these tests read is as wide and as plain as on any machine without a terminal, and they talk to nobody outside.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)
for name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)

# A machine that stands still for some seconds fails no test that reads from a Redis that is well.
connection.TIMEOUT_S = PATIENCE_S

gc.disable()  # until everything is collected
forkserver.use()
scratch.use()

# What is started in the background, or by nohup, ignores these, and so would every process that a test starts. One that
# is handled is not inherited.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Folders run on several processes by themselves; files that are named run in this one. `-n` beats both."""
    option = config.option
    one_of_several = hasattr(config, "workerinput")
    if one_of_several or not config.pluginmanager.hasplugin("xdist") or option.usepdb or option.collectonly:
        return
    if option.numprocesses is None and all(Path(each).is_dir() for each in config.args):
        option.numprocesses = processes()
    if option.numprocesses and option.dist == "no":
        option.dist = "loadscope"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and getattr(config.option, "numprocesses", None):
        compile_tests([Path(each) for each in config.args])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduler(config, log) if config.option.dist == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes; alone the order is that of the files
        longest_first(items)


def pytest_collection_finish() -> None:
    """Nothing of what is imported and collected is garbage before the end: nobody looks through it again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_known_secrets() -> None:
    """A test is a process of its own: what another one read is no secret here."""
    known_secrets.forget()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One private server for the whole session."""
    with tempfile.TemporaryDirectory(prefix="eraser-") as directory, EmbeddedRedis(Path(directory)) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The real server's address; empty at the start of each test."""
    connect(redis_server.url).flushall()
    return redis_server.url


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """An empty Redis."""
    return connect(redis_url)


@pytest.fixture
def bench(client: redis.Redis) -> Iterator[Bench]:
    """An account that may be called at once, on an empty Redis. At the end its records and indexes fit together."""
    bench = Bench(client)
    bench.open()
    yield bench
    bench.check_invariant()


@pytest.fixture
def command(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`eraser` on an empty Redis."""
    return Command(redis_url, monkeypatch)


@pytest.fixture
def app(command: Command) -> AppContext:
    """What `eraser` works with."""
    return AppContext.load(command.environ)


@pytest.fixture
def undertaker(redis_url: str) -> Undertaker:
    """Makes deletions that have ended, on the same Redis."""
    return Undertaker(redis_url)


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Iterator[Site]:
    """The HTTP side on an empty Redis."""
    one = Site(redis_url, tmp_path / "tokens.toml")
    with one.client:
        yield one


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A MetaStudio of this process, without jobs."""
    with Simulator() as app:
        yield app


@pytest.fixture
def left(command: Command, simulator: Simulator) -> LeftBehind:
    """An installation whose jobs leave something behind."""
    return LeftBehind(command, simulator)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An endpoint for webhooks."""
    with Receiver() as one:
        yield one


@pytest.fixture(params=["straight", "through Rotel"])
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    """A receiver of traces and metrics; once more behind a collector that is not ours."""
    from tests.support.otlp import Collector  # it imports much that few tests need

    made = Collector()
    with made.behind_rotel() if request.param == "through Rotel" else nullcontext():
        yield made
    made.close()
