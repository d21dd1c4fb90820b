"""Progress on stderr: a bar in a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

FROM = 1000  # fewer are done before anyone could read it
LINE_EVERY_S = 10.0


@contextmanager
def counting(verb: str, total: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function to call with the number of finished items, and the total, which may become known on the way."""
    if sys.stderr.isatty() and (total is None or total >= FROM or verb == "ended"):
        with _bar(verb, total) as show:
            yield show
        return
    shown = time.monotonic()

    def line(done: int, of: int | None) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_EVERY_S:
            shown = time.monotonic()
            click.echo(f"{verb}: {done:,}" + (f" of {of:,}" if of else ""), err=True)

    yield line


@contextmanager
def progress(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of items that finished since the last call."""
    done = 0
    with counting(verb, total) as show:

        def advance(number: int) -> None:
            nonlocal done
            done += number
            show(done, total)

        yield advance


@contextmanager
def _bar(verb: str, total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    time_column = TimeRemainingColumn() if total is None else TimeElapsedColumn()
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), time_column)
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=max(done, of) if of else None)
