"""Serving an application with uvicorn, in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from worker.interfaces.web.header_timeout import HeaderTimeout
from worker.model.errors import UsageError

log = logging.getLogger(__name__)

BACKLOG = 2048  # connections that wait to be accepted: a burst of callers is not an error


def serve(app: ASGIApp, *, host: str, port: int, listening_at: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are finished first. Raises `UsageError` for a taken port.

    listening_at: gets the address as soon as the server listens.
    """
    listening = listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,  # ours
        access_log=False,  # ours, too: `http.answered`
        server_header=False,
        proxy_headers=False,  # nothing here depends on the caller's address
        timeout_keep_alive=65,  # longer than a proxy's, so that the proxy closes the connection
        timeout_graceful_shutdown=10,
        ws="none",
        http=HeaderTimeout,  # h11: httptools loses the body of Java's default client, which offers HTTP/2
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it logs four lines at its start
    log.info("http.listening", extra={"address": address(host, listening)})
    listening_at(address(host, listening))
    with listening, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `UsageError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno and error.errno > 0:
            why = os.strerror(error.errno)
        else:  # a host that cannot be resolved, whose numbers only the C library knows
            why = (error.strerror or str(error)).partition(" (while")[0]  # the rest repeats the address
        raise UsageError(f"cannot listen on {host}:{port} ({why}): choose another --port or --host") from None


def address(host: str, listening: socket.socket) -> str:
    """The URL of the server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
