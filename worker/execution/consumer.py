"""Celery's consumer without what is not needed here, and faster to reconnect to Redis and to fill a free thread.

Celery's consumer discards a message that it cannot read, or crashes on it, and so does the next worker that gets it.
This one sets it aside (see `worker.execution.intake`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.worker.consumer import Consumer as TheirConsumer
from kombu import Connection
from redis.exceptions import ResponseError

from worker.execution.celery_app import intake
from worker.execution.messages import task_of, why_unreadable
from worker.ledger.parking import ParkedKind

log = logging.getLogger(__name__)

FIRST_PAUSE_S, PAUSE_STEP_S, LONGEST_PAUSE_S = 0.2, 0.7, 3.0  # Celery's own grow to half a minute, whatever is set
CALM_S = 10.0  # without a refusal: the next one is another outage's
LOOKS_S = (0.005, 0.05)  # after a task has ended and its thread is free


class Consumer(TheirConsumer):
    """Without gossip and mingle: they cost a second at the start and a traceback when Redis becomes unreachable."""

    hub: Any  # Celery's; None if the pool has no event loop
    _refused_at, _pause_s = float("-inf"), FIRST_PAUSE_S
    strategies: dict[str, Any]  # Celery's, by the name of the task
    task_consumer: Any  # Celery's
    connection_errors: tuple[type[BaseException], ...]  # Celery's: the errors that it survives
    receive: Callable[[Any], None] | None = None  # what to do with a message, wherever it comes from

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "without_gossip": True, "without_mingle": True})
        signals.task_postrun.connect(self._look_for_messages, weak=False)
        intake.attach(self)

    def ensure_connected(self, conn: Connection) -> Connection:
        # the pauses cannot be set in any other way; kombu's annotations know no fractions
        pauses: Any = {"interval_start": FIRST_PAUSE_S, "interval_step": PAUSE_STEP_S, "interval_max": LONGEST_PAUSE_S}
        conn.ensure_connection = partial(conn.ensure_connection, **pauses)  # type: ignore[method-assign]
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        if not self._refused(exc):
            super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        if not self._refused(exc):
            super().on_connection_error_after_connected(exc)

    def _refused(self, exc: Exception) -> bool:
        """Whether Redis answers but accepts nothing, not even a queue: logged once, and tried again after a pause."""
        if not isinstance(exc, ResponseError):
            return False
        if time.monotonic() - self._refused_at > CALM_S:
            log.warning("broker.refuses", extra={"error": str(exc)})
            self._pause_s = FIRST_PAUSE_S
        time.sleep(self._pause_s)
        self._refused_at, self._pause_s = time.monotonic(), min(self._pause_s + PAUSE_STEP_S, LONGEST_PAUSE_S)
        return True

    @property
    def _lost_connection(self) -> tuple[type[BaseException], ...]:
        """Kombu includes KeyError, which it also raises for half a message."""
        return tuple(error for error in self.connection_errors if not issubclass(KeyError, error))

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **options)
        self._outlive_garbage(self.task_consumer.channel)

        def received(message: Any) -> None:
            task = task_of(message)
            if task not in self.strategies:
                self._foreign(message, task)
            elif why := why_unreadable(message):
                intake.put_aside(message, ParkedKind.BAD, task, why)
            else:
                self._guarded(handle, message, task)

        self.receive = received
        return received

    def _outlive_garbage(self, channel: Any) -> None:
        """On Redis a queue is a list to which any program may push; kombu 5.7 crashes on an item that is not an
        envelope.
        """
        if "BRPOP" not in getattr(channel, "handlers", ()):
            return
        theirs = channel.handlers["BRPOP"]
        got: list[bytes] = []

        def keep(response: Any, **_: Any) -> Any:
            got[:] = response or ()
            return response and tuple(response)

        def read(**options: Any) -> Any:
            got.clear()
            try:
                return theirs(**options)
            except Exception as error:
                if not got or isinstance(error, self._lost_connection):
                    raise
                intake.put_garbage_aside(channel, *got, why=f"not a Celery message: {type(error).__name__}")
                return True

        channel.client.set_response_callback("BRPOP", keep)
        channel.handlers["BRPOP"] = read

    def _guarded(self, handle: Callable[[Any], None], message: Any, task: str | None) -> None:
        try:
            handle(message)
        except Exception as error:
            if isinstance(error, self._lost_connection):
                raise
            log.exception("message.fault")
            intake.put_aside(message, ParkedKind.FAULT, task, type(error).__name__)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Kombu could not unpack the message."""
        task = task_of(message)
        if task in self.strategies:
            intake.put_aside(message, ParkedKind.BAD, task, f"its body cannot be unpacked: {type(exc).__name__}")
        else:
            self._foreign(message, task)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002 - Celery's signature
        intake.put_aside(message, ParkedKind.BAD, task_of(message), f"not a valid Celery message: {exc}")

    def _foreign(self, message: Any, task: str | None) -> None:
        intake.put_aside(message, ParkedKind.FOREIGN, task, "not one of our tasks")

    def _look_for_messages(self, **_: object) -> None:
        """While all threads are busy the event loop stops fetching, and notices a free one only when something wakes
        it.

        This was a timer, up to a second later (celery 5.7, `worker_disable_prefetch` without late acks). The
        signal comes just before the thread counts as free, hence the second check.
        """
        if self.hub is not None:
            for pause in LOOKS_S:
                self.hub.call_soon(self.hub.call_later, pause, bool)
