"""How an error ends a command: its exit code, and on stderr a text for people or, with --json, an object for programs.

stdout has only results or a plan; the object is the last line of stderr,
{"error": {"type", "message", "hint", "exit_code"}}, with `setting` or `rule` if there is one.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence
from typing import Any

import click

from worker.interfaces.cli.printing import json_line
from worker.interfaces.cli.terminal import colour
from worker.model.errors import EraserError, Unreachable

RENAMED = {  # old name of an option -> new name
    "--again": "--force",
    "--up-to": "--snapshot",
}
ABORTED = 1
FAULT = 1
_JSON = re.compile(r"(^|\0)(--json|(-o\0?|--(output|format)[\0=])json)(\0|$)")


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command is called with `--json` or `-o json`. It may be one that click cannot read."""
    return _JSON.search("\0".join(words)) is not None


def tell(error: Exception, *, as_json: bool) -> int | None:
    """Report the error. Returns the exit code; None: an internal error, whose traceback is needed."""
    shown = explained(error)
    if as_json:
        if shown is None:
            traceback.print_exception(error)
        found = _as_object(shown or error)
        json_line({"error": found}, beside=True)
        return int(found["exit_code"])
    if shown is None:
        return None
    found = _as_object(shown)
    click.secho("eraser: ", fg="red", bold=True, nl=False, err=True, color=colour(os.environ))
    text = str(shown) if isinstance(shown, EraserError) else found["message"]
    click.echo(text, err=True)
    if found["hint"] and not isinstance(shown, EraserError):
        click.echo(f"  {found['hint']}", err=True)
    return int(found["exit_code"])


def trying_again(error: EraserError, *, as_json: bool) -> None:
    """Report an error that does not end the command."""
    if as_json:
        json_line({"error": _as_object(error)}, beside=True)
    else:
        click.echo(f"{error}; trying again", err=True)


def explained(error: Exception) -> EraserError | click.ClickException | click.Abort | None:
    """The error as people see it; None: an internal error."""
    if isinstance(error, click.ClickException):
        return _renamed(error)
    if isinstance(error, EraserError | click.Abort):
        return error
    from redis import RedisError

    from worker.ledger.redis_errors import is_away, why_away

    return Unreachable(why_away(error)) if isinstance(error, RedisError) and is_away(error) else None


def _as_object(error: Exception) -> dict[str, Any]:
    match error:
        case EraserError():
            return error.as_json()
        case click.UsageError():
            hint = f"{error.ctx.command_path} --help" if error.ctx else None
            return _object("invalid", error.format_message(), error.exit_code, hint)
        case click.ClickException():
            return _object("failed", error.format_message(), error.exit_code)
        case click.Abort():
            return _object("aborted", "aborted", ABORTED)
    return _object("fault", f"internal error: {type(error).__name__}; see the traceback above", FAULT)


def _object(name: str, message: str, exit_code: int, hint: str | None = None) -> dict[str, Any]:
    return {"type": name, "message": message, "hint": hint, "exit_code": exit_code}


def _renamed(error: click.ClickException) -> click.ClickException:
    """The same error; for a renamed option of this command it gives the new name."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        now = RENAMED.get(error.option_name)
        if now and any(now in option.opts for option in error.ctx.command.params):
            error.message, error.possibilities = f"{error.option_name} is called {now} now.", None  # type: ignore[misc]
    return error
