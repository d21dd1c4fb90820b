"""The spans of our own. Imported only where an SDK of OpenTelemetry runs.

Attributes are ids of jobs and words of fixed sets: never who asked, why, an app user or a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker import __version__
from worker.ledger.types import Lease, Settlement

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_SYSTEM: Final = {"messaging.system": "celery", "messaging.destination.name": "eraser.work"}
_WRONG: Final = ("failed", "refused", "unknown", "dead", "credentials", "clock", "forbidden", "misconfigured")


def _tracer() -> trace.Tracer:
    return trace.get_tracer("avatar-eraser", __version__)


def traceparent() -> str | None:
    """Of the present span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def quiet(tracer: trace.Tracer, *args: Any, **kwargs: Any) -> Iterator[trace.Span]:
    """A span around what is done within. Of an error it has the class only: the text may repeat what somebody typed."""
    silent = {"record_exception": False, "set_status_on_exception": False}
    with tracer.start_as_current_span(*args, **kwargs | silent) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def _parent(text: object) -> Context:
    """A context with this `traceparent` alone: baggage, where a caller sent some, goes no further."""
    return _PROPAGATOR.extract({"traceparent": text} if isinstance(text, str) else {}, Context())


def _linked(*contexts: SpanContext) -> list[Link]:
    return [Link(context) for context in contexts if context.is_valid]


@contextmanager
def request(name: str, parent: object) -> Iterator[None]:
    """What a door does with one request."""
    with quiet(_tracer(), name, _parent(parent), SpanKind.SERVER):
        yield


@contextmanager
def wakeup() -> Iterator[None]:
    """The sending of a wake-up."""
    with quiet(_tracer(), "publish eraser.work", kind=SpanKind.PRODUCER, attributes=_SYSTEM):
        yield


@contextmanager
def executor(account: str, wakeup: object) -> Iterator[None]:
    """An executor begins a trace: it works for many requests."""
    with quiet(
        _tracer(),
        "process eraser.work",
        Context(),
        SpanKind.CONSUMER,
        attributes=_SYSTEM | {"eraser.account": account},
        links=_linked(trace.get_current_span(_parent(wakeup)).get_span_context()),
    ):
        yield


@contextmanager
def attempt(account: str, lease: Lease, became: list[Settlement]) -> Iterator[None]:
    """An attempt belongs to the request's trace, or begins one where that had none."""
    attributes: dict[str, str | int] = {
        "eraser.account": account,
        "eraser.kind": lease.ref.kind,
        "eraser.project_id": lease.ref.project_id,
        "eraser.id": lease.ref.id,
        "eraser.lane": lease.lane.value,
        "eraser.round": lease.round,
        "eraser.attempt": lease.calls + 1,
    }
    executor = trace.get_current_span().get_span_context()
    parent = _parent(lease.traceparent)
    with quiet(_tracer(), "attempt", parent, attributes=attributes, links=_linked(executor)) as span:
        yield
        for settlement in became:
            fields = settlement.attempt or settlement.event or {}
            found = {
                "eraser.state": settlement.to,
                "eraser.waiting_for": settlement.wait,
                "eraser.outcome": fields.get("outcome") or fields.get("found"),
                "eraser.cause": settlement.cause,
                "eraser.evidence": settlement.evidence,
                "eraser.code": settlement.code,
                "eraser.request_id": fields.get("request_id"),
                "http.response.status_code": settlement.status,
            }
            span.set_attributes({name: value for name, value in found.items() if value is not None})
            if fields.get("outcome") in _WRONG or settlement.to == "dead":
                span.set_status(Status(StatusCode.ERROR))
