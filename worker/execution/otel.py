"""OpenTelemetry's SDK and its instrumentations, set up by its own variables. Imported only where these ask for it."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.distro import OpenTelemetryConfigurator
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace import TracerProvider
from urllib3 import HTTPResponse

from worker import __version__
from worker.execution.guarded_span import GuardedSpan
from worker.execution.spans import quiet
from worker.ledger.scripts import MOVES

LAST_S: Final = 2.0  # at the end of a process


def start(environ: MutableMapping[str, str]) -> None:
    """As `opentelemetry-instrument` would: exporters, sampler and resource are those of the variables."""
    complete(environ)
    if not hasattr(trace.get_tracer_provider(), "add_span_processor"):  # else `opentelemetry-instrument` did it
        configurator: Any = OpenTelemetryConfigurator
        configurator().configure(resource_attributes={"service.version": __version__})
        atexit.register(end)
    keep_the_log()
    instrument()


def keep_the_log() -> None:
    """Away from the SDK: its handlers would send each line as it is, before `Redacted` masks it."""
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if not type(one).__module__.startswith("opentelemetry.")]


def end() -> None:
    """Send what waits, within LAST_S: the SDK itself would try for ten seconds where no collector answers."""
    last = threading.Thread(target=_send_the_rest, name="otel end", daemon=True)
    last.start()
    last.join(LAST_S)


def _send_the_rest() -> None:
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if isinstance(provider, TracerProvider | MeterProvider):
            provider.shutdown()


def complete(environ: MutableMapping[str, str]) -> None:
    """Set what the variables leave open: a signal goes by OTLP over HTTP where an endpoint takes it, else nowhere.
    The log never does."""
    endpoints = {signal: environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") for signal in ("TRACES", "METRICS")}
    for signal, endpoint in endpoints.items():
        wanted = "otlp" if endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "none"
        environ[f"OTEL_{signal}_EXPORTER"] = environ.get(f"OTEL_{signal}_EXPORTER") or wanted
    environ["OTEL_LOGS_EXPORTER"] = "none"
    environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        environ["OTEL_SERVICE_NAME"] = environ.get("OTEL_SERVICE_NAME") or "avatar-eraser"


def metric_exporters(environ: MutableMapping[str, str]) -> Iterator[MetricExporter]:
    """Those that OTEL_METRICS_EXPORTER names."""
    complete(environ)
    protocol = environ.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") or environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    for name in map(str.strip, environ["OTEL_METRICS_EXPORTER"].split(",")):
        for one in entry_points(group="opentelemetry_metrics_exporter", name=otlp if name == "otlp" else name):
            yield one.load()()


def instrument() -> None:
    """Spans of calls and of Redis's commands, without headers, queries and arguments."""
    propagate.set_global_textmap(Incoming(propagate.get_global_textmap()))
    RedisInstrumentor().instrument(tracer_provider=WithinTraces(), request_hook=_name_move)
    URLLib3Instrumentor().instrument(
        tracer_provider=WithinTraces(),
        url_filter=lambda url: url.partition("?")[0],
        response_hook=_drop_odd_length,
        captured_request_headers=[],  # signatures and app users are in them, so no variable may ask for any
        captured_response_headers=[],
    )


def _drop_odd_length(_: object, __: object, response: HTTPResponse) -> None:
    """The instrumentation takes the header for one number, and would raise; urllib3 has read it before."""
    try:
        int(response.headers.get("Content-Length", 0))
    except ValueError:
        response.headers.discard("Content-Length")


def _name_move(span: trace.Span, _: object, args: Sequence[Any], __: object) -> None:
    """A command that runs a script is named after it."""
    if len(args) > 1 and (move := MOVES.get(args[1])):
        span.update_name(f"{args[0]} {move}")


class Incoming(TextMapPropagator):
    """Takes over a caller's trace, and gives none away: the calls go to MetaStudio, which is somebody else's."""

    def __init__(self, theirs: TextMapPropagator) -> None:
        self._theirs = theirs

    def extract(self, *args: Any, **kwargs: Any) -> Context:
        return self._theirs.extract(*args, **kwargs)

    def inject(self, *_: Any, **__: Any) -> None:
        return

    @property
    def fields(self) -> set[str]:
        return set()


class WithinTraces(trace.TracerProvider):
    """Makes spans only inside of others: a worker that waits for work would begin a trace with each command."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return _WithinTraces(trace.get_tracer_provider().get_tracer(*args, **kwargs))


class _WithinTraces(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        inside = trace.get_current_span().get_span_context().is_valid
        return self._tracer.start_span(*args, **kwargs) if inside else trace.INVALID_SPAN

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> AbstractContextManager[trace.Span]:  # type: ignore[override]
        """Around a command or a call: the span's own errors may not take its answer away."""
        if trace.get_current_span().get_span_context().is_valid:
            return GuardedSpan(lambda: quiet(self._tracer, *args, **kwargs), trace.INVALID_SPAN)
        return nullcontext(trace.INVALID_SPAN)
