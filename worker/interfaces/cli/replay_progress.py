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
from worker.interfaces.cli.printing import for_programs, note, result, say
from worker.interfaces.cli.progress import LINE_EVERY_S
from worker.model.errors import Unreachable
from worker.services import replay as replay_service
from worker.services.labels import count
from worker.services.replay import ReplayProgress
from worker.services.replay_labels import line, outcomes
from worker.services.times import span

EVERY_S = 0.3
WIDTH = 20  # of the bar


def follow(app: AppContext, replay: str) -> ReplayProgress:
    """Show the progress until the end; Ctrl-C leaves the replay running. Redis may be unreachable in between."""
    quiet = for_programs()
    terminal = sys.stderr.isatty() and not quiet
    last, text = time.monotonic(), ""
    progress = replay_service.progress_of(app, replay)
    if progress.waits and not quiet:
        note(f"It waits: {'; '.join(progress.waits)}.")
        note(f"Ctrl-C leaves it running; to follow it again: eraser replay status {replay} --watch")
    console = Console(file=sys.stderr)
    with Live(console=console, auto_refresh=False, transient=True) if terminal else nullcontext() as live:
        try:
            while not progress.ended:
                if live:
                    live.update(Text(f"{_bar(progress)} {line(progress)}"), refresh=True)
                elif not quiet and time.monotonic() - last >= LINE_EVERY_S and line(progress) != text:
                    last, text = time.monotonic(), line(progress)
                    click.echo(text, err=True)
                time.sleep(EVERY_S)
                progress = _again(app, progress)
        except KeyboardInterrupt:
            note("It continues without this command.")
    return progress


def _again(app: AppContext, progress: ReplayProgress) -> ReplayProgress:
    try:
        return replay_service.progress_of(app, progress.replay)
    except Unreachable as error:
        errors.trying_again(error, as_json=for_programs())
        time.sleep(1.0)
        return progress


def tell_end(progress: ReplayProgress) -> None:
    """The result, or how to follow it."""
    result(progress.as_json())
    why = f": {progress.end_why}" if progress.end_why else ""
    took = f" after {span((progress.ended_at - progress.first.started) / 1000)}" if progress.ended_at else ""
    style = None if progress.all_well or not progress.ended else "bold red"
    say(f"{progress.replay} is {progress.state.value}{took}{why}.", style=style)
    found = ", ".join(outcomes(progress)) or "nothing has started yet"
    say(f"{count(progress.count('total'), 'dead letter')}: {found}.")
    left = progress.count("left")
    if progress.ended and left:
        say(f"{count(left, 'more dead letter')} unchanged: nothing was sent for {'it' if left == 1 else 'them'}.")
    for wait in progress.waits:
        say(f"It waits: {wait}.")
    if not progress.ended:
        say(f"Next: eraser replay status {progress.replay} --watch")
        say(f"  or: eraser replay cancel {progress.replay} --reason TICKET")
    elif not progress.all_well:
        say("Next: eraser dead groups")


def _bar(progress: ReplayProgress) -> str:
    done = sum(progress.count(name) for name in ("fed", "moved", "newer", "on_hold")) - progress.count("open")
    filled = round(WIDTH * done / max(1, progress.count("total")))
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}]"


def exit_code(progress: ReplayProgress) -> int:
    """0: all deleted or gone; 1: not all; 5: not finished."""
    if not progress.ended:
        return 5
    return 0 if progress.all_well else 1
