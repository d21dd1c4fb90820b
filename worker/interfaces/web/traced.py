"""A span for each HTTP request, in the trace of its caller where that sends a `traceparent`.

OpenTelemetry's own instrumentation is shown the method and the caller's trace. The path, of which the span has the
route's pattern, the query, all other headers, cookies and the caller's address are kept from it: they may name people,
and hold tokens.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.config.request_id import HTTP_REQUEST_ID
from worker.execution.guarded_span import note
from worker.interfaces.web.request_guard import route

_WHOLE, _STEPS = "eraser.scope", "eraser.steps"
_SHOWN = (b"traceparent", b"tracestate")


class Traced:
    """The application, with a span around it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._traced: Any = OpenTelemetryMiddleware(self._inside, exclude_spans=["receive", "send"])
        self._traced.http_capture_headers_server_response = None  # set here, since [] would leave it to a variable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name in _SHOWN]
        steps: list[str] = []
        hidden = {"path": "/", "raw_path": b"/", "root_path": "", "query_string": b"", "client": None}
        shown = {**scope, **hidden, "headers": headers, _WHOLE: scope, _STEPS: steps}
        try:
            await self._traced(shown, receive, send)
        except Exception as error:
            if steps == ["begun"]:  # the application's own
                raise
            note(error)
            if not steps:
                await self._app(scope, receive, send)

    async def _inside(self, shown: Scope, receive: Receive, send: Send) -> None:
        scope, span = shown[_WHOLE], trace.get_current_span()
        shown[_STEPS].append("begun")

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":  # by now the route is known; the span ends with the body
                span.update_name(f"{scope['method']} {route(scope)}")
                span.set_attributes({"http.route": route(scope), HTTP_REQUEST_ID.name: HTTP_REQUEST_ID.get() or ""})
            await send(message)

        await self._app(scope, receive, named)
        shown[_STEPS].append("answered")
