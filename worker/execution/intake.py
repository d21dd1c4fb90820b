"""Records requests that come by message. What cannot be recorded goes back to the broker, or is parked where people see
it.

    recorded        an `eraser.delete` whose deletion is in the ledger: the message has done its work
    given back      the ledger is unreachable or nearly full: until that is over, this worker does not read the queue of
                    requests
    parked          refused     by a rule or setting of this worker: any worker that knows the project takes it later
                    fault       an internal error: tried again from time to time, another version may handle it
                    foreign     not one of our tasks: kept whole for its owner
                    bad         a request that cannot be executed: reported with the reason, without its content

If neither the ledger nor the broker accepts it, the message waits here, only in this process: until one of
them is back, and after SIGTERM for as long as a call may take. Each step writes to the new place before it removes the
old one, so a message may be duplicated, which merges, and is never lost between two lines.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from celery import Celery
from celery.exceptions import Ignore

from worker.config.webhooks import EventType
from worker.execution.app_context import AppContext
from worker.execution.intake_reasons import clipped, ids_of, is_for_later, reason_of, told_of
from worker.execution.messages import LENT, Envelope, Lent, RequestMessage, arguments
from worker.ledger import deliveries
from worker.ledger.parking import Parked, ParkedKind, Parking
from worker.ledger.types import Accepted
from worker.model.errors import EraserError, OtherSchema, SettingsError, UsageError

log = logging.getLogger(__name__)

TICK_S = 1.0
AGAIN_S = 1.0  # between two tries to find a place for a message
FIRST_S, MOST_S = 1.0, 600.0  # until a parked message is tried again, doubling each time
LENT_AT_ONCE = 100  # per tick: they are tried like the broker's messages, and leave room for those
FAULT_S = 600.0  # the same after an internal error: a new version may be running
REJECTED_S = 0.5  # the broker returns rejected messages at once


class Intake:
    """The intake of one process. Thread-safe; whatever concerns the consumer runs in its event loop."""

    def __init__(self, app: Celery, context: Callable[[], AppContext]) -> None:
        self._app = app
        self._context = context
        self._consumer: Any = None
        self._closed = False
        self._ends: float | None = None  # how long it keeps trying once it was told to stop
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def parking(self) -> Parking:
        context = self._context()
        return Parking(context.redis, context.keys)

    # -- what tasks call -----------------------------------------------------------------------------------------------

    def record(
        self, message: RequestMessage | None, request: Callable[[], Accepted], args: Any, kwargs: Any
    ) -> Accepted:
        """Record the request of a message, and make sure that the message is kept somewhere if that fails.

        message: None if there is none, but a caller who gets the error. Raises `Ignore` if the message will
        come again, and the error if it will not.
        """
        if message is None:
            return request()
        park = partial(self._park_request, message, args, kwargs)
        while True:
            try:
                accepted = request()
                self._leave(message.lent)
                return accepted
            except EraserError as error:
                if isinstance(error, OtherSchema):
                    self._context().refused = error
                if is_for_later(error):
                    self._give_back_or_wait(message, error)
                elif isinstance(error, UsageError) and not isinstance(error, SettingsError):
                    park(ParkedKind.BAD, error)
                    raise
                else:
                    park(ParkedKind.REFUSED, error)
                    raise Ignore from None
            except Exception as error:
                log.exception("message.fault")
                park(ParkedKind.FAULT, error)
                raise Ignore from None

    def _park_request(
        self, message: RequestMessage, args: Any, kwargs: Any, kind: ParkedKind, error: Exception
    ) -> None:
        times = message.lent.times + 1 if message.lent else 1
        ids, raw = ids_of(args, kwargs), _kept(kind, message.envelope)
        parked = Parked(message.id, "eraser.delete", reason_of(error), time.time() * 1000, *ids, times, raw)
        what = parked.project or "-" if kind is ParkedKind.REFUSED else parked.task
        try:
            self._park(kind, what, parked)
            self._leave(message.lent)
        except (EraserError, redis.RedisError) as why:
            self._give_back_or_wait(message, why)
            raise Ignore from None

    def _give_back_or_wait(self, message: RequestMessage, why: Exception) -> None:
        """Raises `Ignore` once the broker has it back; returns when it is worth trying the ledger again."""
        self.close(str(why))
        if message.lent or self._give_back(message.envelope):
            raise Ignore
        context = self._context()
        if not context.stopping.is_set():
            context.stopping.wait(AGAIN_S)
            return
        if self._patience_is_over():
            log.error("message.lost", extra={"task_id": message.id, "error": str(why)})
            raise Ignore
        time.sleep(AGAIN_S)

    def _patience_is_over(self) -> bool:
        """After SIGTERM: an orchestrator waits about as long as a call may take, and not much longer."""
        context = self._context()
        self._ends = self._ends or time.monotonic() + context.settings.call_timeout
        return time.monotonic() > self._ends

    # -- what the consumer calls ---------------------------------------------------------------------------------------

    def attach(self, consumer: Any) -> None:
        """Take the consumer of this process, which closes and opens the queue."""
        self._consumer = consumer

    def put_aside(self, message: Any, kind: ParkedKind, task: str | None, why: str) -> None:
        """Set a message aside that no task will get. Called in the event loop; it is acknowledged once it is stored
        elsewhere.
        """
        ids = ids_of(*arguments(message)) if kind is not ParkedKind.FOREIGN else (None, None)
        headers = message.headers if isinstance(message.headers, dict) else {}
        id_, raw = headers.get("id"), _kept(kind, Envelope.of(message))
        name = id_ if isinstance(id_, str) else "-"
        lent: Lent | None = headers.get(LENT)
        times = lent.times + 1 if lent else 1
        parked = Parked(name, task or "-", clipped(why), time.time() * 1000, *ids, times, raw)
        if self._parked_now(kind, parked):
            self._leave(lent)
            message.ack()
        else:
            message.reject(requeue=True)
            time.sleep(REJECTED_S)

    def put_garbage_aside(self, channel: Any, key: bytes, item: bytes, *, why: str) -> None:
        """The same for an item of a Redis list that is not a message at all. Called in the event loop."""
        raw = Envelope(item, None, None, {}, {}, None).as_json()
        if not self._parked_now(ParkedKind.FOREIGN, Parked("-", "-", why, time.time() * 1000, raw=raw)):
            with channel.conn_or_acquire() as client:
                client.lpush(key, item)
            time.sleep(REJECTED_S)

    def _parked_now(self, kind: ParkedKind, message: Parked) -> bool:
        try:
            self._park(kind, message.task, message)
        except (EraserError, redis.RedisError) as error:
            self.close(str(error))
            return False
        return True

    # -- the queue of requests -----------------------------------------------------------------------------------------

    def close(self, why: str) -> None:
        """Take no requests until the ledger accepts them: waiting messages are safest in the broker."""
        if self._closed:
            return
        self._closed = True
        log.warning("intake.closed", extra={"error": why})
        self._in_loop()

    def _open_when_well(self) -> None:
        context = self._context()
        try:
            self.parking.try_to_write()
            context.ledger(next(iter(context.settings.accounts))).refuse_when_nearly_full()
        except (EraserError, redis.RedisError):
            self._in_loop()
            return
        self._closed = False
        log.info("intake.opened")
        self._in_loop()

    def _in_loop(self) -> None:
        if self._consumer is not None:
            self._consumer.call_soon(self._switch)

    def _switch(self) -> None:
        """Start or stop consuming from the queue, as needed. While the consumer reconnects this is done a tick
        later.
        """
        consumer, queue = self._consumer, self._context().keys.requests
        if consumer.task_consumer is None or consumer.task_consumer.consuming_from(queue) != self._closed:
            return
        try:
            consumer.cancel_task_queue(queue) if self._closed else consumer.add_task_queue(queue)
        except consumer.connection_errors:
            return

    # -- parked messages -----------------------------------------------------------------------------------------------

    def _park(self, kind: ParkedKind, what: str, message: Parked) -> None:
        context = self._context()
        context.ledger(next(iter(context.settings.accounts))).refuse_when_nearly_full()
        wait_s = FAULT_S if kind is ParkedKind.FAULT else min(MOST_S, FIRST_S * 2 ** min(message.times - 1, 16))
        group = self.parking.park(kind, what, message, wait_s=wait_s)
        fields = {"kind": kind.value, "task": message.task, "task_id": message.id, "job_id": message.job}
        level = logging.ERROR if kind in (ParkedKind.BAD, ParkedKind.FAULT) else logging.WARNING
        log.log(level, "message.parked", extra={**fields, "project_id": message.project, "error": message.why})
        if group and kind is not ParkedKind.FOREIGN:
            self._tell(kind, group, message)

    def _tell(self, kind: ParkedKind, group: str, message: Parked) -> None:
        """Make it an event for webhooks: a hint, which is lost where it cannot be written down now."""
        context, project = self._context(), message.project
        known = project is not None and self._knows(project)
        first = next(iter(context.settings.accounts))
        account = context.settings.account_of(project).name if project and known else first
        try:
            about = told_of(kind, group, message, known=known)
            deliveries.record(context.ledger(account), EventType.PARKED, about)
        except (EraserError, redis.RedisError) as error:
            log.warning("message.untold", extra={"account": account, "task_id": message.id, "error": str(error)})

    def _leave(self, lent: Lent | None) -> None:
        """A retried message has another place now. If this note is lost it is tried once more, and merges."""
        if lent is not None:
            with suppress(EraserError, redis.RedisError):
                self.parking.unpark(lent.group, [lent.line])

    def _try_again(self) -> None:
        """Take parked messages that this worker can record, as if the broker had delivered them."""
        receive = self._consumer.receive if self._consumer is not None else None
        for group in self.parking.groups() if receive else ():
            if group.kind is ParkedKind.FAULT or (group.kind is ParkedKind.REFUSED and self._knows(group.what)):
                for line, message in self.parking.lend(group.name, LENT_AT_ONCE):
                    lent = Lent(group.name, line, message.times)
                    self._consumer.call_soon(receive, Envelope.from_json(message.raw or {}).lent(lent))

    def _knows(self, project: str) -> bool:
        settings = self._context().settings
        try:
            settings.account_of(project)
        except EraserError:
            return False
        return settings.knows(project)

    def _give_back(self, envelope: Envelope) -> bool:
        try:
            envelope.send(self._app, self._context().keys.requests)
        except Exception as error:  # kombu raises what its transport does
            log.warning("message.kept", extra={"error": type(error).__name__})
            return False
        return True

    # -- its own thread ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            try:
                if self._closed:
                    self._open_when_well()
                else:
                    self._try_again()
            except (redis.RedisError, EraserError):
                continue  # the dispatcher reports it
            except Exception:  # the loop must survive any internal error
                log.exception("intake.fault")


def _kept(kind: ParkedKind, envelope: Envelope) -> dict[str, Any] | None:
    """Of a bad message nothing is kept but what it was about."""
    return None if kind is ParkedKind.BAD else envelope.as_json()
