"""How an error ends a command: what a person reads of it on stderr, and its exit code."""

from __future__ import annotations

import os

import click

from worker.errors import EraserError, Unreachable
from worker.operations.cli.terminal import colour

RENAMED = {  # what an option was called once -> what it is called now
    "--again": "--force",
    "--up-to": "--snapshot",
}
ABORTED = 1


def tell(error: Exception) -> int | None:
    """Say what went wrong. The exit code; None: a fault of ours, whose traceback is needed."""
    if isinstance(error, click.ClickException):
        _renamed(error).show()
        return error.exit_code
    if isinstance(error, click.Abort):
        click.echo("Aborted!", err=True)
        return ABORTED
    shown = explained(error)
    if shown is None:
        return None
    click.secho("eraser: ", fg="red", bold=True, nl=False, err=True, color=colour(os.environ))
    click.echo(str(shown), err=True)
    return shown.exit_code


def explained(error: Exception) -> EraserError | None:
    """What a person hears of it, in words; None: a fault of ours."""
    if isinstance(error, EraserError):
        return error
    from redis import RedisError

    from worker.ledger.away import is_away, why_away

    return Unreachable(why_away(error)) if isinstance(error, RedisError) and is_away(error) else None


def _renamed(error: click.ClickException) -> click.ClickException:
    """The same error; of an option that this command had under another name it says how it is called now."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        now = RENAMED.get(error.option_name)
        if now and any(now in option.opts for option in error.ctx.command.params):
            error.message, error.possibilities = f"{error.option_name} is called {now} now.", None  # type: ignore[misc]
    return error
