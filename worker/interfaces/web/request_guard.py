"""Middleware for every request: refuses other hosts and other sites, limits bodies, gives the request its id, adds the
headers of every response, and logs one line. An ASGI application around the application."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.config.api_tokens import LOOKS
from worker.config.request_id import HTTP_REQUEST_ID, new_request_id
from worker.interfaces.web import origin_checks, problem_details
from worker.interfaces.web.problem_details import Problem
from worker.metastudio.redaction import without_forms
from worker.model.ids import is_opaque

log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024  # bytes; 1,000 job ids of 64 characters are 67 kB
BODY_S = 30.0  # for a whole body, so that slow senders do not hold connections
REQUEST_ID = "X-Request-ID"
WHO = "eraser.token"  # the scope's key for the name of the token
_OPEN = ("/healthz", "/readyz")  # probes use an IP address; these paths reveal and change nothing
_TRICK = re.compile(rb"%|//|\\|/\.\.?(/|$)")  # no path of the API contains these: an id is letters, digits, _ and -
_HEADERS = {  # of every response that has no other value for one
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the console sets same-origin: its forms need an Origin
}


class RequestGuard:
    """`allowed`: accepted host names besides those of this machine. `largest`: bytes of a body, of paths that take
    files."""

    def __init__(self, app: ASGIApp, allowed: Collection[str], largest: Mapping[str, int] | None = None) -> None:
        self.app = app
        self._allowed = allowed
        self._largest = largest or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        HTTP_REQUEST_ID.set(_request_id(scope))
        limit = self._largest.get(scope["path"], BODY_LIMIT)
        request = _RequestLog(scope, receive, send, limit)
        try:
            self._check(scope, limit)
            await self.app(scope, request.receive, request.send)
        except Problem as problem:
            await request.end(problem)
        except ClientDisconnect:  # the client has left; an incomplete request was not executed
            pass
        except Exception as error:
            log.exception("http.failed", extra={"method": scope["method"], "route": route(scope)})
            await request.end(problem_details.of(error))
        finally:
            request.log()

    def _check(self, scope: Scope, limit: int) -> None:
        """Raise the `Problem` of a request that must not be answered."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if scope["path"] not in _OPEN and not origin_checks.is_ours(host, self._allowed):
            detail = "unknown host name: use a name of this machine, or one of ERASER_ALLOWED_HOSTS"
            raise Problem(421, "unknown-host", detail)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin_checks.comes_from_elsewhere(scope["method"], host, origin=origin, site=site):
            raise Problem(403, "cross-site", "another site sent this request; nothing was done")
        if scope["path"].startswith("/api") and _TRICK.search(scope.get("raw_path") or scope["path"].encode()):
            raise Problem(404, "not-found", "no address of the API needs %, //, . or .. in its path; see /openapi.json")
        length = headers.get("content-length", "")
        if length and "transfer-encoding" in headers:
            detail = "Content-Length and Transfer-Encoding say two things: send one of them"
            raise _closing(400, "two-lengths", detail)
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)


def _request_id(scope: Scope) -> str:
    """The caller's, if it is an opaque id and looks like no token and no phone number; otherwise a new one. The
    secrets that this process knows play no part: the answer would say who guessed one. The log masks them.
    """
    match Headers(scope=scope).getlist(REQUEST_ID):
        case [given] if is_opaque(given) and not LOOKS.search(given) and without_forms(given) == given:
            return given
    return new_request_id()


def _closing(status: int, name: str, detail: str) -> Problem:
    """The connection ends with it: what comes next on it may be the rest of the body, or another caller's request."""
    return Problem(status, name, detail, headers={"Connection": "close"})


def _too_large(limit: int) -> Problem:
    return _closing(413, "too-large", f"a body has at most {limit:,} bytes: send less at once")


class _RequestLog:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send, self._limit = scope, receive, send, limit
        self._started = time.perf_counter()
        self._patience: float | None = asyncio.get_running_loop().time() + BODY_S
        self._read = 0
        self._status: int | None = None

    async def receive(self) -> Message:
        """The next part of the body. Raises the `Problem` of a body that is too long, whatever its headers say."""
        try:
            async with asyncio.timeout_at(self._patience):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not come within {BODY_S:.0f} s: nothing was done"
            raise _closing(408, "too-slow", detail) from None
        if not message.get("more_body"):
            self._patience = None  # the next message is the end of the connection
        self._read += len(message.get("body", b""))
        if self._read > self._limit:
            raise _too_large(self._limit)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = HTTP_REQUEST_ID.get() or ""
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def end(self, problem: Problem) -> None:
        """Answer with a problem, unless a response was started already."""
        if self._status is None:
            await problem_details.response(problem)(self._scope, self._receive, self.send)

    def log(self) -> None:
        """Log one line, without body, query or headers. Probes are not logged, because they would be most of the
        log.
        """
        log.log(
            logging.DEBUG if self._scope["path"] in _OPEN else logging.INFO,
            "http.answered",
            extra={
                "method": self._scope["method"],
                "route": route(self._scope),
                "status": self._status,
                "ms": round((time.perf_counter() - self._started) * 1000, 1),
                "token": self._scope.get(WHO),
            },
        )


def route(scope: Scope) -> str:
    """The route's pattern, because the requested path may be anything."""
    return str(getattr(scope.get("route"), "path", "none"))
