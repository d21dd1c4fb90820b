"""Traces by OpenTelemetry: one from the request, through any door, over each attempt to the end.

A deletion's record keeps the W3C `traceparent` of its first request, where tracing is on; its attempts are children of
that span, and link to the executor that made them. An executor links to the wake-up that started it: it works for
many deletions, and is the child of none.

An error when a span begins or ends costs the span, never what is done within.

OpenTelemetry's own variables (OTEL_*) decide what is sent and where. Nothing of it is imported while they name no
receiver, and no other part of this process has set up its SDK.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from worker.execution.guarded_span import GuardedSpan, note

if TYPE_CHECKING:
    from worker.ledger.types import Lease, Settlement

log = logging.getLogger(__name__)

_RECEIVERS: Final = (
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
    *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"),
)
MISSING: Final = "a variable OTEL_… names a receiver, but the extra is missing: pip install -e '.[otel]'"
_started = False
_ATTEMPT: Final[ContextVar[dict[str, str] | None]] = ContextVar("attempt", default=None)  # the last one of this thread


def start(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set up OpenTelemetry's SDK, if its variables name a receiver. A missing extra is logged: it stops no deletion."""
    global _started  # noqa: PLW0603 - the SDK, too, is set up once a process
    if _started or not is_wanted(environ):
        return
    try:
        from worker.execution import otel

        otel.start(environ)
        _started = True
    except ImportError:
        log.error("tracing.off", extra={"error": MISSING})
    except Exception as error:  # a value that the SDK refuses
        log.error("tracing.off", extra={"error": str(error)})


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's variables name a receiver, and do not turn it off."""
    named = any((environ.get(name) or "none") != "none" for name in _RECEIVERS)
    return named and environ.get("OTEL_SDK_DISABLED", "").lower() != "true"


def is_on() -> bool:
    """Whether an SDK runs in this process: ours, or that of a program that calls `tasks.request_deletion`."""
    return "opentelemetry.sdk.trace" in sys.modules


def traceparent() -> str | None:
    """Of the present span; None: there is none."""
    if not is_on():
        return None
    try:
        from worker.execution import spans

        return spans.traceparent()
    except Exception as error:
        note(error)
        return None


def headers() -> dict[str, str]:
    """Of a message that is sent in the present span."""
    found = traceparent()
    return {"traceparent": found} if found else {}


def ids() -> dict[str, str]:
    """Of the present span, for a line of the log; empty: there is none."""
    found = traceparent()
    return dict(zip(("trace_id", "span_id"), found.split("-")[1:3], strict=True)) if found else {}


def ids_of_attempt() -> dict[str, str]:
    """Of the last attempt's span: its end is logged when it is recorded, after the span."""
    return _ATTEMPT.get() or {}


def request(name: str, carrier: Mapping[str, Any]) -> AbstractContextManager[object]:
    """A span of a door through which requests come. carrier: has the caller's `traceparent`, if it sent one."""
    return _span("request", name, carrier.get("traceparent"))


def command(name: str, environ: Mapping[str, str]) -> AbstractContextManager[object]:
    """The same of a command; a caller passes its span on as TRACEPARENT."""
    start()
    return _span("request", f"eraser {name}", environ.get("TRACEPARENT"))


def wakeup() -> AbstractContextManager[object]:
    """The sending of a wake-up."""
    return _span("wakeup")


def executor(account: str, wakeup: str | None) -> AbstractContextManager[object]:
    """The work of one executor; wakeup: the `traceparent` of the message that started it."""
    return _span("executor", account, wakeup)


@contextmanager
def attempt(account: str, lease: Lease) -> Iterator[list[Settlement]]:
    """One attempt. What came of it is put into the list."""
    became: list[Settlement] = []
    with _span("attempt", account, lease, became):
        _ATTEMPT.set(ids())
        yield became


def _span(kind: str, *details: Any) -> AbstractContextManager[object]:
    if not is_on():
        return nullcontext()

    def begin() -> AbstractContextManager[object]:
        from worker.execution import spans

        made: AbstractContextManager[object] = getattr(spans, kind)(*details)
        return made

    return GuardedSpan(begin)
