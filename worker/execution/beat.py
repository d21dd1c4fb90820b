"""Celery beat's scheduler. It leaves a heartbeat, and adds nothing to a queue that no worker reads."""

from __future__ import annotations

import os
from typing import Any

from celery.beat import PersistentScheduler

from worker.execution.health import BEAT, beats
from worker.execution.heartbeat import Beat
from worker.execution.wakeups import is_full


class Scheduler(PersistentScheduler):
    """Celery's scheduler. `eraser health --beat` checks whether it still ticks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._beat = Beat(beats() / f"{os.getpid()}.{BEAT}")
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> Any:
        self._beat.touch()
        return super().tick(*args, **options)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        if producer is not None and is_full(self.app, producer, entry.task):
            return self.reserve(entry) if advance else None
        return super().apply_async(entry, producer=producer, advance=advance, **options)

    def close(self) -> None:
        super().close()
        self._beat.end()
