"""`eraser console`: the HTTP API and the pages, in one process, and the API's tokens."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from worker.config.urls import is_loopback
from worker.execution import logs, sentry, tracing
from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import json_option, note, result, say
from worker.interfaces.cli.tokens import create, tokens
from worker.local.up import HOST, PORT, has_web
from worker.model.errors import EraserError, Unreachable, UsageError
from worker.services import console_links, retention_runs

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PATIENCE_S = 1.0  # a caller should get "try again" rather than wait


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@click.option("--no-link", is_flag=True, hidden=True, help="Print no link: `eraser up` does.")
@click.pass_context
def console(context: click.Context, host: str, port: int, no_link: bool) -> None:
    """Serve the HTTP API and the console's pages. Requests fail while Redis is unreachable.

    Where no password is set, it prints a one-time link that opens the pages; into a log, only the command for one.

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

    def introduce(address: str) -> None:
        if not no_link and app_context.settings.console_password is None:
            click.echo(f"Open the console by: {way_in(app_context, address)}")

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when it has ended
    try:
        serve(app, host=host, port=port, listening_at=introduce)
    finally:
        retention_runs.end(app_context)
        signal.signal(signal.SIGTERM, before)


def way_in(app: AppContext, address: str) -> str:
    """How a browser gets in: a one-time link where stdout is a terminal, else the command for one: logs are kept."""
    address = reachable(address)
    another = f"eraser console link{'' if address == f'http://{HOST}:{PORT}' else f' --url {address}'}"
    if not sys.stdout.isatty():
        return another
    try:
        return f"{console_links.new(app, address)} (once; another one: {another})"
    except EraserError:
        return f"{another}, once Redis answers"


def reachable(address: str) -> str:
    """An address that a browser on this machine can open."""
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


@console.command()
@click.option("--url", default=f"http://{HOST}:{PORT}", show_default=True, metavar="URL", help="Where the console is.")
@json_option
def link(url: str) -> None:
    """Print a one-time link that opens the console's pages in one browser, within 12 hours. Not with a password.

    \b
    eraser console link
    """
    made = console_links.new(startup.enter(startup.load()), url)
    result({"link": made})
    say(made)


console.add_command(tokens)
console.add_command(create, "token")  # its earlier name


def require_web() -> None:
    """Raise `UsageError` if the extra is missing."""
    if not has_web():
        raise UsageError("the HTTP side needs the extra `web`: pip install -e '.[web]'")
