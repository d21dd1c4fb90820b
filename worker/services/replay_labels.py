"""A replay in words: its progress, and the meaning of its stages and states. For the command line and the console."""

from __future__ import annotations

from collections.abc import Iterator

from worker.ledger.replays import ReplayStage, ReplayState
from worker.services.replay import ReplayProgress
from worker.services.times import span

STAGES = {
    ReplayStage.CANARY: "the canary: one dead letter goes first",
    ReplayStage.TEN: "the canary succeeded; ten more go",
    ReplayStage.HUNDRED: "the first ten succeeded; up to a hundred go",
    ReplayStage.REST: "the rest, at the account's rate",
}
STATES = {
    ReplayState.STOPPING: "stopping: deletions that were not called yet become dead letters again",
    ReplayState.DONE: "all replayed deletions are finished",
    ReplayState.STOPPED: "stopped by itself",
    ReplayState.CANCELLED: "cancelled by an operator",
}


def line(seen: ReplayProgress) -> str:
    """`812 of 1,378 started: 800 deleted, 6 dead again, 6 wait for the first call · about 1 min left`."""
    begun = seen.count("fed")
    text = f"{begun:,} of {seen.count('total'):,} started: {', '.join(outcomes(seen)) or 'nothing has finished yet'}"
    if seen.ended:
        return text
    if seen.waits:
        return f"{text} · waits: {'; '.join(seen.waits)}"
    if seen.first.stage is not ReplayStage.REST:
        return f"{text} · {STAGES[seen.first.stage]}"
    return f"{text} · {left(seen.expected_s)}" if seen.expected_s else text


def left(seconds: float) -> str:
    """`about 4 min left`."""
    return f"{span(seconds)} left" if seconds < 1 else f"about {span(seconds)} left"


def outcomes(seen: ReplayProgress) -> Iterator[str]:
    """The results of started deletions, and the skipped ones; no zeros."""
    named = {
        "deleted": "deleted",
        "gone": "gone",
        "dead": "dead again",
        "cancelled": "cancelled",
        "back": "dead as before, not called",
        "on_hold": "on hold, skipped",
        "moved": "no longer dead, skipped",
        "newer": "failed again since, skipped",
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
    parts = [(first, "for the first call"), (again, "for another call"), (held, "on hold")]
    some = [(number, text) for number, text in parts if number > 0]
    if len(some) == 1:
        return f" {some[0][1]}"
    return f" ({', '.join(f'{number:,} {text}' for number, text in some)})"
