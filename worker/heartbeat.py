"""Leaves a beat each second, from Celery's own event loop, for `worker.health` to find."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import bootsteps

from worker.health import beats


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
