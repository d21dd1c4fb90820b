"""Which processes of a test still live: all that were started with its TMPDIR, whoever started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S, wait_until


def processes(marker: Path) -> dict[int, str]:
    """Pid and command line of each living process that has the directory as its TMPDIR."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                environ = (entry / "environ").read_bytes()  # empty for a zombie
                if any(each.startswith(f"TMPDIR={marker}".encode()) for each in environ.split(b"\0")):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(entry.name)] = command.strip()
    return found


def kill_all(marker: Path) -> None:
    """kill -9 everything at once, as a power cut would."""
    while found := processes(marker):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def nothing_left(marker: Path, timeout: float = PATIENCE_S) -> None:
    wait_until(lambda: not processes(marker), timeout, what=f"no process left; there are {processes(marker)}")


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A short TMPDIR for the processes of one test; at its end they are gone, or killed."""
    path = Path(tempfile.mkdtemp(prefix="eraser-test-"))
    try:
        yield path
    finally:
        kill_all(path)
        shutil.rmtree(path, ignore_errors=True)
