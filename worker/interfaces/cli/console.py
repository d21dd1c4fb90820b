"""`eraser console`: the HTTP API and the pages, in one process, and the API's tokens."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from worker.config.urls import is_loopback
from worker.execution import logs, sentry, tracing
from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import note
from worker.interfaces.cli.tokens import create, tokens
from worker.local.up import HOST, PORT, has_web
from worker.model.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PATIENCE_S = 1.0  # a caller should get "try again" rather than wait


@click.group(invoke_without_command=True)
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@click.pass_context
def console(context: click.Context, host: str, port: int) -> None:
    """Serve the HTTP API and the console's pages. Requests fail while Redis is unreachable.

    \b
    eraser console --port 8710
    eraser console tokens create shop --scope request --scope read
    """
    if context.invoked_subcommand is not None:
        return
    require_web()
    from worker.interfaces.api.app import create_app
    from worker.interfaces.web.serve import serve

    app_context = startup.load()
    app_context.patience_s = PATIENCE_S
    with suppress(Unreachable):
        app_context.check_ledger()
    _ = app_context.redis_url  # fail now, with what to set
    logs.set_up(logging.INFO, os.environ)
    sentry.start(os.environ)
    tracing.start()
    if not is_loopback(host):
        note(f"note: {host} is reachable from other machines: put TLS in front, since tokens in plain http can be read")
    app: ASGIApp = create_app(app_context, bind=host)
    if tracing.is_on():
        from worker.interfaces.web.traced import Traced

        app = Traced(app)
    serve(app, host=host, port=port)


console.add_command(tokens)
console.add_command(create, "token")  # its earlier name


def require_web() -> None:
    """Raise `UsageError` if the extra is missing."""
    if not has_web():
        raise UsageError("the HTTP side needs the extra `web`: pip install -e '.[web]'")
