"""`eraser dead discard` and `restore`: a single named job at once, many after a plan."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from worker.interfaces.cli import startup
from worker.interfaces.cli.filters import as_typed, filter_of, filter_options
from worker.interfaces.cli.printing import by_option, json_line, json_option, note, reason_option, say, sum_up
from worker.model.ids import check_opaque, check_reason
from worker.model.states import State
from worker.model.target import target_json
from worker.services import dead_letter_actions, dead_letters, labels
from worker.services.dead_letter_actions import Done
from worker.services.dead_letters import Selection, group_of
from worker.services.request import CAP

F = TypeVar("F", bound=Callable[..., Any])

DONE = {State.PENDING: "replayed", State.DISCARDED: "discarded", State.DEAD: "restored"}
TOLD = 10


def move_options(*, reason: bool) -> Callable[[F], F]:
    """The options of discard, restore and replay."""

    def decorate(command: F) -> F:
        for option in (
            json_option,
            click.option("--yes", is_flag=True, help="Execute the plan."),
            click.option("--max", "most", type=click.IntRange(min=0), metavar="N", help="Confirm more than 100."),
            click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N, to try first."),
            by_option,
            reason_option(required=reason),
            filter_options,
            click.option("--all", "every", is_flag=True, help="All of them."),
            click.argument("what", nargs=-1, metavar="[JOB_ID|GROUP]..."),
        ):
            command = option(command)
        return command

    return decorate


@click.command()
@move_options(reason=True)
def discard(what: tuple[str, ...], **fields: Any) -> None:
    """Give up on dead letters. `restore` undoes it within 30 days.

    \b
    eraser dead discard 0f3a61c2 --reason "deleted by hand, TICKET-4711"
    """
    _run("discard", what, fields)


@click.command()
@move_options(reason=False)
def restore(what: tuple[str, ...], **fields: Any) -> None:
    """Restore discarded dead letters, within 30 days.

    \b
    eraser dead restore 0f3a61c2
    """
    _run("restore", what, fields)


def _run(verb: str, what: tuple[str, ...], said: dict[str, Any]) -> None:
    """Select, show the plan, ask for a missing confirmation, do it, report."""
    check_reason(said["reason"]), check_opaque(said["by"], "by")
    app = startup.enter(startup.load())
    selection = dead_letters.choose(
        app,
        what,
        every=said["every"],
        wanted=filter_of(app, said),
        state=State.DISCARDED if verb == "restore" else State.DEAD,
        limit=said["limit"],
    )
    if not selection.letters:
        tell_nothing(selection, "discarded" if verb == "restore" else "dead", as_json=said["as_json"])
        sys.exit(1 if selection.skipped else 0)
    if not selection.at_once:
        if not said["as_json"]:
            _tell_plan(verb, selection)
        elif not said["yes"]:
            json_line(_plan_json(verb, selection))
        dead_letter_actions.check_confirmed(
            len(selection.letters), said["most"], yes=said["yes"], again=typed(verb, what, said)
        )
    action = dead_letter_actions.action_of(selection, said["most"])
    move = dead_letter_actions.discard if verb == "discard" else dead_letter_actions.restore
    done = move(app, selection, reason=said["reason"], by=said["by"], action=action)
    wanted = State.DISCARDED if verb == "discard" else State.DEAD
    tell_done(wanted, selection, done, as_json=said["as_json"])
    sys.exit(1 if selection.skipped or done.others else 0)


def typed(verb: str, what: tuple[str, ...], said: dict[str, Any]) -> str:
    """The command so far, without its confirmation."""
    again = ["eraser", "dead", verb, *what, *(["--all"] if said["every"] else []), *as_typed(said)]
    source = click.get_current_context().get_parameter_source
    for name in ("limit", "reason", "by"):
        if said[name] is not None and source(name) is ParameterSource.COMMANDLINE:
            again += [f"--{name}", str(said[name])]
    return shlex.join(again)


def _groups(selection: Selection) -> dict[str, int]:
    return dict(Counter(group_of(letter) for letter in selection.letters).most_common())


def _plan_json(verb: str, selection: Selection) -> dict[str, Any]:
    """The fields that it shares with a replay's plan."""
    number = len(selection.letters)
    return {
        "what": selection.what,
        f"will_be_{verb.removesuffix('e')}ed": number,
        "skipped": [{"what": word[:128], "skip_reason": why} for word, why in selection.skipped],
        "groups": _groups(selection),
        "cap": CAP,
        "over_cap": number > CAP,
    }


def _tell_plan(verb: str, selection: Selection) -> None:
    say(f"PLAN  {verb} {labels.count(len(selection.letters), 'dead letter')}", style="bold")
    for group, number in _groups(selection).items():
        say(f"{number:11,}  {group}")
    for word, why in selection.skipped:
        say(f"      skipped: {word}: {why}")
    if verb == "discard":
        say("      nothing more is sent for them; `eraser dead restore` undoes it within 30 days")


def tell_nothing(selection: Selection, kind: str, *, as_json: bool) -> None:
    """No dead letter was selected."""
    if as_json:
        _json_skipped(selection)
        return
    for word, why in selection.skipped:
        note(f"{word}: {why}")
    say(f"Nothing was done: no {kind} deletion matches. See: eraser dead groups")


def tell_done(wanted: State, selection: Selection, done: Done, *, as_json: bool) -> None:
    """The result of each, and the next command."""
    if as_json:
        became = dict(done.others)
        for letter in selection.letters:
            state = became.get(letter.ref, wanted.value)
            json_line(_result(letter.ref.name, letter.ref.project_id, state, done=letter.ref not in became))
        _json_skipped(selection)
    what = f"{labels.count(done.done, 'dead letter')} {DONE[wanted]}." if done.done else f"Nothing was {DONE[wanted]}."
    sum_up(what, as_json=as_json)
    if as_json:
        return
    for ref, state in done.others[:TOLD]:
        say(f"  {ref.name}: {_OTHERS.get(state, f'it is {state} by now')}")
    if len(done.others) > TOLD:
        say(f"  … and {len(done.others) - TOLD:,} more in another state")
    if selection.named:
        for word, why in selection.skipped:
            note(f"{word}: {why}")
    if not done.done:
        return
    first = selection.letters[0].ref
    match wanted:
        case State.PENDING if done.done > 1:
            say("Next: eraser status --watch")
        case State.PENDING:
            say(f"Next: eraser show {first.name} --project {first.project_id}")
        case State.DISCARDED:
            say(f"To restore {'it' if done.done == 1 else 'one'} within 30 days: eraser dead restore {first.name}")
        case _:
            say("Next: eraser dead groups")


def _json_skipped(selection: Selection) -> None:
    for word, why in selection.skipped:
        json_line(_result(word[:128], None, None, done=False, error=why))


def _result(
    job_id: str, project_id: str | None, state: str | None, *, done: bool, error: str | None = None
) -> dict[str, Any]:
    error = error or (None if done else _OTHERS.get(state or "", f"it is {state} by now"))
    return {"project_id": project_id, **target_json(job_id), "state": state, "done": done, "error": error}


_OTHERS = {
    "too_late": "it was discarded more than 30 days ago; request it again: eraser request",
    "unknown": "nothing is known of it",
    "newer": "it failed again after the plan: look at it again",
}
