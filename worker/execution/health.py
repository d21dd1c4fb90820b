"""Does this worker still take work? Celery's own event loop touches a file each second; its age is the answer.

A worker that stopped consuming after a Redis reconnect looks alive from outside (celery/celery#8030, #10205). Its loop
touches no file while Redis answers: that, and only that, is a failure. An unreachable Redis is not this worker's fault,
and a restart would not help.

Celery is not imported here: because a probe runs every few seconds. `worker.execution.heartbeat` writes the heartbeats.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

STALE_S = 60.0
WORKER, BEAT = "beat", "schedule"  # suffixes of the files of workers and of Celery's beat


def beats() -> Path:
    """Where the workers of this machine and user write their heartbeats."""
    return Path(tempfile.gettempdir()) / f"avatar-eraser-{os.getuid()}"


def stale(kind: str = WORKER, *, now: float) -> list[tuple[int, float]]:
    """(pid, seconds since its last heartbeat) of each running process of this machine that no longer takes work."""
    return [(pid, now - last_beat) for pid, last_beat in _running(kind) if now - last_beat > STALE_S]


def living(kind: str = WORKER) -> list[int]:
    """Pids of the running ones of this machine and user."""
    return [pid for pid, _ in _running(kind)]


def _running(kind: str) -> Iterator[tuple[int, float]]:
    """Pid and last heartbeat of each running one. The files of others are removed."""
    for file in beats().glob(f"*.{kind}"):
        with suppress(FileNotFoundError):  # it is just ending normally
            if file.stem.isdecimal() and _is_held(file):
                yield int(file.stem), file.stat().st_mtime
            elif file.stem.isdecimal():
                file.unlink()


def _is_held(file: Path) -> bool:
    """Whether the worker that wrote it is running. The pid would not tell: a container reuses pids."""
    with file.open("rb") as beat:
        try:
            fcntl.flock(beat, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
