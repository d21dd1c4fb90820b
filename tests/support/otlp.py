"""OpenTelemetry in tests: an SDK of this process that keeps its spans, and a receiver as a collector is one."""

from __future__ import annotations

import gzip
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from tests.support.ports import HOST, answers, free_ports
from tests.support.waiting import wait_until
from worker.execution import otel

TRACE, SPAN = 32 * "a", 16 * "b"
PARENT = f"00-{TRACE}-{SPAN}-01"  # of a caller


class Spans(InMemorySpanExporter):
    """What has ended."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]

    def the(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @property
    def all(self) -> str:
        return "\n".join(str(span.to_json()) for span in self.get_finished_spans())


@contextmanager
def traced() -> Iterator[Spans]:
    """An SDK in this process, until the end."""
    before, spans, provider = propagate.get_global_textmap(), Spans(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    otel.instrument()
    try:
        yield spans
    finally:
        RedisInstrumentor().uninstrument()
        URLLib3Instrumentor().uninstrument()
        propagate.set_global_textmap(before)
        provider.shutdown()
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Trace, span and parent, as a `traceparent` has them."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{parent.span_id:016x}" if parent else None


@dataclass
class Collector:
    """A receiver of OTLP by HTTP."""

    spans: list[Any] = field(default_factory=list)
    exports: list[list[Any]] = field(default_factory=list)  # of metrics
    resources: list[Any] = field(default_factory=list)
    raw: bytes = b""

    def __post_init__(self) -> None:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.receive(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def receive(self, path: str, body: bytes) -> None:
        self.raw += body
        if path == "/v1/traces":
            found = ExportTraceServiceRequest.FromString(body).resource_spans
            self.resources += [one.resource for one in found]
            self.spans += [span for one in found for scope in one.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            every = ExportMetricsServiceRequest.FromString(body).resource_metrics
            self.exports.append([metric for one in every for scope in one.scope_metrics for metric in scope.metrics])

    def named(self, name: str) -> list[Any]:
        return [span for span in list(self.spans) if span.name == name]

    @contextmanager
    def behind_rotel(self) -> Iterator[Collector]:
        """What is sent to `url` goes through a program of others that knows nothing of ours: the collector Rotel."""
        if (found := find_spec("rotel")) is None or found.origin is None:
            pytest.skip("the collector Rotel is not installed: pip install rotel==0.0.1a15 (Linux, x86-64)")
        http, grpc = free_ports(2)
        program = Path(found.origin).with_name("rotel-agent")
        words = {"otlp-http-endpoint": f"{HOST}:{http}", "otlp-grpc-endpoint": f"{HOST}:{grpc}", "exporter": "otlp"}
        words |= {"otlp-exporter-endpoint": self.url, "otlp-exporter-protocol": "http"}
        options = [f"--{name}={value}" for name, value in words.items()]
        running = subprocess.Popen([program, "start", "--disable-batching", *options], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(http) or running.poll() is not None, what="Rotel listens")
            if running.poll() is not None:
                pytest.skip("Rotel does not run here: it needs libpython3.11.so.1.0")
            self.url = f"http://{HOST}:{http}"
            yield self
        finally:
            running.kill()
            running.wait()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
