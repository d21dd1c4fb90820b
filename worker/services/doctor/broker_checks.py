"""Is the broker reachable, does another application share it, and are there messages in the wrong queue?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from worker.config.celery_environment import check_celery_environment
from worker.execution.app_context import AppContext
from worker.execution.broker_url import Broker
from worker.model.errors import SettingsError
from worker.services.doctor.check import Check, ok, warning, wrong
from worker.services.labels import count
from worker.services.redis_ping import in_time

THEIRS = "celery"  # Celery's default queue, and the default exchange of its remote control
LOOKED_AT = 1000  # messages at each end of the queue
CONNECT_S, LOOK_S = 5.0, 8.0  # for the connection, and for all that is read of other applications
ANSWERS_S = 0.5  # how long a worker may take to list its queues
OPTIONS = {"socket_connect_timeout": 3, "socket_timeout": 3}


def look(app: AppContext) -> Iterator[Check]:
    """Run every check, each within seconds: a broker's transport may hang."""
    try:
        broker = app.broker
        check_celery_environment(app.environ, broker.url)
    except SettingsError as error:
        yield wrong("broker", str(error), f"unset {error.name}")
        return
    try:
        in_time(lambda: _connect(broker), CONNECT_S)
    except Exception as error:  # kombu raises what its transport does
        why = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
        todo = "start it, or set ERASER_BROKER_URL; requests are recorded meanwhile, but workers are not woken"
        yield wrong("broker", f"{broker} cannot be reached ({why})", todo)
        return
    yield ok("broker", f"answers at {broker}")
    try:
        yield from in_time(lambda: list(_foreign(app, broker)), LOOK_S)
    except Exception as error:  # kombu raises what its transport does
        why = ": the broker takes too long" if isinstance(error, TimeoutError) else f" ({type(error).__name__})"
        yield warning("foreign workers", f"unknown{why}", "try again")


def _connect(broker: Broker) -> None:
    from kombu import Connection

    with Connection(broker.url, transport_options={**OPTIONS, **broker.options}, connect_timeout=3) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)


def _foreign(context: AppContext, broker: Broker) -> Iterator[Check]:
    """Workers and messages of other applications. Raises what kombu's transport raises."""
    from celery import Celery

    keys = context.keys
    ours = {keys.requests, keys.wakeup_queue}
    with Celery(broker=broker.url, set_as_current=False) as app:
        app.conf.update(broker_transport_options={**OPTIONS, **broker.options}, control_exchange=THEIRS)
        queues_of: dict[str, Any] = app.control.inspect(timeout=ANSWERS_S).active_queues() or {}
        takers = sorted(name for name, queues in queues_of.items() if ours & {queue["name"] for queue in queues})
        if takers:
            todo = "give them queues of their own: they discard messages they do not know"
            yield wrong("foreign workers", f"{', '.join(takers[:5])} of another application read our queues", todo)
        else:
            yield ok("foreign workers", "none of those that answer reads our queues")
        with app.connection_for_read() as connection:
            lost = sum(task.startswith("eraser.") for task in _tasks(connection.default_channel))
        if lost:
            found = f"{count(lost, 'message')} for us in the queue {THEIRS}, which none of our workers reads"
            todo = f'set in the producer queue="{keys.requests}", and repeat the requests that are there'
            yield wrong("foreign queue", found, todo)


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
