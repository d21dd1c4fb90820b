"""A Celery message as the broker delivered it: whether it can be read, when it is to be executed, and how to send it
again.

The producer is another program. What it may put into a message, and how (protocol 1 or 2, compressed, with an ETA
or an expiry), is read here; everything else that Celery does with it is in `docs/celery.md`.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.utils.time import maybe_iso8601, maybe_make_aware
from celery.worker.strategy import default
from kombu import Message, Queue

REQUEST_MESSAGE = "eraser_request"  # header, only within this process: the message itself, for its task
LENT = "eraser_lent"  # header, only within this process: where the message is parked
_KEPT = ("correlation_id", "reply_to")  # properties that the next receiver may need


@dataclass(frozen=True, slots=True)
class Envelope:
    """A whole message, so that it can be sent again unchanged."""

    body: bytes
    content_type: str | None
    content_encoding: str | None
    headers: Any  # a mapping, if the producer is correct
    properties: dict[str, Any]
    queue: str | None  # its queue

    @classmethod
    def of(cls, message: Any) -> Envelope:
        """From one of kombu's messages, even a faulty one."""
        headers, properties = message.headers, message.properties
        if isinstance(headers, dict):
            ours = {REQUEST_MESSAGE, LENT} | (
                set() if message.errors else {"compression"}
            )  # kombu unpacked it on receipt
            headers = {name: value for name, value in headers.items() if name not in ours}
        kept = {name: properties[name] for name in _KEPT if properties.get(name)}
        kept["priority"] = properties.get("priority") or 0
        body = message.body
        return cls(
            body=body.encode() if isinstance(body, str) else bytes(body or b""),
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=headers,
            properties=kept,
            queue=(message.delivery_info or {}).get("routing_key"),
        )

    def as_json(self) -> dict[str, Any]:
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return fields | {"body": base64.b64encode(self.body).decode()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Envelope:
        return cls(**fields | {"body": base64.b64decode(fields["body"])})

    def send(self, app: Celery, queue: str) -> None:
        """Send it again. Raises what kombu's transport does."""
        with app.producer_pool.acquire(block=True) as producer:
            producer.publish(
                self.body,
                exchange="",
                routing_key=queue,
                declare=[Queue(queue, routing_key=queue)],
                headers=self.headers if isinstance(self.headers, dict) else {},
                content_type=self.content_type or "application/data",
                content_encoding=self.content_encoding or "binary",
                retry=False,
                **self.properties,
            )

    def lent(self, lent: Lent) -> Any:
        """As a message like the broker's, but with the place where it is parked."""
        made: Any = Message
        return made(
            body=self.body,
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers={**self.headers, LENT: lent},
            properties=dict(self.properties),
            delivery_info={"routing_key": self.queue},
            accept={"application/json"},
            channel=_NoBroker(),
        )


@dataclass(frozen=True, slots=True)
class Lent:
    """The place of a parked message that is tried again. It stays there until it is stored elsewhere."""

    group: str
    line: bytes
    times: int  # that it was parked


class _NoBroker:
    """The channel of a message that no broker delivered: nothing waits for its acknowledgement."""

    no_ack_consumers = None

    def basic_ack(self, *_: object, **__: object) -> None:
        return

    basic_reject = basic_ack


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """What our tasks need to know of their message."""

    envelope: Envelope
    id: str
    lent: Lent | None
    eta: datetime | None
    expires: datetime | None

    @classmethod
    def of(cls, message: Any) -> RequestMessage:
        """Of a message that can be read (see `why_unreadable`)."""
        fields = _fields(message)
        eta, expires = _moment(fields.get("eta")), _moment(fields.get("expires"))
        return cls(Envelope.of(message), fields["id"], message.headers.get(LENT), eta, expires)

    def wait_s(self, now: datetime) -> float:
        """How long it is to wait."""
        return max(0.0, (self.eta - now).total_seconds()) if self.eta else 0.0

    def is_over(self, now: datetime) -> bool:
        """Whether it expired, or will have before it may start."""
        return self.expires is not None and max(now, self.eta or now) >= self.expires


def task_of(message: Any) -> str | None:
    """The name of its task, or None if it cannot be read."""
    try:
        name = message.headers["task"] if "task" in message.headers else message.payload["task"]
    except Exception:  # it may contain anything
        return None
    return name if isinstance(name, str) else None


def why_unreadable(message: Any) -> str | None:
    """Why a message for one of our tasks cannot be executed, whatever its arguments, or None."""
    try:
        payload = message.payload
    except Exception as error:
        kind = str(message.content_type)[:40]
        return f"its body cannot be read: {type(error).__name__}, content type {kind!r}; send JSON"
    fields = _fields(message)
    args, kwargs, embed = _parts(message, payload)
    wrong = {
        "the id": not isinstance(fields.get("id"), str),
        "the body": not (isinstance(args, list | tuple) and isinstance(kwargs, dict)),
        "what comes after": not isinstance(embed, dict | None),
        "eta": not _is_moment(fields.get("eta")),
        "expires": not _is_moment(fields.get("expires")),
        "the list of stamps": not isinstance(fields.get("stamped_headers"), list | tuple | None),
    }
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    return f"not a valid Celery message: {', '.join(found)}" if found else None


def arguments(message: Any) -> tuple[list[Any], dict[str, Any]]:
    """The task's arguments; empty if they cannot be read."""
    try:
        args, kwargs, _ = _parts(message, message.payload)
    except Exception:
        return [], {}
    return list(args) if isinstance(args, list | tuple) else [], kwargs if isinstance(kwargs, dict) else {}


def strategy(task: Any, app: Any, consumer: Any) -> Any:
    """Give each message to the task at once, with its ETA and expiry: Celery would keep it in memory until then.

    A rate limit of the task would keep it there, too: `worker_disable_rate_limits` is set.
    """
    handle = default(task, app, consumer)

    def received(message: Any, body: Any, ack: Any, reject: Any, callbacks: Iterable[Any]) -> Any:
        untimed = {"eta": None, "expires": None, "timelimit": (None, None)}
        message.headers = {**message.headers, **untimed, REQUEST_MESSAGE: RequestMessage.of(message)}
        if isinstance(body, dict):  # protocol 1
            body.update(untimed, args=body.get("args", ()))
        return handle(message, body, ack, reject, callbacks)

    return received


def _fields(message: Any) -> dict[str, Any]:
    """The headers of protocol 2, or the body of protocol 1."""
    fields: dict[str, Any] = message.headers if "task" in message.headers else message.payload
    return fields


def _parts(message: Any, payload: Any) -> tuple[Any, Any, Any]:
    if "task" not in message.headers:
        return payload.get("args", ()), payload.get("kwargs", {}), {}
    return tuple(payload) if isinstance(payload, list | tuple) and len(payload) == 3 else (None, None, None)


def _moment(value: Any) -> datetime | None:
    """Without a time zone it is UTC, as in our application."""
    moment: Any = maybe_iso8601(value)
    return None if value is None else maybe_make_aware(moment, UTC)


def _is_moment(value: Any) -> bool:
    try:
        _moment(value)
    except Exception:
        return False
    return True
