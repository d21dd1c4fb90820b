"""How far a replay is, in words: a line that changes on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.errors import Unreachable
from worker.ledger.replays import ReplayState, Stage
from worker.operations import replays
from worker.operations.cli.printing import note, say
from worker.operations.cli.progress import LINE_EVERY_S
from worker.operations.replays import ReplayProgress
from worker.operations.times import span
from worker.operations.words import count
from worker.runtime import Runtime

EVERY_S = 0.3

STAGES = {
    Stage.CANARY: "the canary: one letter goes first",
    Stage.TEN: "the canary went well; ten more go",
    Stage.HUNDRED: "the first ten went well; up to a hundred go",
    Stage.REST: "the rest, as the account's pace allows",
}
STATES = {
    ReplayState.STOPPING: "it feeds no more; what nobody called for goes back",
    ReplayState.DONE: "each letter has its end",
    ReplayState.STOPPED: "it stopped itself",
    ReplayState.CANCELLED: "a person cancelled it",
}


def follow(running: Runtime, replay: str, *, quiet: bool = False) -> ReplayProgress:
    """Show how it goes until it has ended; Ctrl-C leaves it running. Redis may come and go meanwhile."""
    terminal = sys.stderr.isatty() and not quiet
    told, said = time.monotonic(), ""
    seen = replays.look(running, replay)
    console = Console(file=sys.stderr)
    with Live(console=console, auto_refresh=False, transient=True) if terminal else nullcontext() as live:
        try:
            while not seen.ended:
                if live:
                    live.update(Text(line(seen)), refresh=True)
                elif not quiet and time.monotonic() - told >= LINE_EVERY_S and line(seen) != said:
                    told, said = time.monotonic(), line(seen)
                    click.echo(said, err=True)
                time.sleep(EVERY_S)
                seen = _again(running, seen)
        except KeyboardInterrupt:
            note("It goes on without this command.")
    return seen


def _again(running: Runtime, seen: ReplayProgress) -> ReplayProgress:
    try:
        return replays.look(running, seen.replay)
    except Unreachable as error:
        click.echo(f"{error}; trying again", err=True)
        time.sleep(1.0)
        return seen


def line(seen: ReplayProgress) -> str:
    """`812 of 1,378 begun: 800 deleted, 6 dead again, 6 wait · one more minute`."""
    begun = seen.count("fed")
    text = f"{begun:,} of {seen.count('total'):,} begun: {', '.join(outcomes(seen)) or 'nothing has ended yet'}"
    if seen.waits:
        return f"{text} · waits: {'; '.join(seen.waits)}"
    if seen.first.stage is not Stage.REST:
        return f"{text} · {STAGES[seen.first.stage]}"
    if seen.expected_s:
        return f"{text} · about {span(seen.expected_s)} left"
    return text


def outcomes(seen: ReplayProgress) -> Iterator[str]:
    """What became of those that began, and what was not touched; nothing that is zero."""
    named = {
        "deleted": "deleted",
        "gone": "gone",
        "dead": "dead again",
        "cancelled": "cancelled",
        "back": "dead as before, nobody had called",
        "on_hold": "on hold, not touched",
        "moved": "no longer dead, not touched",
        "newer": "died anew, not touched",
    }
    for name, text in named.items():
        if number := seen.count(name):
            yield f"{number:,} {text}"
    if waiting := seen.count("open"):
        yield f"{waiting:,} {'waits' if waiting == 1 else 'wait'}{_for(seen)}"


def _for(seen: ReplayProgress) -> str:
    """What the open ones wait for."""
    first, held = seen.count("ahead"), seen.count("held")
    again = seen.count("open") - first - held
    parts = [f"{first:,} for the first call"] if first else []
    parts += [f"{again:,} for another"] if again > 0 else []
    parts += [f"{held:,} on hold"] if held else []
    return f" ({', '.join(parts)})" if len(parts) > 1 or held else ""


def tell_end(seen: ReplayProgress) -> None:
    """How it ended, or how to go on looking."""
    state = f"{seen.state.value}: {seen.end_why}" if seen.end_why else seen.state.value
    took = f" after {span((seen.ended_at - seen.first.started) / 1000)}" if seen.ended_at else ""
    say(f"{seen.replay} is {state}{took}.", style=None if seen.all_well or not seen.ended else "bold red")
    say(f"{count(seen.count('total'), 'letter')}: {', '.join(outcomes(seen)) or 'nothing has begun yet'}.")
    left = seen.count("left")
    if seen.ended and left:
        say(f"{count(left, 'more letter')} dead as before: nothing was sent for {'it' if left == 1 else 'them'}.")
    for why in seen.waits:
        say(f"It waits: {why}.")
    if not seen.ended:
        say(f"Next: eraser replay status {seen.replay} --watch")
        say(f"  or: eraser replay cancel {seen.replay} --reason TICKET")
    elif not seen.all_well:
        say("Next: eraser dead groups")


def exit_code(seen: ReplayProgress) -> int:
    """0 each is deleted or gone, 1 something is not, 5 not finished."""
    if not seen.ended:
        return 5
    return 0 if seen.all_well else 1
