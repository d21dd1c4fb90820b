"""A replay in words: its progress, and the meaning of its stages and states. For the command line and the console."""

from __future__ import annotations

from collections.abc import Iterator

from worker.ledger.replays import ReplayStage, ReplayState
from worker.replay.plan import Share
from worker.services.act import CAP, Approval, Plan
from worker.services.labels import GATES, count
from worker.services.replay import ReplayPlan, ReplayProgress
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


def plan(planned: ReplayPlan, approval: Approval) -> Plan:
    """The plan in words."""
    several = len(planned.shares) > 1
    excluded = ", ".join(f"{mark:,} of {name}" if several else f"{mark:,}" for name, mark in planned.marks.items())
    groups = ", from all groups in turn" if len(planned.groups) > 1 else ""  # one that still fails stops the others too
    remarks = [f"skipped: {word}: {why}" for word, why in planned.skipped]
    remarks += [_share(share) for share in planned.shares]
    remarks += [
        f"one dead letter{' of each account' if several else ''} first, then ten{groups}; then the rest. "
        "It stops by itself if they fail again",
        f"excludes failures after #{excluded}",
    ]
    if planned.over_cap and approval.most is None:
        remarks.append(f"more than {CAP}: confirm the number with --max")
    on_hold = {"on hold: they stay dead (eraser hold list)": planned.held} if planned.held else {}
    title = f"replay {count(planned.count, 'dead letter')}: {planned.what}"
    return Plan(title, {**planned.groups, **on_hold}, remarks, planned.as_json())


def _share(share: Share) -> str:
    takes = span(share.seconds) if share.seconds < 1 else f"about {span(share.seconds)}"
    text = f"account {share.account}: {len(share.letters):,} at {share.rate:g}/s, {takes}"
    if share.due_before:
        text += f", behind {share.due_before:,} that are due already"
    if share.gate not in ("ok", "clock"):
        text += f"; the gate is {GATES.get(share.gate, share.gate)}, so they wait until it opens"
    return text


def line(progress: ReplayProgress) -> str:
    """`812 of 1,378 started: 800 deleted, 6 dead again, 6 wait for the first call · about 1 min left`."""
    found = ", ".join(outcomes(progress)) or "nothing has finished yet"
    text = f"{progress.count('fed'):,} of {progress.count('total'):,} started: {found}"
    if progress.ended:
        return text
    if progress.waits:
        return f"{text} · waits: {'; '.join(progress.waits)}"
    if progress.first.stage is not ReplayStage.REST:
        return f"{text} · {STAGES[progress.first.stage]}"
    return f"{text} · {left(progress.expected_s)}" if progress.expected_s else text


def left(seconds: float) -> str:
    """`about 4 min left`."""
    return f"{span(seconds)} left" if seconds < 1 else f"about {span(seconds)} left"


def outcomes(progress: ReplayProgress) -> Iterator[str]:
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
        if number := progress.count(name):
            yield f"{number:,} {text}"
    if waiting := progress.count("open"):
        yield f"{waiting:,} {'waits' if waiting == 1 else 'wait'}{_for(progress)}"


def _for(progress: ReplayProgress) -> str:
    """What the open ones wait for."""
    first, held = progress.count("ahead"), progress.count("held")
    again = progress.count("open") - first - held
    parts = [(first, "for the first call"), (again, "for another call"), (held, "on hold")]
    some = [(number, text) for number, text in parts if number > 0]
    if len(some) == 1:
        return f" {some[0][1]}"
    return f" ({', '.join(f'{number:,} {text}' for number, text in some)})"
