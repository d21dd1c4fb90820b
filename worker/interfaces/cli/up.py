"""`eraser up`: everything on one machine, until Ctrl-C."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from worker.config.data_directory import data_directory
from worker.config.settings import Settings
from worker.config.urls import masked
from worker.execution import logs, sentry
from worker.execution.app_context import AppContext
from worker.interfaces.cli.console import way_in
from worker.local.processes import Stopped, stoppable
from worker.local.up import PORT, Household, check, chosen_port, household
from worker.model.errors import EraserError
from worker.model.states import State


@click.command()
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Where the data lives.  [default: per user]"
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"Of the console and the HTTP API; 0: any free one.  [default: {PORT}]",
)
def up(data: Path | None, port: int | None) -> None:
    """Run everything on this machine: Redis, a worker, the schedule and the console, until Ctrl-C.

    Needs ERASER_REGION and credentials. Accepted deletions are on disk; the next `eraser up` continues with them.
    """
    settings = Settings.load(os.environ)
    check(settings, os.environ)
    port = chosen_port(port)
    logs.set_up(logging.INFO, os.environ)
    sentry.start(os.environ)
    directory = data or data_directory(settings.simulated)
    try:
        with stoppable(), household(directory, settings, os.environ, port=port) as home:
            try:
                _introduce(home, by_default=data is None)
                home.keep()
            except Stopped:
                click.echo(
                    "\neraser up: stopping; a call in progress is finished first (Ctrl-C again: stop at once)", err=True
                )
                raise
    except Stopped:
        click.echo("eraser up: stopped; pending deletions continue at the next start", err=True)
        sys.exit(0)


def _introduce(home: Household, *, by_default: bool) -> None:
    ours = home.redis is not None
    app = AppContext.load({**os.environ, "ERASER_REDIS_URL": home.redis_url})
    rows = {"Redis": f"{home.redis_url}, each write on disk at once" if ours else masked(home.redis_url)}
    rows["broker"] = f"{app.broker}, queue {app.keys.requests}: for Celery producers"
    rows |= {child.name: f"process {child.pid}" for child in home.children}
    rows["console"] = home.address or "not installed: pip install -e '.[web]' brings the pages and the HTTP API"
    if home.address and home.settings.console_password is None:
        rows["open it by"] = way_in(app, home.address)
    for account in home.settings.accounts.values():
        rows[f"account {account.name}"] = f"{account.endpoint}, {account.rate:g} calls/s"
    click.secho("eraser up: everything is running; Ctrl-C stops it", bold=True)
    for name, text in rows.items():
        click.echo(f"  {name:<15} {text}")
    click.echo(f"  {'waiting':<16}{_waiting(app)}")
    click.echo("In another terminal:")
    if ours and not by_default:
        click.echo(f"  export ERASER_REDIS_URL={home.redis_url}")
    click.echo("  eraser request JOB_ID --wait 60s")
    click.echo("  eraser status --watch")


def _waiting(app: AppContext) -> str:
    try:
        states = [app.queries(account).status().states for account in app.settings.accounts]
    except EraserError as error:
        return str(error)
    waiting = sum(each[State.PENDING] + each[State.RUNNING] for each in states)
    dead = sum(each[State.DEAD] for each in states)
    return f"{waiting or 'no'} deletions; {dead or 'no'} dead letters"
