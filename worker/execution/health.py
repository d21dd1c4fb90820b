"""Does this worker still take work? A file that Celery's own event loop touches each second tells.

A worker that stopped consuming after a Redis reconnect looks alive from outside (celery/celery#8030, #10205). Its loop
touches no file while Redis answers: that, and only that, is ill. A Redis that is away is not this worker's illness,
and a restart would not cure it.

Celery is not imported here: a probe asks every few seconds. `worker.execution.heartbeat` leaves the beats.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

STALE_S = 60.0
WORKER, BEAT = "beat", "schedule"  # how the files end that workers leave, and Celery's beat


def beats() -> Path:
    """Where the workers of this machine and user leave their beats."""
    return Path(tempfile.gettempdir()) / f"avatar-eraser-{os.getuid()}"


def stale(kind: str = WORKER, *, now: float) -> list[tuple[int, float]]:
    """(pid, seconds since its last beat) of each living one of this machine that does nothing any more."""
    found = []
    for pid, file in _left(kind):
        with suppress(FileNotFoundError):  # it ends just now, and well
            if not _is_held(file):
                file.unlink()
                continue
            age = now - file.stat().st_mtime
            if age > STALE_S:
                found.append((pid, age))
    return found


def living(kind: str = WORKER) -> list[int]:
    """Pids of those of this machine and user that live."""
    found = []
    for pid, file in _left(kind):
        with suppress(FileNotFoundError):
            if _is_held(file):
                found.append(pid)
    return found


def _left(kind: str) -> Iterator[tuple[int, Path]]:
    return ((int(file.stem), file) for file in beats().glob(f"*.{kind}") if file.stem.isdecimal())


def _is_held(file: Path) -> bool:
    """Whether the worker that left it lives. A number would not tell: a container gives the same pids again."""
    with file.open("rb") as beat:
        try:
            fcntl.flock(beat, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
