"""One machine: its own Redis, a worker and a schedule as child processes, restarted if they die, and stopped in order.

    DIR/up.lock     held by `eraser up` and its reaper process until the last process has ended: one `up` per directory
    DIR/redis.*     see `worker.local.embedded`
    DIR/receipts    see `worker.receipts.dayfiles`
    DIR/beat-*      the state of Celery's beat

Even if it is killed, nothing is lost: Redis has each accepted deletion on disk before the caller gets "accepted", and
the next `up` continues.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from worker.config.data_directory import find_running
from worker.config.settings import Settings
from worker.execution.app_context import AppContext, policy_file
from worker.ledger.connection import connect
from worker.local import child_reaper
from worker.local.embedded import EmbeddedRedis, try_lock
from worker.local.processes import KILLED_GRACE_S, Child, Guard, celery, raise_if_stopped, undisturbed
from worker.metastudio.wiring import source_of
from worker.model.errors import EraserError, SettingsError, UsageError

log = logging.getLogger(__name__)

WORKER = ("worker", "--without-mingle", "--without-gossip", "--loglevel", "INFO")  # saves a second at each start
HOST, PORT = "127.0.0.1", 8710  # of the HTTP side
TICK_S = 0.2
LOOK_AT_REDIS_S = 2.0
LAST_ONE_S = 20.0  # how long to wait for the processes of an `up` that was killed


def check(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise `UsageError` with everything that is missing, if no account could send a deletion."""
    missing: list[str] = []
    broken: set[str] = set()
    for account in settings.accounts.values():
        for need in (
            account.require_endpoint,
            lambda account=account: source_of(account.credentials, environ).current(),
        ):
            try:
                need()
            except SettingsError as error:
                missing.append(str(error))
                broken.add(account.name)
            except EraserError as error:  # IAM is unreachable: no reason not to start, the gate waits for it
                log.warning("credentials.unchecked", extra={"account": account.name, "error": str(error)})
    policy_file(settings).current()
    if len(broken) == len(settings.accounts):  # otherwise the worker serves the others, and the gates say what is wrong
        raise UsageError(
            "cannot delete anything yet, please set:\n\n  "
            + "\n  ".join(dict.fromkeys(missing))
            + "\n\nNo account at hand? `eraser demo` shows everything, and `eraser simulator` is a MetaStudio to try."
        )


@dataclass
class Household:
    """The processes of `eraser up`."""

    directory: Path
    settings: Settings
    guard: Guard
    redis: EmbeddedRedis | None  # None: ERASER_REDIS_URL names another one
    children: list[Child] = field(default_factory=list)
    port: int = PORT  # of the HTTP side
    address: str | None = None  # None: its extra is not installed
    _looked: float = 0.0
    _silent: int = 0

    @property
    def redis_url(self) -> str:
        return self.redis.url if self.redis else self.settings.redis_url or ""

    def start(self, environ: Mapping[str, str]) -> None:
        """Start the children; their environment has everything."""
        theirs = children_environment(environ, self.redis_url)
        receipts = self.settings.receipts_dir or self.directory / "receipts"
        theirs["ERASER_RECEIPTS_DIR"] = str(receipts.expanduser().absolute())
        beat = celery("beat", "--loglevel", "INFO", "--schedule", str(self.directory / "beat-schedule"))
        commands = {"worker": celery(*WORKER), "beat": beat}
        if has_web():
            self.address = f"http://{HOST}:{self.port}"
            words = ("console", "--port", str(self.port), "--no-link")  # the link is printed by `eraser up`
            commands["console"] = [sys.executable, "-m", "worker.interfaces.cli", *words]
        for name, command in commands.items():
            grace_s = self.settings.call_timeout + 10.0 if name == "worker" else 5.0
            self.children.append(Child(name, command, theirs, self.directory, self.guard, grace_s=grace_s))
            self.children[-1].start()

    def keep(self) -> None:
        """Keep everything running. Ends by an exception, such as `Stopped`."""
        while True:
            raise_if_stopped()
            self.tick()
            time.sleep(TICK_S)

    def tick(self) -> None:
        """One check: restart what has died, after a growing pause."""
        for child in self.children:
            if (how := child.ended()) is not None:
                log.warning(
                    "child.ended", extra={"child": child.name, "how": how, "again_in_s": round(child.pause_left_s, 1)}
                )
            if child.start_if_time():
                log.info("child.started", extra={"child": child.name, "pid": child.pid})
        if self.redis and time.monotonic() - self._looked >= LOOK_AT_REDIS_S:
            self._looked = time.monotonic()
            self._look_at_redis(self.redis)

    def _look_at_redis(self, redis: EmbeddedRedis) -> None:
        self._silent = 0 if find_running(self.directory) else self._silent + 1
        if self._silent < 2:
            return
        log.warning("redis.ended", extra={"log": str(redis.log)})
        try:
            start_redis(redis, self.guard)
            log.info("redis.started", extra={"pid": redis.pid})
        except EraserError as error:
            log.error("redis.refused", extra={"error": str(error)})

    def stop(self) -> None:
        """Stop the children first, so that their last answers are recorded; then Redis."""
        for child in self.children:
            child.ask_to_end()
        for child in self.children:
            child.wait_until_ended()
        if self.redis:
            stop_redis(self.redis, self.guard)


