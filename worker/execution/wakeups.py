"""Wake-ups: the Celery messages that start executors. A wake-up that cannot be sent costs one tick of the
dispatcher.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery

from worker.execution import tracing

log = logging.getLogger(__name__)

MOST = 1000  # messages in the queue: then no worker reads it, and one more message would change nothing
ROOM_S = 1.0  # how long a queue that had room is taken to have some: a look asks for each priority by itself

_had_room: WeakKeyDictionary[Celery, float] = WeakKeyDictionary()  # until when it is taken to


def send_wakeup(app: Celery, account: str, wakeup: str) -> bool:
    """Start an executor; returns whether the wake-up could be sent."""
    try:
        with app.producer_pool.acquire(block=True) as producer:
            if time.monotonic() >= _had_room.get(app, 0.0):
                if is_full(app, producer, "eraser.work"):
                    return False
                _had_room[app] = time.monotonic() + ROOM_S
            how: dict[str, Any] = {"retry": False, "expires": 60, "ignore_result": True, "producer": producer}
            with tracing.wakeup():
                app.send_task("eraser.work", args=[account, wakeup], headers=tracing.headers(), **how)
    except Exception as error:  # kombu raises what its transport does
        log.warning("wakeup.lost", extra={"account": account, "error": type(error).__name__})
        return False
    return True


def is_full(app: Celery, producer: Any, task: str) -> bool:
    """Whether so many messages wait in the task's queue that no worker can be reading it. Raises what kombu raises.

    Always False if the broker's transport does not count its messages as kombu's own do.
    """
    size = getattr(producer.channel, "_size", None)
    return size is not None and size(app.amqp.router.route({}, task)["queue"].name) >= MOST
