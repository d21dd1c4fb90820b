"""Does another application share the broker, and are there messages in the wrong queue?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from worker.execution.app_context import AppContext
from worker.services.doctor.redis_checks import Row
from worker.services.labels import count

THEIRS = "celery"  # Celery's default queue, and the default exchange of its remote control
LOOKED_AT = 1000  # messages at each end of the queue
ANSWERS_S = 0.5  # how long a worker may take to list its queues


def look(context: AppContext, url: str) -> Iterator[Row]:
    """Run every check. Raises what kombu's transport raises."""
    from celery import Celery

    keys = context.keys
    ours = {keys.requests, keys.wakeup_queue}
    options = {"socket_connect_timeout": 3, "socket_timeout": 3}
    with Celery(broker=url, set_as_current=False) as app:
        app.conf.update(broker_transport_options=options, control_exchange=THEIRS)
        fields: dict[str, Any] = app.control.inspect(timeout=ANSWERS_S).active_queues() or {}
        takers = sorted(name for name, queues in fields.items() if ours & {queue["name"] for queue in queues})
        if takers:
            todo = "give them queues of their own: they discard messages they do not know"
            yield ("foreign workers", "wrong", f"{', '.join(takers[:5])} of another application read our queues", todo)
        else:
            yield "foreign workers", "ok", "none of those that answer reads our queues", ""
        with app.connection_for_read() as connection:
            lost = sum(task.startswith("eraser.") for task in _tasks(connection.default_channel))
        if lost:
            found = f"{count(lost, 'message')} for us in the queue {THEIRS}, which none of our workers reads"
            todo = f'set in the producer queue="{keys.requests}", and repeat the requests that are there'
            yield "foreign queue", "wrong", found, todo


def _tasks(channel: Any) -> Iterator[str]:
    """The tasks of messages in Celery's own queue, if it is a list in Redis; other brokers do not show them."""
    if not hasattr(channel, "conn_or_acquire"):
        return
    with channel.conn_or_acquire() as client:
        both = client.lrange(THEIRS, 0, LOOKED_AT - 1), client.lrange(THEIRS, -LOOKED_AT, -1)
    for item in dict.fromkeys([*both[0], *both[1]]):
        try:
            yield str(json.loads(item)["headers"]["task"])
        except (ValueError, TypeError, KeyError):  # it may contain anything
            continue
