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
from worker.services.labels import plain

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_JSON = "eraser.json"  # in the context of a command: whether it has --json

GAP = 2  # between columns
FOLDED = 24  # characters that a last column needs at least if its words are folded
PIPED_WIDTH = 200  # wider than any window: ids must not be cut for a program that reads the table
_NUMBER = re.compile(r"[\d,.]+(/s)?|-")
STYLES = {
    **dict.fromkeys(("deleted", "gone", "ok"), "green"),
    **dict.fromkeys(("dead", "wrong"), "bold red"),
    **dict.fromkeys(("held", "warning"), "yellow"),
    "running": "cyan",
    **dict.fromkeys(("cancelled", "discarded"), "dim"),
}


def json_option(command: F) -> F:
    """`--json`, the same on every command: `result`, `say` and the like know of it."""
    text = "JSON on stdout; lists one object per line."
    return click.option("--json", "as_json", is_flag=True, help=text, callback=_remember, expose_value=False)(command)


def _remember(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[_JSON] = value or for_programs()


def remember_form(context: click.Context, _: click.Parameter, value: str) -> str:
    """For the option `-o`: `json` is the same as `--json`."""
    context.meta[_JSON] = value == "json" or for_programs()
    return value


def for_programs() -> bool:
    """Whether the command was called with --json, or `-o json`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_JSON))


def allow_project_option(command: F) -> F:
    text = "Allow a project that is not in ERASER_PROJECTS."
    return click.option("--allow-project", is_flag=True, help=text)(command)


def json_line(value: Any, *, beside: bool = False) -> None:
    """One object on one line of stdout, or of stderr if stdout is used for something else."""
    plain_text = not takes_any_text(sys.stderr if beside else sys.stdout)  # escaped, it is the same JSON
    click.echo(json.dumps(value, ensure_ascii=plain_text), err=beside)


def result(value: Any) -> None:
    """A result for programs: one line, only with --json."""
    if for_programs():
        json_line(value)


def say(text: str = "", *, style: str | None = None) -> None:
    """A line for people on stdout, not with --json; on stderr once nobody reads stdout."""
    if for_programs():
        return
    console().print(Text(plain(text), style=style or ""), soft_wrap=True)
    if output.ended():
        note(text)


def sum_up(text: str) -> None:
    """The result of an action in one line. With --json the lines say it themselves, unless their reader left."""
    if for_programs() and output.ended():
        note(text)
    say(text)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    click.echo(plain(text), err=True)


def tell(value: Any, text: str) -> None:
    """A result that may be a refusal: for programs on stdout, for people beside it."""
    json_line(value) if for_programs() else note(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout, not with --json. Nothing is ever cut: if its words do not fit, the window wraps the lines."""
    _print(tabled(columns, rows))


def listed(
    found: Sequence[T],
    form: Callable[[T], Any],
    columns: Sequence[str],
    row: Callable[[T], Sequence[object]],
    *,
    none: str,
) -> bool:
    """Each on one line of JSON; for people a table, or `none`. Returns whether there are any."""
    for one in found:
        result(form(one))
    if not found:
        say(none)
    elif not for_programs():
        table(columns, [row(one) for one in found])
        say()
    return bool(found)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    _print(tabled(["", ""], rows, header=False))


def _print(made: Table) -> None:
    if for_programs():
        return
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
