"""Starts Python programs in a moment: children of a process that has imported what they import.

A worker takes 0.7 s of a core to import Celery and everything else, the suite starts some hundred, and nearly all of
them are there to be killed, frozen or stopped. Here each is a process of its own as ever (pid, session, environment,
directory, log, exit code), forked from one that has imported the libraries and what lies below the Celery application,
and has done nothing else. The application itself is imported by each child, from its own environment.

`/proc/<pid>/cmdline` is the server's. Where that or the start itself is what is tested, use `subprocess`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

CHECKOUT = Path(__file__).parents[2]  # what is tested is what lies here, whatever is installed
IMPORTED = """
celery.apps.beat celery.apps.worker celery.bin.celery celery.concurrency.thread celery.events.state
celery.worker.consumer celery.worker.strategy kombu.transport.redis
jinja2 rich.progress starlette.testclient uvicorn
worker.execution.beat worker.execution.dispatcher worker.execution.fallback worker.execution.heartbeat
worker.execution.intake worker.execution.live_workers worker.receipts.archiving worker.receipts.rechecker
worker.interfaces.console worker.interfaces.cli.request worker.interfaces.cli.status worker.simulator.__main__
"""
RUN_S = 240.0  # far more than any program takes that ends by itself
INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "VIRTUAL_ENV")
_in_use = False


def clean() -> dict[str, str]:
    """The least that a process needs: nobody's settings for us, for the official SDK or for Celery."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | {"PYTHONPATH": str(CHECKOUT)}


def use() -> None:
    """From now on in this process; without it every start is one from scratch (benchmarks measure those)."""
    global _in_use
    _in_use = sys.platform == "linux"  # macOS: what its frameworks keep does not survive a fork


def run(argv: Iterable[str | Path], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run`: what a program says that reads nothing."""
    words = [str(word) for word in argv]
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        code = start(words, cwd=cwd, env=env, log=out, errors=err).wait(RUN_S)
        texts = [Path(file.name).read_text(encoding="utf-8") for file in (out, err)]
        return subprocess.CompletedProcess(words, code, *texts)


def start(
    argv: list[str], *, cwd: Path, env: Mapping[str, str], log: IO[bytes], errors: IO[bytes] | None = None
) -> subprocess.Popen[bytes] | Forked:
    """Like `subprocess.Popen` in a session of its own that writes to `log`, or to that and `errors`; reads nothing."""
    errors = errors or log
    python = argv[0] == sys.executable and argv[1] == "-m"
    script = Path(argv[0]).parent == Path(sys.executable).parent and Path(argv[0]).name == "eraser"
    interpreter = {name: value for name, value in env.items() if name.startswith("PYTHON")}  # read at its start only
    if _in_use and (python or script) and interpreter == {"PYTHONPATH": str(CHECKOUT)}:
        return _server().start(argv, cwd, env, log.name, errors.name)
    return subprocess.Popen(
        argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=errors, start_new_session=True
    )


class Forked:
    """What tests use of a `Popen`."""

    def __init__(self, server: _Server, pid: int) -> None:
        self._server = server
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        return self._server.codes.get(self.pid)

    def poll(self) -> int | None:
        self._server.listen(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._server.listen(0.05)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class _Server:
    """The side of the tests. It ends with them, because its input does."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forkserver"],
            cwd=CHECKOUT,
            env=clean(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._lock = threading.RLock()
        self._rest = b""
        self._started: list[int] = []
        self.codes: dict[int, int] = {}  # by pid, of those that have ended
        atexit.register(self._end)

    def start(self, argv: list[str], cwd: Path, env: Mapping[str, str], log: str, errors: str) -> Forked:
        what = {"argv": argv, "cwd": str(cwd), "env": dict(env), "log": log, "errors": errors}
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
            while not self._started:
                self.listen(60)
            return Forked(self, self._started.pop())

    def listen(self, seconds: float) -> None:
        """Take in what the server says, waiting so long for the first of it."""
        with self._lock:
            assert self._process.stdout is not None
            source = self._process.stdout.fileno()
            while select.select([source], [], [], seconds)[0]:
                came = os.read(source, 65536)
                if not came:
                    raise RuntimeError(f"the fork server ended with {self._process.wait()}")
                *lines, self._rest = (self._rest + came).split(b"\n")
                for line in lines:
                    word, pid, *code = line.split()
                    if word == b"started":
                        self._started.append(int(pid))
                        self.codes.pop(int(pid), None)  # of an earlier process with this number
                    else:
                        self.codes[int(pid)] = int(code[0])
                seconds = 0

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@cache
def _server() -> _Server:
    return _Server()


def _serve() -> dict[str, Any] | None:
    """Fork whenever a line says so. Returns in each child, with what it is to be; and at the end."""
    for name in IMPORTED.split():
        importlib.import_module(name)
    gc.freeze()
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    rest = b""
    while True:
        ready = select.select([0, wakes], [], [])[0]
        if wakes in ready:
            os.read(wakes, 4096)
            _report_ended()
        if 0 not in ready:
            continue
        came = os.read(0, 1 << 20)
        if not came:
            return None
        *lines, rest = (rest + came).split(b"\n")
        for line in lines:
            if os.fork() == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(wakes)
                os.close(wake)
                os.setsid()
                _tell(f"started {os.getpid()}")  # not before: whoever hears of it may kill its group
                what: dict[str, Any] = json.loads(line)
                return what


def _report_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def _tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def _become(argv: list[str], cwd: str, env: dict[str, str], log: str, errors: str) -> None:
    """From here on this process is the program."""
    for new, (name, mode) in enumerate(((os.devnull, os.O_RDONLY), (log, os.O_WRONLY), (errors, os.O_WRONLY))):
        old = os.open(name, mode | os.O_APPEND)
        os.dup2(old, new)
        os.close(old)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    if argv[0] == sys.executable:
        sys.argv, sys.path[0] = argv[2:], cwd
        runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = argv, str(Path(argv[0]).parent)
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__" and (program := _serve()) is not None:
    _become(**program)