@contextlib.contextmanager
def household(
    directory: Path, settings: Settings, environ: Mapping[str, str], *, port: int = PORT
) -> Iterator[Household]:
    """Lock the directory, start everything, and stop everything at the end."""
    directory = directory.expanduser().absolute()
    redis = None
    if settings.redis_url is None:
        redis = EmbeddedRedis(directory, server=settings.redis_server, appendfsync="always")
    with _directory_of_our_own(directory) as lock, undisturbed_guard(lock) as keeper:
        home = Household(directory, settings, keeper, redis, port=port)
        try:
            if redis:
                start_redis(redis, keeper)
            AppContext.load(children_environment(environ, home.redis_url)).check_ledger()
            home.start(environ)
            yield home
        finally:
            home.stop()


@contextlib.contextmanager
def undisturbed_guard(lock: IO[str]) -> Iterator[Guard]:
    """A reaper process that also holds the lock: the next `up` waits until all processes of this one have ended."""
    with undisturbed():
        keeper = Guard(holds=[lock.fileno()])
    try:
        yield keeper
    finally:
        keeper.dismiss()


@contextlib.contextmanager
def _directory_of_our_own(directory: Path) -> Iterator[IO[str]]:
    """Hold DIR/up.lock. Raises `UsageError` if another `up` has it; waits for the processes of a killed one."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "redis.start").touch(mode=0o600)  # marks the directory for `EmbeddedRedis`
        lock = (directory / "up.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot use {directory} for the data: {error.strerror}") from None
    with lock:
        until = time.monotonic() + LAST_ONE_S
        while not try_lock(lock):
            lock.seek(0)
            pid = lock.read().strip()
            if pid.isdecimal() and child_reaper.lives(int(pid)):
                raise UsageError(
                    f"another `eraser up` runs on {directory}, process {pid}: use that one, stop it, "
                    "or name another directory with --data"
                )
            if time.monotonic() > until:
                raise UsageError(f"processes of an earlier `eraser up` on {directory} do not end: check `ps`")
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def has_web() -> bool:
    """Whether the extra `web` is installed: the rest works without it."""
    return all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn", "jinja2"))


def chosen_port(port: int | None) -> int:
    """The port that was named, if it is free; else the default one, or any free one if that is taken.

    Raises `UsageError` for one that was named and is taken, before anything is started.
    """
    for one in (PORT, 0) if port is None else (port,):
        with contextlib.suppress(OSError), socket.create_server((HOST, one)) as found:
            return int(found.getsockname()[1])
    if port is None:
        return PORT
    raise UsageError(f"cannot listen on {HOST}, port {port}: another program has it; name another --port, or 0 for any")


def start_redis(redis: EmbeddedRedis, keeper: Guard) -> None:
    """Start or adopt it. An adopted one may have been started with weaker durability: that is corrected."""
    with undisturbed():
        redis.start()
        with contextlib.closing(connect(redis.url)) as client:
            client.config_set("appendfsync", redis.appendfsync)
            pid = int(client.info("server")["process_id"])
        keeper.watch(pid, KILLED_GRACE_S)


def stop_redis(redis: EmbeddedRedis, keeper: Guard) -> None:
    """Stop it, adopted or not: nothing else uses this directory any more."""
    pid = redis.pid
    if pid is None and find_running(redis.directory):
        with contextlib.closing(connect(redis.url)) as client:
            pid = int(client.info("server")["process_id"])
        child_reaper.end(pid, KILLED_GRACE_S)
    redis.stop()
    if pid is not None:
        keeper.unwatch(pid)


def children_environment(environ: Mapping[str, str], redis_url: str) -> dict[str, str]:
    """The environment of the children: our Redis, none of Celery's variables, and absolute paths."""
    theirs = {name: value for name, value in environ.items() if not name.startswith("CELERY_")}
    for name, value in theirs.items():
        if (name.endswith("_FILE") or name == "ERASER_CONFIG") and value and Path(value).expanduser().exists():
            theirs[name] = str(Path(value).expanduser().absolute())
    theirs.pop("ERASER_REDIS_URL_FILE", None)
    return theirs | {"ERASER_REDIS_URL": redis_url}
