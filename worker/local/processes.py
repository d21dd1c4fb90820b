"""Child processes: started, watched, restarted, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from worker.local import child_reaper

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # between the starts of a child that keeps dying
KILLED_GRACE_S = 10.0  # a child whose starter was killed may finish its call, but not run forever
STEADY_S = 60.0  # a child that lived this long is restarted without a pause
_NOT_THEIRS = ("ERASER_", "HUAWEICLOUD_", "CELERY_", "SENTRY_")


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without any settings for avatar-eraser, the official SDK, Celery or Sentry."""
    return {name: value for name, value in environ.items() if not name.startswith(_NOT_THEIRS)}


def celery(*words: str) -> list[str]:
    """Celery's own command line, in this interpreter, without its banner."""
    return [sys.executable, "-m", "celery", "--quiet", "-A", "worker", *words]


class Guard:
    """Makes sure that everything that was started here ends and is removed, even if this process is killed (see
    `guard`).
    """

    def __init__(self, *, holds: Sequence[int] = ()) -> None:
        """holds: open descriptors, such as a lock, that must stay open until everything has ended."""
        self._process = subprocess.Popen(  # noqa: S603  this interpreter, a file of ours
            [sys.executable, "-I", child_reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=holds,
            start_new_session=True,  # the terminal's Ctrl-C is for us
            text=True,
        )

    def watch(self, pid: int, grace_s: float) -> None:
        self._tell(f"+{pid} {grace_s}")

    def unwatch(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def remove_at_end(self, directory: Path) -> None:
        self._tell(f"dir {directory}")

    def dismiss(self) -> None:
        """Let it end the remaining processes and remove the directories; returns when that is done."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, order: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()


@dataclass
class Child:
    """One child process. `grace_s` is the time that it has to end after SIGTERM."""

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str]
    directory: Path
    guard: Guard
    output: IO[bytes] | None = None  # None: this process's environment
    grace_s: float = 10.0
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _again: float = 0.0
    _pause_s: float = field(default=FIRST_PAUSE_S)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        with undisturbed():
            self._process = subprocess.Popen(  # noqa: S603  no shell
                self.argv,
                env=dict(self.environ),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                start_new_session=True,  # Ctrl-C reaches only this process, which decides the order of the ends
            )
            self.guard.watch(self._process.pid, KILLED_GRACE_S)
        self.starts += 1
        self._started = time.monotonic()

    def ended(self) -> str | None:
        """How it ended, returned once, or None. `start_if_time` restarts it."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._forget()
        if time.monotonic() - self._started >= STEADY_S:
            self._pause_s = FIRST_PAUSE_S
        self._again = time.monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def start_if_time(self) -> bool:
        """Restart it if it has ended and its pause is over."""
        if self._process is not None or time.monotonic() < self._again:
            return False
        self.start()
        return True

    @property
    def pause_left_s(self) -> float:
        return max(0.0, self._again - time.monotonic())

    def ask_to_end(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._forget()

    def wait_until_ended(self) -> None:
        """After `ask_to_end`: wait for the grace, then end it by force."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.grace_s)
        self.kill()

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.send_signal(number)

    def _forget(self) -> None:
        if self._process is not None:
            self.guard.unwatch(self._process.pid)
        self._process = None


class Stopped(BaseException):
    """This process was asked to end. Not an error, so that no `except Exception` swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Stops:
    """State of the signal handlers: whether a signal has to wait, which one waits, and which one came."""

    undisturbed = 0
    waiting: int | None = None
    number: int | None = None


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise `Stopped` inside, once; a second one ends this process at once.

    A signal that was ignored at the start stays ignored: `nohup` means that a closed terminal is no reason to end, and
    a shell starts background processes with Ctrl-C ignored.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, at_once)
        _Stops.number = number
        if _Stops.undisturbed:
            _Stops.waiting = number
        else:
            raise Stopped(number)

    def at_once(number: int, _frame: FrameType | None) -> None:
        os._exit(128 + number)  # the reaper process ends what is left

    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _Stops.number = None
    numbers = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_if_stopped() -> None:
    """Raise `Stopped` once more: Python drops what is raised while it collects garbage. For loops that never end."""
    if _Stops.number is not None:
        raise Stopped(_Stops.number)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, `Stopped` waits: otherwise a process could be started without being recorded."""
    _Stops.undisturbed += 1
    try:
        yield
    finally:
        _Stops.undisturbed -= 1
        number, _Stops.waiting = _Stops.waiting, None
        if number is not None:
            raise Stopped(number)
