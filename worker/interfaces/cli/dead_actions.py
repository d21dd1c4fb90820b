"""`eraser dead replay`, `discard` and `restore`: a single named job at once, many after a plan."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace as with_fields
from typing import Any, NoReturn

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, max_option, show, typed, yes_option
from worker.interfaces.cli.filters import filter_of, filter_options
from worker.interfaces.cli.printing import F, for_programs, result, say, sum_up, tell
from worker.interfaces.cli.replay_progress import exit_code, follow, tell_end
from worker.model.errors import UsageError
from worker.model.target import Target
from worker.services import dead_letter_actions, dead_letters, replay_labels
from worker.services import replay as replay_service
from worker.services.act import Approval, Outcome
from worker.services.dead_letter_actions import Verb
from worker.services.dead_letters import Selection
from worker.services.labels import count

LISTED = 10
_limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N, to try first.")


def _selecting(command: F) -> F:
    """Which dead letters: by job, group or filter, or all."""
    command = click.option("--all", "every", is_flag=True, help="All of them.")(filter_options(command))
    return click.argument("what", nargs=-1, metavar="[JOB_ID|GROUP]...")(command)


@click.command()
@_selecting
@acting(_limit, max_option, yes_option)
def discard(what: tuple[str, ...], approval: Approval, **fields: Any) -> None:
    """Give up on dead letters. `restore` undoes it within 30 days.

    \b
    eraser dead discard 0f3a61c2 --reason "deleted by hand, TICKET-4711"
    """
    _run(Verb.DISCARD, what, approval, fields)


@click.command()
@_selecting
@acting(_limit, max_option, yes_option)
def restore(what: tuple[str, ...], approval: Approval, **fields: Any) -> None:
    """Restore discarded dead letters, within 30 days.

    \b
    eraser dead restore 0f3a61c2 --reason "TICKET-4711: it is ours after all"
    """
    _run(Verb.RESTORE, what, approval, fields)


@click.command()
@_selecting
@acting(_limit, max_option, yes_option)
@click.option(
    "--snapshot", metavar="N", multiple=True, help="Only failures that the plan included; the plan prints the number."
)
@click.option("--no-wait", is_flag=True, help="Start the replay and return at once (exit 5).")
def replay(what: tuple[str, ...], approval: Approval, no_wait: bool, **fields: Any) -> None:
    """Replay dead letters, each with a full budget of attempts and a new deadline.

    Up to ten named jobs are replayed at once, before bulk work. For groups and for more it prints a plan; with --yes
    workers run the replay: one dead letter, then ten, then the rest at the account's rate. It stops by itself
    if they fail again.

    \b
    eraser dead replay 0f3a61c2 --reason TICKET-4711
    eraser dead replay 'server_error-500*' --reason "incident over" --yes --max 1378
    eraser dead replay --cause server_error --since 24h --reason TICKET-4711
    """
    app, selection = _selected(Verb.REPLAY, what, fields)
    if selection.few and not approval.only_plan:
        _carry_out(app, Verb.REPLAY, selection, approval)
    plan = replay_service.plan(app, selection)
    show(replay_labels.plan(plan, approval), approval)
    again = [typed(click.get_current_context(), "snapshot", "no_wait")]
    again += [f"--snapshot {f'{name}=' if len(plan.marks) > 1 else ''}{mark}" for name, mark in plan.marks.items()]
    started = replay_service.start(app, plan, with_fields(approval, again=" ".join(again)))
    say(f"Started {started}; it continues without this command.")
    progress = replay_service.progress_of(app, started) if no_wait else follow(app, started)
    tell_end(progress)
    sys.exit(exit_code(progress))


def _run(verb: Verb, what: tuple[str, ...], approval: Approval, fields: dict[str, Any]) -> NoReturn:
    app, selection = _selected(verb, what, fields)
    if approval.only_plan or not selection.at_once:
        show(dead_letter_actions.plan(verb, selection), approval)
    _carry_out(app, verb, selection, approval)


def _selected(verb: Verb, what: tuple[str, ...], fields: dict[str, Any]) -> tuple[AppContext, Selection]:
    """The selected dead letters; if there are none, the command ends."""
    app = startup.enter(startup.load())
    selection = dead_letters.choose(
        app,
        what,
        every=fields["every"],
        wanted=filter_of(app, fields),
        state=verb.source,
        limit=fields["limit"],
        snapshot=_marks(app, fields.get("snapshot", ())),
    )
    if selection.letters:
        return app, selection
    _tell_skipped(dead_letter_actions.skipped(selection))
    say(f"Nothing was done: no {verb.source} deletion matches. See: eraser dead groups")
    sys.exit(1 if selection.skipped else 0)


def _marks(app: AppContext, words: tuple[str, ...]) -> dict[str, int] | None:
    """`--snapshot 1413`, or `--snapshot ACCOUNT=1413` once for each."""
    marks: dict[str, int] = {}
    for word in words:
        account, _, number = word.rpartition("=")
        accounts = [account] if account else list(app.settings.accounts)
        if not number.isdigit() or any(name not in app.settings.accounts for name in accounts):
            raise UsageError(f"--snapshot: expected the plan's number, or ACCOUNT=NUMBER; found {word[:80]!r}")
        marks |= dict.fromkeys(accounts, int(number))
    return marks or None


def _carry_out(app: AppContext, verb: Verb, selection: Selection, approval: Approval) -> NoReturn:
    """Do it, and show the result of each and the next command."""
    found = dead_letter_actions.carry_out(app, verb, selection, approval)
    letters, skipped = found[: len(selection.letters)], found[len(selection.letters) :]
    others = [one for one in letters if not one.done]
    done = len(letters) - len(others)
    for one in letters:
        result(one.as_json())
    sum_up(f"{count(done, 'dead letter')} {verb.done}." if done else f"Nothing was {verb.done}.")
    for one in others[:LISTED]:
        say(f"  {one.target.name}: {one.text}")
    if len(others) > LISTED:
        say(f"  … and {len(others) - LISTED:,} more in another state")
    if selection.named or for_programs():
        _tell_skipped(skipped)
    if done:
        say(_next(verb, letters[0].target, done))
    sys.exit(0 if done == len(found) else 1)


def _next(verb: Verb, first: Target, done: int) -> str:
    match verb:
        case Verb.REPLAY if done > 1:
            return "Next: eraser status --watch"
        case Verb.REPLAY:
            return f"Next: eraser show {first.name} --project {first.project_id}"
        case Verb.DISCARD:
            return (
                f"To restore {'it' if done == 1 else 'one'} within 30 days: eraser dead restore {first.name} --reason R"
            )
    return "Next: eraser dead groups"


def _tell_skipped(skipped: Sequence[Outcome]) -> None:
    for one in skipped:
        tell(one.as_json(), f"{one.target.name}: {one.text}")
