"""`eraser replay`: running and past replays: progress, who, why and the result; and cancelling one."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting
from worker.interfaces.cli.printing import facts, json_line, json_option, listed, say, table
from worker.interfaces.cli.replay_progress import exit_code, follow, tell_end
from worker.services import replay as replay_service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.replay import ReplayProgress
from worker.services.replay_labels import STAGES, STATES, left, outcomes
from worker.services.times import relative, span, when


@click.group()
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
def status(replay_id: str | None, watch: bool, as_json: bool) -> None:
    """Progress of a replay; without an id, the latest. Exit 0 all deleted or gone, 1 not all, 5 not finished.

    \b
    eraser replay status --watch
    """
    app = startup.enter(startup.load())
    seen = replay_service.look(app, replay_id)
    if watch:
        seen = follow(app, seen.replay, quiet=as_json)
    if as_json:
        json_line(seen.as_json())
    else:
        _tell(seen)
    sys.exit(exit_code(seen))


@replay.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@json_option
def list_(limit: int, as_json: bool) -> None:
    """The latest replays, newest first: who, why and the result.

    \b
    eraser replay list
    """
    found = replay_service.history(startup.enter(startup.load()), limit)
    if listed(found, ReplayProgress.as_json, as_json=as_json, none="No replay yet. See: eraser dead groups"):
        return
    table(
        ["REPLAY", "STATE", "STARTED", "BY", "DEAD LETTERS", "DELETED", "GONE", "DEAD AGAIN", "WHAT", "REASON"],
        [_row(seen) for seen in found],
    )
    say()
    say(f"{count(len(found), 'replay')}. Next: eraser replay status {found[0].replay}")


@replay.command()
@click.argument("replay_id", metavar="ID")
@acting()
def cancel(replay_id: str, approval: Approval, as_json: bool) -> None:
    """Stop this replay. Deletions that were not called yet become dead letters again; calls already made stand.

    \b
    eraser replay cancel replay-20261122-103012-ab12 --reason TICKET-4711
    """
    seen = replay_service.cancel(startup.enter(startup.load()), replay_id, approval)
    if as_json:
        json_line(seen.as_json())
    else:
        tell_end(seen)


def _row(seen: ReplayProgress) -> tuple[object, ...]:
    first, numbers = seen.first, ("total", "deleted", "gone", "dead")
    state = seen.state.value + (f" ({first.end_by})" if first.end_by else "")
    return (
        *(seen.replay, state, relative(first.started, seen.now), first.by),
        *(seen.count(name) for name in numbers),
        *(first.what, first.why),
    )


def _tell(seen: ReplayProgress) -> None:
    first = seen.first
    doing = STATES.get(seen.state) or STAGES[first.stage]
    say(f"{seen.replay}  {seen.state.value}: {doing}", style="bold")
    ended = seen.ended_at
    rows: list[tuple[str, object]] = [("what", first.what), ("reason", first.why), ("by", first.by)]
    rows += [("started", when(first.started, seen.now))]
    if ended:
        rows.append(("ended", f"{when(ended, seen.now)}, after {span((ended - first.started) / 1000)}"))
    if seen.end_why:
        by = f" (by {first.end_by})" if first.end_by else ""
        rows.append(("because", seen.end_why + by))
    if len(seen.shares) > 1:
        rows.append(("accounts", ", ".join(f"{share.account} {share.state.value}" for share in seen.shares)))
    total, fed, rest = (seen.count(name) for name in ("total", "fed", "left"))
    begun = "all started" if fed == total else f"{fed:,} started"
    rows.append(("total", f"{total:,}, {begun}" + (f", {rest:,} not started" if rest else "")))
    rows.append(("outcome" if ended else "so far", ", ".join(outcomes(seen)) or "nothing has finished yet"))
    rows += [("waits", why) for why in seen.waits]
    if seen.expected_s and not seen.waits:
        rows.append(("time", f"{left(seen.expected_s)} until all are called"))
    facts(rows)
    if not seen.ended:
        say(f"Next: eraser replay cancel {seen.replay} --reason TICKET   (or wait: it continues by itself)")
    elif not seen.all_well:
        say("Next: eraser dead groups")
