"""How things look: tables and lines for people on stdout, JSON for programs on stdout, notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.operations.who import operator
from worker.operations.words import plain

F = TypeVar("F", bound=Callable[..., Any])

PIPED_WIDTH = 200  # nobody's window: ids must not be cut for a program that reads the table
STYLES = {
    "deleted": "green",
    "gone": "green",
    "ok": "green",
    "dead": "bold red",
    "wrong": "bold red",
    "held": "yellow",
    "warning": "yellow",
    "running": "cyan",
    "cancelled": "dim",
    "discarded": "dim",
}


def json_option(command: F) -> F:
    """`--json`, the same on every command."""
    return click.option("--json", "as_json", is_flag=True, help="JSON on stdout; lists one object per line.")(command)


def reason_option(*, required: bool, text: str = "A ticket number or a few plain words.") -> Callable[[F], F]:
    return click.option("--reason", required=required, metavar="R", help=text)


def by_option(command: F) -> F:
    text = "An opaque id of who acts; never a name. [this system's user]"
    return click.option("--by", metavar="WHO", default=operator, help=text)(command)


def json_line(value: Any, *, beside: bool = False) -> None:
    """One object on one line of stdout, or of stderr where something else has stdout."""
    click.echo(json.dumps(value, ensure_ascii=False), err=beside)


def say(text: str = "", *, style: str | None = None) -> None:
    """A line for people on stdout."""
    console().print(Text(plain(text), style=style or ""), soft_wrap=True)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    click.echo(plain(text), err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout. Ids are never cut; the last column takes what room is left."""
    console().print(tabled(columns, rows, right=right))


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    console().print(tabled(["", ""], rows, header=False))


def tabled(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), header: bool = True
) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=header)
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        made.add_column(column, justify="right" if column in right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    text = "-" if value is None or value == "" else f"{value:,}" if isinstance(value, int) else plain(str(value))
    return Text(text, style=STYLES.get(text, ""))


def console() -> Console:
    """Made when it is needed: tests and pipes replace stdout."""
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, width=None if terminal else PIPED_WIDTH)
