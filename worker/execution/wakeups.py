"""Wake-ups: the Celery messages that call executors. A wake-up that cannot be sent costs one tick of the dispatcher."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery

log = logging.getLogger(__name__)

MOST = 1000  # messages in their queue: there nobody takes any, and another one would say nothing new


def send_wakeup(app: Celery, account: str, wakeup: str) -> bool:
    """Call an executor; says whether the wake-up could be sent."""
    try:
        with app.producer_pool.acquire(block=True) as producer:
            if is_full(app, producer, "eraser.work"):
                return False
            app.send_task(
                "eraser.work", args=[account, wakeup], retry=False, expires=60, ignore_result=True, producer=producer
            )
    except Exception as error:  # kombu raises what its transport does
        log.warning("wakeup.lost", extra={"account": account, "error": type(error).__name__})
        return False
    return True


def is_full(app: Celery, producer: Any, task: str) -> bool:
    """Whether so many messages wait in the task's queue that nobody can be taking them. Raises what kombu does.

    Where the broker counts its messages in another way than kombu's own transports it never is.
    """
    size = getattr(producer.channel, "_size", None)
    return size is not None and size(app.amqp.router.route({}, task)["queue"].name) >= MOST
