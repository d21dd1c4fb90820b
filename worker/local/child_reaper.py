"""A small process that outlives the one that started it, ends its children and removes its directory.

After `kill -9` a program cannot clean up, and its children would keep running. So it starts this process first and
tells it over a pipe what to clean up; the kernel closes the pipe when the program is gone for any reason. Standard
library only and run as a file, so that it starts within milliseconds.

    +PID GRACE      a process to end: with SIGTERM, then by force after GRACE seconds; the last one first
    -PID            it has ended
    dir PATH        a directory to remove at the very end
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable


def main(lines: Iterable[str]) -> None:
    """Read commands until the pipe closes, then execute them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends after its starter, not before
    grace: dict[int, float] = {}
    directories: list[str] = []
    for line in lines:
        order = line.rstrip("\n")
        if order.startswith("+"):
            pid, _, patience = order[1:].partition(" ")
            grace[int(pid)] = float(patience)
        elif order.startswith("-"):
            grace.pop(int(order[1:]), None)
        elif order.startswith("dir "):
            directories.append(order[4:])
    for child in reversed(grace):
        end(child, grace[child])
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def end(pid: int, seconds: float) -> None:
    """SIGTERM, and SIGKILL if the process has not ended in time."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 5.0
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether the process is running, and not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


if __name__ == "__main__":
    main(sys.stdin)
