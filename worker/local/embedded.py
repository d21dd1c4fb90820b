"""A private, durable Redis for one machine: for `eraser demo`, `eraser up` and the tests.

    DIR/redis.start   flock held during a start: of six starters one starts the server, the other five adopt it
    DIR/redis.alive   flock held by the server itself, through an inherited descriptor, as long as it lives: the kernel
                      knows whether two servers would write the same files, whatever became of socket and parent
    DIR/redis.sock    the only access: no TCP port to collide or to expose, and no password needed in a 0700 directory
    DIR/redis.at      where the socket is instead, if DIR is too deep for one (sun_path ends near 100 bytes)
    DIR/redis.log, DIR/redis.pid, DIR/appendonly*

Whoever started the server stops it, at exit or on SIGTERM and SIGHUP. If the starter is killed the server stays,
with its data, and the next starter adopts it; it then has no owner and runs until it is stopped by hand.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal

from worker.config.data_directory import ping, socket_of, text_of, url_of
from worker.config.redis_urls import broker_form
from worker.local.redis_server import COMPACT_VALUE, find_server, refuse_old
from worker.model.errors import Unreachable, UsageError

LONGEST_SOCKET = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS
ANSWER_TIMEOUT = 20.0  # seconds until a server that does not answer is given up; loading its data counts as answering
STOP_TIMEOUT = 10.0  # seconds for the server to write the last second of data before it is killed
LARGEST_LOG = 4_000_000  # bytes; a larger log is moved to redis.log.1 at the next start
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TMPDIR")  # no secret reaches the server

Fsync = Literal["everysec", "always"]
Handler = Callable[[int, FrameType | None], Any] | int


class EmbeddedRedis:
    """One server on one directory. `start()`, or `with EmbeddedRedis(directory) as redis: redis.url`."""

    def __init__(self, directory: Path, *, server: Path | None = None, appendfsync: Fsync = "everysec") -> None:
        self.directory = directory.expanduser().absolute()
        self.log = self.directory / "redis.log"
        self._server = server
        self.appendfsync = appendfsync
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: Path | None = None  # of the server that this object started
        self._starter = os.getpid()  # a forked child must not stop what its parent started

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """As redis-py reads it."""
        return url_of(socket_of(self.directory))

    @property
    def broker_url(self) -> str:
        """As Celery reads it."""
        return broker_form(self.url)

    @property
    def pid(self) -> int | None:
        """The server's process, or None if it was adopted or does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Start the server, or adopt the one that runs here, and return its URL once it answers.

        Raises `SettingsError` (no server, or too old), `UsageError` (directory) or `Unreachable` (it does not start).
        May be called again, for instance after the server died.
        """
        self._prepare_directory()
        with _locked(self.directory / "redis.start"):
            self._adopt_or_launch()
        return self.url

    def stop(self) -> None:
        """Stop the server if this object started it: gracefully (its data is written), then by force."""
        if self._process is None or os.getpid() != self._starter:
            return
        self._process.terminate()  # the same to the server as SHUTDOWN, but it needs no socket
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT)
        self._process.kill()  # does nothing if it has ended
        self._process.wait()
        self._process = None
        if self._socket is not None and self._socket.parent != self.directory:
            _remove_socket(self._socket, self.directory)  # no other server's: a later one has its own directory
        atexit.unregister(self.stop)
        self._leave_signals_alone()

    def _prepare_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.stat()
            mine = found.st_uid == os.geteuid()
            strange = not (self.directory / "redis.start").exists() and any(self.directory.iterdir())
            if not mine or (strange and stat.S_IMODE(found.st_mode) & 0o077):
                raise UsageError(
                    f"{self.directory}: the data needs a directory of its own, which only this user can read; "
                    "this one belongs to another user or holds other files: name one that does not exist yet"
                )
            self.directory.chmod(0o700)
        except OSError as error:
            raise UsageError(f"cannot use {self.directory} for the data: {error.strerror}") from None

    def _adopt_or_launch(self) -> None:
        with (self.directory / "redis.alive").open("ab") as alive:
            if _until_ready(self.directory, lambda: try_lock(alive) and self._launch(alive.fileno())):
                return
        pid = text_of(self.directory / "redis.pid") or "see redis.pid"
        raise Unreachable(
            f"stop process {pid} (kill -9) before the next start: this server of an earlier one still uses "
            f"{self.directory} and does not answer; its log: {self.log}"
        )

    def _launch(self, alive: int) -> bool:
        server = self._server or find_server()
        refuse_old(server)
        where = self._socket = self._place_socket()
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        self._starter = os.getpid()
        self._stop_when_ended()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the server of our own choice, no shell
                [server, *self._options(where)],
                cwd=self.directory,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[alive],  # the server itself holds redis.alive
                start_new_session=True,  # the terminal's Ctrl-C is for us; we decide when the server stops
                umask=0o077,
            )
        try:
            if not _until_ready(self.directory, self._refuse_ended):
                raise Unreachable(f"the Redis server did not answer for {ANSWER_TIMEOUT:g} s: look at {self.log}")
        except BaseException:
            self.stop()
            raise
        return True

    def _options(self, where: Path) -> list[str]:
        chosen = {
            "port": "0",
            "unixsocket": str(where),
            "unixsocketperm": "700",  # Redis's own default is 755
            "dir": str(self.directory),
            "pidfile": str(self.directory / "redis.pid"),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "aof-use-rdb-preamble": "no",  # commands only, which an older or another server can read too
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-ziplist-value": str(COMPACT_VALUE),  # the name that every version knows
        }
        return [word for option, value in chosen.items() for word in (f"--{option}", value)]

    def _place_socket(self) -> Path:
        """A path that is short enough. Whatever was there belonged to a dead server, because we hold redis.alive."""
        _remove_socket(socket_of(self.directory), self.directory)
        where, pointer = self.directory / "redis.sock", self.directory / "redis.at"
        pointer.unlink(missing_ok=True)
        if len(os.fsencode(where)) > LONGEST_SOCKET:
            base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108  mkdtemp is private
            where = Path(tempfile.mkdtemp(prefix="eraser-", dir=base)) / "redis.sock"
            pointer.write_text(str(where), encoding="utf-8")
        return where

    def _refuse_ended(self) -> bool:
        if self._process and self._process.poll() is not None:
            last = (text_of(self.log) or "(empty)").splitlines()[-1]
            raise Unreachable(f"the Redis server ended at once: {last} (log: {self.log})")
        return False

    def _stop_when_ended(self) -> None:
        """Python ends without clean-up on SIGTERM and SIGHUP unless they are turned into an exit."""
        atexit.unregister(self.stop)
        atexit.register(self.stop)
        _replace_handlers(signal.SIG_DFL, _exit)

    def _leave_signals_alone(self) -> None:
        _replace_handlers(_exit, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _replace_handlers(old: Handler, new: Handler) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is old:
                signal.signal(number, new)


def _until_ready(directory: Path, otherwise: Callable[[], bool]) -> bool:
    """Wait until the server of a directory answers, or `otherwise` is true; loading its data counts as answering."""
    end = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < end:
        if otherwise():
            return True
        response = ping(socket_of(directory))
        if response == "ready":
            return True
        if response == "loading":
            end = time.monotonic() + ANSWER_TIMEOUT
        time.sleep(0.005)
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file. Waits while another starter is at work: that one gives up by itself, or the kernel releases
    the lock.
    """
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(file: IO[Any]) -> bool:
    """Lock a file if no other process has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_socket(where: Path, directory: Path) -> None:
    with contextlib.suppress(OSError):
        where.unlink(missing_ok=True)
        if where.parent != directory:
            where.parent.rmdir()
