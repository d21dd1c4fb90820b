"""`eraser replay`: running and past replays: progress, who, why and the result; and cancelling one."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import facts, json_option, listed, result, say
from worker.interfaces.cli.replay_progress import exit_code, follow, tell_end
from worker.services import replay as replay_service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.replay import ReplayProgress
from worker.services.replay_labels import STAGES, STATES, left, outcomes
from worker.services.times import relative, span, when


@click.group(cls=CommandGroup)
def replay() -> None:
    """Replays of many dead letters: `eraser dead replay` starts one, any worker drives it.

    \b
    eraser replay status
    eraser replay cancel replay-20261122-103012-ab12 --reason TICKET-4711
    """


@replay.command()
@click.argument("replay_id", required=False, metavar="[ID]")
@click.option("--watch", is_flag=True, help="Follow until it has finished, or Ctrl-C.")
@json_option
def status(replay_id: str | None, watch: bool) -> None:
    """Progress of a replay; without an id, the latest. Exit 0 all deleted or gone, 1 not all, 5 not finished.

    \b
    eraser replay status --watch
    """
    app = startup.enter(startup.load())
    progress = replay_service.progress_of(app, replay_id)
    if watch:
        progress = follow(app, progress.replay)
    result(progress.as_json())
    _tell(progress)
    sys.exit(exit_code(progress))


@replay.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@json_option
def list_(limit: int) -> None:
    """The latest replays, newest first: who, why and the result.

    \b
    eraser replay list
    """
    found = replay_service.history(startup.enter(startup.load()), limit)
    columns = ["REPLAY", "STATE", "STARTED", "BY", "DEAD LETTERS", "DELETED", "GONE", "DEAD AGAIN", "WHAT", "REASON"]
    if listed(found, ReplayProgress.as_json, columns, _row, none="No replay yet. See: eraser dead groups"):
        say(f"{count(len(found), 'replay')}. Next: eraser replay status {found[0].replay}")


@replay.command()
@click.argument("replay_id", metavar="ID")
@acting()
def cancel(replay_id: str, approval: Approval) -> None:
    """Stop this replay. Deletions that were not called yet become dead letters again; calls already made stand.

    \b
    eraser replay cancel replay-20261122-103012-ab12 --reason TICKET-4711
    """
    tell_end(replay_service.cancel(startup.enter(startup.load()), replay_id, approval))


def _row(progress: ReplayProgress) -> tuple[object, ...]:
    first, numbers = progress.first, ("total", "deleted", "gone", "dead")
    state = progress.state.value + (f" ({first.end_by})" if first.end_by else "")
    return (
        *(progress.replay, state, relative(first.started, progress.now), first.by),
        *(progress.count(name) for name in numbers),
        *(first.what, first.why),
    )


def _tell(progress: ReplayProgress) -> None:
    first = progress.first
    doing = STATES.get(progress.state) or STAGES[first.stage]
    say(f"{progress.replay}  {progress.state.value}: {doing}", style="bold")
    ended = progress.ended_at
    rows: list[tuple[str, object]] = [("what", first.what), ("reason", first.why), ("by", first.by)]
    rows += [("started", when(first.started, progress.now))]
    if ended:
        rows.append(("ended", f"{when(ended, progress.now)}, after {span((ended - first.started) / 1000)}"))
    if progress.end_why:
        by = f" (by {first.end_by})" if first.end_by else ""
        rows.append(("because", progress.end_why + by))
    if len(progress.shares) > 1:
        rows.append(("accounts", ", ".join(f"{share.account} {share.state.value}" for share in progress.shares)))
    total, fed, rest = (progress.count(name) for name in ("total", "fed", "left"))
    begun = "all started" if fed == total else f"{fed:,} started"
    rows.append(("total", f"{total:,}, {begun}" + (f", {rest:,} not started" if rest else "")))
    rows.append(("outcome" if ended else "so far", ", ".join(outcomes(progress)) or "nothing has finished yet"))
    rows += [("waits", why) for why in progress.waits]
    if progress.expected_s and not progress.waits:
        rows.append(("time", f"{left(progress.expected_s)} until all are called"))
    facts(rows)
    if not progress.ended:
        say(f"Next: eraser replay cancel {progress.replay} --reason TICKET   (or wait: it continues by itself)")
    elif not progress.all_well:
        say("Next: eraser dead groups")
