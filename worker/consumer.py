"""Celery's consumer, less what serves nothing here, and quicker to find Redis again and to fill a free thread."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from celery import signals
from celery.worker.consumer import Consumer as TheirConsumer
from kombu import Connection
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 3  # Celery's own grow to half a minute, whatever the settings say
LOOKS_S = (0.005, 0.05)  # after a task's end, when its thread is free


class Consumer(TheirConsumer):
    """Gossip and mingle are left out: they cost a second at the start and a traceback when Redis goes away."""

    hub: Any  # theirs; None where the pool has no event loop
    _told = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})
        signals.task_postrun.connect(self._look_for_messages, weak=False)

    def ensure_connected(self, conn: Connection) -> Connection:
        # their pauses can be set in no other way
        conn.ensure_connection = partial(  # type: ignore[method-assign]
            conn.ensure_connection, interval_start=FIRST_PAUSE_S, interval_step=1, interval_max=LONGEST_PAUSE_S
        )
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        if not self._refused(exc):
            super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        if not self._refused(exc):
            super().on_connection_error_after_connected(exc)

    def _refused(self, exc: Exception) -> bool:
        """Whether Redis answers and takes nothing, not even a queue: said once, and tried again after a pause."""
        refused = isinstance(exc, ResponseError)
        if refused:
            if not self._told:
                log.warning("broker.refuses", extra={"error": str(exc)})
            time.sleep(LONGEST_PAUSE_S if self._told else FIRST_PAUSE_S)
        self._told = refused
        return refused

    def _look_for_messages(self, **_: object) -> None:
        """With all threads busy the event loop stops to fetch, and sees that one is free only when something wakes it.

        That something was a timer, up to a second later (celery 5.7, `worker_disable_prefetch` without late acks). The
        signal comes just before the thread counts as free, hence the second look.
        """
        if self.hub is not None:
            for pause in LOOKS_S:
                self.hub.call_soon(self.hub.call_later, pause, bool)
