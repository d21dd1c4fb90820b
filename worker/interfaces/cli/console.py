"""`eraser console`: the HTTP API and the pages, in one process, and the API's tokens."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import UTC, datetime

import click

from worker.config.settings import Settings
from worker.config.urls import is_loopback
from worker.execution import logs
from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import for_programs, json_option, note, result
from worker.local.up import HOST, PORT, has_web
from worker.model.errors import Unreachable, UsageError
from worker.model.ids import why_bad_id

PATIENCE_S = 1.0  # a caller should get "try again" rather than wait
SCOPES = ("request", "read", "operate")


@click.group(invoke_without_command=True)
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@click.pass_context
def console(context: click.Context, host: str, port: int) -> None:
    """Serve the HTTP API and the console's pages. Requests fail while Redis is unreachable.

    \b
    eraser console --port 8710
    eraser console token shop --scope request --scope read
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
    if not is_loopback(host):
        note(f"note: {host} is reachable from other machines: put TLS in front, since tokens in plain http can be read")
    serve(create_app(app_context, bind=host), host=host, port=port)


@console.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="request: request deletions. read: see them and the metrics. operate: both, and everything operators do.",
)
@click.option("--project", "projects", multiple=True, metavar="P", help="Only this project; may be repeated.")
@click.option("--print", "only_print", is_flag=True, help="Print the file's lines on stdout, the token on stderr.")
@json_option
def token(name: str, scopes: tuple[str, ...], projects: tuple[str, ...], only_print: bool) -> None:
    """Make a token and show it once. NAME, the service that uses it, is recorded as the requester.

    Only its hash is kept, in ERASER_API_TOKENS_FILE. To revoke it, remove its lines there; that takes effect at once.

    \b
    eraser console token shop --scope request --scope read
    """
    from worker.config.api_tokens import Scope, make, section
    from worker.config.token_file import TokenFile, path_of

    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise UsageError(f"--project: {why}")
    made, secret = make(name, map(Scope, scopes), projects=projects)
    lines, file = section(made, datetime.now(UTC)), TokenFile(path_of(Settings.load(os.environ), os.environ))
    if not only_print:
        file.add(made, lines)
    if for_programs():
        result({"name": name, "token": secret, "scopes": sorted(made.scopes), "file": str(file.path)})
        return
    # stdout has only the one that is written to a file
    click.echo(lines if only_print else secret)
    note(f"The token {secret if only_print else name} may {', '.join(sorted(made.scopes))}. It is shown only once.")
    if not only_print:
        note(f"Its hash is in {file.path}")


def require_web() -> None:
    """Raise `UsageError` if the extra is missing."""
    if not has_web():
        raise UsageError("the HTTP side needs the extra `web`: pip install -e '.[web]'")
