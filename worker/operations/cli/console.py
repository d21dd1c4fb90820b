"""`eraser console`: the HTTP API and the pages, in one process."""

from __future__ import annotations

import importlib.util
import logging
import os

import click

from worker import logs
from worker.addresses import broker_form
from worker.errors import UsageError
from worker.operations.cli import door
from worker.settings import check_celery_environment

HOST, PORT = "127.0.0.1", 8710
PATIENCE_S = 1.0  # a caller rather hears "ask again" than waits


@click.command()
@click.option("--host", default=HOST, show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
def console(host: str, port: int) -> None:
    """Serve the HTTP API and the console's pages. Redis may come and go; requests hear of it.

    \b
    eraser console --port 8710
    """
    require_web()
    from worker.operations.http.serve import serve

    running = door.load()
    running.patience_s = PATIENCE_S
    broker = running.settings.broker_url or broker_form(running.redis_url)  # fail now, with what to set
    check_celery_environment(running.environ, broker)
    logs.set_up(logging.INFO, os.environ)
    serve(running, host=host, port=port)


def require_web() -> None:
    """Raise `UsageError` where the extra is missing."""
    if importlib.util.find_spec("starlette") is None or importlib.util.find_spec("uvicorn") is None:
        raise UsageError("the HTTP side needs the extra `web`: pip install -e '.[web]'")
