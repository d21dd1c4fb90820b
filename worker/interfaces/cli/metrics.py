"""`eraser metrics`: metrics for Prometheus, printed once or served over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource
from prometheus_client import start_wsgi_server

from worker.execution import tracing
from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import for_programs, json_option, note, result
from worker.model.errors import UsageError
from worker.services import metrics as numbers

HOST, PORT = "127.0.0.1", 9712
LAST_S = 2.0  # for a last export at the end


@click.command()
@click.option("--serve", is_flag=True, help="Serve metrics over HTTP until Ctrl-C, even while Redis is unreachable.")
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@json_option
def metrics(serve: bool, host: str, port: int) -> None:
    """Print the metrics in Prometheus's text format, or serve them.

    \b
    eraser metrics
    eraser metrics --serve --port 9712
    """
    source = click.get_current_context().get_parameter_source
    if not serve and any(source(name) is ParameterSource.COMMANDLINE for name in ("host", "port")):
        raise UsageError("--host and --port are for serving: add --serve, or leave them out to print the metrics")
    app = startup.load()
    if serve:
        _serve(app, host, port)
        return
    startup.enter(app)
    if for_programs():
        for sample in (sample for family in numbers.families(app) for sample in family.samples):
            result({"name": sample.name, "labels": sample.labels, "value": +sample.value})  # not true, but 1
    else:
        click.echo(numbers.exposition(app)[1], nl=False)


def _serve(app: AppContext, host: str, port: int) -> None:
    try:
        server, thread = start_wsgi_server(port, host, numbers.registry(app))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from None
    note(f"metrics at http://{host}:{server.server_port}/metrics; Ctrl-C stops it")
    with _pushed(app):
        try:
            thread.join()
        except KeyboardInterrupt:
            server.shutdown()


@contextmanager
def _pushed(app: AppContext) -> Iterator[None]:
    """Inside, they are also sent by OTLP, if a variable of OpenTelemetry names a receiver."""
    senders: list[Any] = []
    if tracing.is_wanted(os.environ):
        try:
            from worker.services import otlp

            senders = otlp.start(app, os.environ)
        except ImportError:
            note(f"metrics: {tracing.MISSING}")
        except Exception as error:  # a value that the SDK refuses: Prometheus is served nevertheless
            note(f"metrics: not sent by OTLP: {error}")
    yield
    for sender in senders:
        sender.end(LAST_S)
