"""Progress on stderr: a bar in a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import click

FROM = 1000  # fewer are done before anyone could read it
BAR_EVERY_S = 0.1
LINE_EVERY_S = 10.0

Show = Callable[[int, int | None], None]  # how many are done, and of how many if that is known


@contextmanager
def progress(verb: str, total: int | None = None) -> Iterator[Show]:
    """Yields a function to call with the number done, and the total (None: it is not known yet)."""
    terminal = sys.stderr.isatty() and (total is None or total >= FROM or verb == "ended")
    with _bar(verb, total) if terminal else nullcontext(_line(verb)) as show:
        shown, every = time.monotonic(), BAR_EVERY_S if terminal else LINE_EVERY_S

        def advance(done: int, of: int | None) -> None:
            nonlocal shown
            if time.monotonic() - shown >= every:
                shown = time.monotonic()
                show(done, of)

        yield advance


def _line(verb: str) -> Show:
    return lambda done, of: click.echo(f"{verb}: {done:,}" + (f" of {of:,}" if of else ""), err=True)


@contextmanager
def _bar(verb: str, total: int | None) -> Iterator[Show]:
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
