"""`eraser dead replay`: a few named jobs at once; groups and many as a background replay, after a plan."""

from __future__ import annotations

import sys
from typing import Any

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.dead_actions import move_options, tell_done, tell_nothing, typed
from worker.interfaces.cli.filters import filter_of
from worker.interfaces.cli.printing import json_line, say
from worker.interfaces.cli.replay_progress import exit_code, follow, tell_end
from worker.model.errors import EraserError, UsageError
from worker.model.ids import check_opaque, check_reason
from worker.model.states import State
from worker.replay.plan import Share
from worker.services import dead_letter_actions, dead_letters, labels
from worker.services import replay as replay_service
from worker.services.replay import ReplayPlan
from worker.services.times import span


@click.command()
@move_options(reason=True)
@click.option(
    "--snapshot", metavar="N", multiple=True, help="Only failures that the plan included; the plan prints the number."
)
@click.option("--no-wait", is_flag=True, help="Start the replay and return at once (exit 5).")
def replay(what: tuple[str, ...], **fields: Any) -> None:
    """Replay dead letters, each with a full budget of attempts and a new deadline.

    Up to ten named jobs are replayed at once, before bulk work. For groups and for more it prints a plan; with --yes
    workers run the replay: one dead letter, then ten, then the rest at the account's rate. It stops by itself
    if they fail again.

    \b
    eraser dead replay 0f3a61c2 --reason TICKET-4711
    eraser dead replay server_error-500 --reason "incident over" --yes --max 1378
    eraser dead replay --cause server_error --since 24h --reason TICKET-4711
    """
    check_reason(fields["reason"]), check_opaque(fields["by"], "by")
    app = startup.enter(startup.load(), rings=True)
    selection = dead_letters.choose(
        app,
        what,
        every=fields["every"],
        wanted=filter_of(app, fields),
        limit=fields["limit"],
        snapshot=_marks(app, fields["snapshot"]),
    )
    if not selection.letters:
        tell_nothing(selection, "dead", as_json=fields["as_json"])
        sys.exit(1 if selection.skipped else 0)
    if selection.few:
        done = dead_letter_actions.replay(app, selection, startup.notify, reason=fields["reason"], by=fields["by"])
        tell_done(State.PENDING, selection, done, as_json=fields["as_json"])
        sys.exit(1 if selection.skipped or done.others else 0)
    plan = replay_service.plan(app, selection)
    if not (fields["as_json"] and fields["yes"]):
        json_line(plan.as_json()) if fields["as_json"] else _tell_plan(plan, confirmed=fields["most"] is not None)
    if not plan.count:
        raise EraserError("nothing was done: all of them are on hold. See: eraser hold list")
    dead_letter_actions.check_confirmed(plan.count, fields["most"], yes=fields["yes"], again=_again(plan, what, fields))
    started = replay_service.start(app, plan, by=fields["by"], why=fields["reason"], most=fields["most"])
    sys.exit(_see_through(app, started, fields))


def _see_through(app: AppContext, started: str, said: dict[str, Any]) -> int:
    if not said["as_json"]:
        say(f"Started {started}; it continues without this command.")
    seen = replay_service.look(app, started) if said["no_wait"] else follow(app, started, quiet=said["as_json"])
    if said["as_json"]:
        json_line(seen.as_json())
    else:
        tell_end(seen)
    return exit_code(seen)


def _again(plan: ReplayPlan, what: tuple[str, ...], said: dict[str, Any]) -> str:
    """The command so far, bound to the plan's snapshot."""
    marks = plan.marks
    bound = [f"{account}={mark}" for account, mark in marks.items()] if len(marks) > 1 else map(str, marks.values())
    return " ".join([typed("replay", what, said), *(f"--snapshot {mark}" for mark in bound)])


def _marks(app: AppContext, said: tuple[str, ...]) -> dict[str, int] | None:
    """`--snapshot 1413`, or `--snapshot ACCOUNT=1413` once for each."""
    if not said:
        return None
    marks: dict[str, int] = {}
    for word in said:
        account, _, number = word.rpartition("=")
        accounts = [account] if account else list(app.settings.accounts)
        if not number.isdigit() or any(name not in app.settings.accounts for name in accounts):
            raise UsageError(f"--snapshot: expected the plan's number, or ACCOUNT=NUMBER; found {word[:80]!r}")
        marks |= dict.fromkeys(accounts, int(number))
    return marks


def _tell_plan(plan: ReplayPlan, *, confirmed: bool) -> None:
    say(f"PLAN  replay {labels.count(plan.count, 'dead letter')}: {plan.what}", style="bold")
    for group, number in plan.groups.items():
        say(f"{number:11,}  {group}")
    if plan.held:
        say(f"{plan.held:11,}  on hold: they stay dead (eraser hold list)")
    for word, why in plan.skipped:
        say(f"      skipped: {word}: {why}")
    for share in plan.shares:
        say(f"      {_share(share)}")
    several = len(plan.marks) > 1
    first = "one dead letter of each account first" if several else "one dead letter first"
    say(f"      {first}, then ten{_of_all_groups(plan)}; then the rest. It stops by itself if they fail again")
    seen = ", ".join(f"{mark:,} of {account}" if several else f"{mark:,}" for account, mark in plan.marks.items())
    say(f"      excludes failures after #{seen}")
    if plan.over_cap and not confirmed:
        say(f"      more than {plan.cap:,}: confirm the number with --max")


def _of_all_groups(plan: ReplayPlan) -> str:
    """The groups that decide about the rest: one that still fails stops the others as well."""
    return ", from all groups in turn" if len(plan.groups) > 1 else ""


def _share(share: Share) -> str:
    takes = span(share.seconds) if share.seconds < 1 else f"about {span(share.seconds)}"
    text = f"account {share.account}: {len(share.letters):,} at {share.rate:g}/s, {takes}"
    if share.due_before:
        text += f", behind {share.due_before:,} that are due already"
    if share.gate not in ("ok", "clock"):
        text += f"; the gate is {labels.GATES.get(share.gate, share.gate)}, so they wait until it opens"
    return text
