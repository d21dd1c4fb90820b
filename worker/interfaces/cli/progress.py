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
def progress(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of finished items."""
    if sys.stderr.isatty() and (total >= FROM or verb == "ended"):
        with _bar(verb, total) as advance:
            yield advance
    else:
        yield _lines(verb, total)


@contextmanager
def counting(verb: str) -> Iterator[Callable[[int, int | None], None]]:
    """For a total that becomes known on the way: yields a function to call with the number done and the total."""
    if not sys.stderr.isatty():
        told = time.monotonic()

        def line(done: int, of: int | None) -> None:
            nonlocal told
            if time.monotonic() - told >= LINE_EVERY_S:
                told = time.monotonic()
                click.echo(f"{verb}: {done:,}" + (f" of {of:,}" if of else ""), err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=max(done, of) if of else None)


@contextmanager
def _bar(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(verb, total=total)
        waiting, shown = 0, time.monotonic()

        def advance(number: int) -> None:
            nonlocal waiting, shown
            waiting += number
            if time.monotonic() - shown > 0.1:
                bar.advance(task, waiting)
                waiting, shown = 0, time.monotonic()

        yield advance
        bar.advance(task, waiting)


def _lines(verb: str, total: int) -> Callable[[int], None]:
    done, told = 0, time.monotonic()

    def advance(number: int) -> None:
        nonlocal done, told
        done += number
        if time.monotonic() - told >= LINE_EVERY_S:
            told = time.monotonic()
            click.echo(f"{verb}: {done:,} of {total:,}", err=True)

    return advance
