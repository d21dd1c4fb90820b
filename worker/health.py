"""Does this worker still take work? A file that Celery's own event loop touches each second tells.

A worker that stopped consuming after a Redis reconnect looks alive from outside (celery/celery#8030, #10205). Its loop
touches no file while Redis answers: that, and only that, is ill. A Redis that is away is not this worker's illness,
and a restart would not cure it.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from celery import bootsteps

STALE_S = 60.0


def beats() -> Path:
    """Where the workers of this machine and user leave their beats."""
    return Path(tempfile.gettempdir()) / f"avatar-eraser-{os.getuid()}"


def stale(*, now: float) -> list[tuple[int, float]]:
    """(pid, seconds since its last beat) of each living worker of this machine that no longer takes work."""
    found = []
    for file in beats().glob("*.beat"):
        pid = int(file.stem)
        if not _lives(pid):
            file.unlink(missing_ok=True)
            continue
        age = now - file.stat().st_mtime
        if age > STALE_S:
            found.append((pid, age))
    return found


def living() -> list[int]:
    """Pids of the workers of this machine."""
    return [int(file.stem) for file in beats().glob("*.beat") if _lives(int(file.stem))]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class HeartbeatStep(bootsteps.StartStopStep):
    """Touches this worker's beat from Celery's event loop."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self._entry: Any = None
        self._file = beats() / f"{os.getpid()}.beat"
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        beats().mkdir(mode=0o700, exist_ok=True)
        self._touch()
        self._entry = parent.timer.call_repeatedly(1.0, self._touch, priority=10)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - bootsteps pass it
        if self._entry:
            self._entry.cancel()
        self._file.unlink(missing_ok=True)

    terminate = stop

    def _touch(self) -> None:
        self._file.touch()
        now = time.time()
        os.utime(self._file, (now, now))
