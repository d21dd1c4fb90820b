"""Progress of a replay in words: a changing line on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.execution.app_context import AppContext
from worker.interfaces.cli import errors
from worker.interfaces.cli.printing import json_line, note, say
from worker.interfaces.cli.progress import LINE_EVERY_S
from worker.model.errors import Unreachable
from worker.services import replay as replay_service
from worker.services.labels import count
from worker.services.replay import ReplayProgress
from worker.services.replay_labels import line, outcomes
from worker.services.times import span

EVERY_S = 0.3
WIDTH = 20  # of the bar


def follow(app: AppContext, replay: str, *, quiet: bool = False) -> ReplayProgress:
    """Show the progress until the end; Ctrl-C leaves the replay running. Redis may be unreachable in between."""
    terminal = sys.stderr.isatty() and not quiet
    told, said = time.monotonic(), ""
    seen = replay_service.look(app, replay)
    if seen.waits and not quiet:
        note(f"It waits: {'; '.join(seen.waits)}.")
        note(f"Ctrl-C leaves it running; to follow it again: eraser replay status {replay} --watch")
    console = Console(file=sys.stderr)
    with Live(console=console, auto_refresh=False, transient=True) if terminal else nullcontext() as live:
        try:
            while not seen.ended:
                if live:
                    live.update(Text(f"{_bar(seen)} {line(seen)}"), refresh=True)
                elif not quiet and time.monotonic() - told >= LINE_EVERY_S and line(seen) != said:
                    told, said = time.monotonic(), line(seen)
                    click.echo(said, err=True)
                time.sleep(EVERY_S)
                seen = _again(app, seen, quiet=quiet)
        except KeyboardInterrupt:
            note("It continues without this command.")
    return seen


def _again(app: AppContext, seen: ReplayProgress, *, quiet: bool) -> ReplayProgress:
    try:
        return replay_service.look(app, seen.replay)
    except Unreachable as error:
        if quiet:
            json_line(errors.as_json(error), beside=True)
        else:
            click.echo(f"{error}; trying again", err=True)
        time.sleep(1.0)
        return seen


def tell_end(seen: ReplayProgress) -> None:
    """The result, or how to follow it."""
    why = f": {seen.end_why}" if seen.end_why else ""
    took = f" after {span((seen.ended_at - seen.first.started) / 1000)}" if seen.ended_at else ""
    style = None if seen.all_well or not seen.ended else "bold red"
    say(f"{seen.replay} is {seen.state.value}{took}{why}.", style=style)
    say(f"{count(seen.count('total'), 'dead letter')}: {', '.join(outcomes(seen)) or 'nothing has started yet'}.")
    left = seen.count("left")
    if seen.ended and left:
        say(f"{count(left, 'more dead letter')} unchanged: nothing was sent for {'it' if left == 1 else 'them'}.")
    for wait in seen.waits:
        say(f"It waits: {wait}.")
    if not seen.ended:
        say(f"Next: eraser replay status {seen.replay} --watch")
        say(f"  or: eraser replay cancel {seen.replay} --reason TICKET")
    elif not seen.all_well:
        say("Next: eraser dead groups")


def _bar(seen: ReplayProgress) -> str:
    done = sum(seen.count(name) for name in ("fed", "moved", "newer", "on_hold")) - seen.count("open")
    filled = round(WIDTH * done / max(1, seen.count("total")))
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}]"


def exit_code(seen: ReplayProgress) -> int:
    """0: all deleted or gone; 1: not all; 5: not finished."""
    if not seen.ended:
        return 5
    return 0 if seen.all_well else 1
