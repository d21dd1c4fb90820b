"""Output: tables and lines for people on stdout, JSON for programs on stdout, notes on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.execution.logs import takes_any_text
from worker.interfaces.cli import output
from worker.services.current_user import operator
from worker.services.labels import plain

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

GAP = 2  # between columns
FOLDED = 24  # characters that a last column needs at least if its words are folded
PIPED_WIDTH = 200  # wider than any window: ids must not be cut for a program that reads the table
_NUMBER = re.compile(r"[\d,.]+(/s)?|-")
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
    text = "Your opaque id; never a name. [this system's user]"
    return click.option("--by", metavar="WHO", default=operator, help=text)(command)


def allow_project_option(command: F) -> F:
    text = "Allow a project that is not in ERASER_PROJECTS."
    return click.option("--allow-project", is_flag=True, help=text)(command)


def json_line(value: Any, *, beside: bool = False) -> None:
    """One object on one line of stdout, or of stderr if stdout is used for something else."""
    plain_text = not takes_any_text(sys.stderr if beside else sys.stdout)  # escaped, it is the same JSON
    click.echo(json.dumps(value, ensure_ascii=plain_text), err=beside)


def say(text: str = "", *, style: str | None = None) -> None:
    """A line for people on stdout; on stderr once nobody reads stdout."""
    console().print(Text(plain(text), style=style or ""), soft_wrap=True)
    if output.ended():
        note(text)


def sum_up(text: str, *, as_json: bool) -> None:
    """The result of an action in one line. With --json the lines say it themselves, unless their reader left."""
    if not as_json:
        say(text)
    elif output.ended():
        note(text)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    click.echo(plain(text), err=True)


def listed(found: Sequence[T], in_json: Callable[[T], Any], *, as_json: bool, none: str) -> bool:
    """Print a list for programs, or that it is empty. False: it is not, and people want a table."""
    if as_json:
        for one in found:
            json_line(in_json(one))
    elif not found:
        say(none)
    return as_json or not found


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout. Nothing is ever cut: if its words do not fit, the window wraps the lines."""
    _print(tabled(columns, rows))


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    _print(tabled(["", ""], rows, header=False))


def _print(made: Table) -> None:
    out = console()
    out.width = max(out.width, sum((column.width or 0) + GAP for column in made.columns))
    out.print(made)


def tabled(columns: Sequence[str], rows: Iterable[Sequence[object]], *, header: bool = True) -> Table:
    """Numbers are on the right, except in the first column, which names what the line is about."""
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=header)
    body = [[_cell(value) for value in row] for row in rows]
    by_column = list(zip(columns, *([cell.plain for cell in row] for row in body), strict=True))
    widths = fitted([_widths(texts) for texts in by_column], console().width)
    for (column, *texts), width in zip(by_column, widths, strict=True):
        numbers = made.columns and texts and all(map(_NUMBER.fullmatch, texts))
        made.add_column(column, justify="right" if numbers else "left", width=width, overflow="fold")
    for row in body:
        made.add_row(*row)
    return made


def fitted(columns: Sequence[tuple[int, int]], room: int) -> list[int]:
    """How wide each column is, from the widths of its longest line and its longest word.

    The widest columns shrink first, none below its longest word: a group's name or an id must be copied whole. Only the
    last may fold its longest words. If even that does not fit, each line stays one line.
    """
    widths, room = [longest for longest, _ in columns], room - GAP * (len(columns) - 1)
    least = [word for _, word in columns]
    least[-1] = min(least[-1], max(FOLDED, room - sum(least[:-1])))
    if sum(least) > room:
        return widths
    while sum(widths) > room:
        widths[max((width, n) for n, width in enumerate(widths) if width > least[n])[1]] -= 1
    return widths


def _widths(texts: Sequence[str]) -> tuple[int, int]:
    lines = max((cell_len(line) for text in texts for line in text.splitlines()), default=0)
    return lines, max((cell_len(word) for text in texts for word in text.split()), default=0)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    text = "-" if value is None or value == "" else f"{value:,}" if isinstance(value, int) else plain(str(value))
    return Text(text, style=STYLES.get(text, ""))


def console() -> Console:
    """Created when it is needed, because tests and pipes replace stdout."""
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, width=None if terminal else PIPED_WIDTH)
