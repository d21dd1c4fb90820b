"""Celery's consumer, which comes back sooner than its own when Redis was away, and speaks to no other worker."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as TheirConsumer
from kombu import Connection

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 3  # Celery's own grow to half a minute, whatever the settings say


class Consumer(TheirConsumer):
    """Gossip and mingle serve nothing here: they cost a second at the start and a traceback when Redis goes away."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})

    def ensure_connected(self, conn: Connection) -> Connection:
        # their pauses can be set in no other way
        conn.ensure_connection = partial(  # type: ignore[method-assign]
            conn.ensure_connection, interval_start=FIRST_PAUSE_S, interval_step=1, interval_max=LONGEST_PAUSE_S
        )
        return super().ensure_connected(conn)
