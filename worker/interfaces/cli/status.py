"""`eraser status`: everything at a glance."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from itertools import repeat

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from worker.interfaces.cli import errors, startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import STYLES, console, for_programs, json_line, json_option, tabled
from worker.ledger.records import AccountStatus, Gate
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.services import labels
from worker.services import status as whole
from worker.services.status import Overview
from worker.services.times import absolute, relative, span, when
from worker.services.workers import WorkerStatus

EVERY_S = 1.0
EVERY_S_PIPED = 10.0


@click.command(cls=Reading)
@click.option("--watch", is_flag=True, help="Refresh in place until Ctrl-C.")
@json_option
def status(watch: bool) -> None:
    """Counts by state, what is due, the gate of each account, the workers; and what to type next.

    \b
    eraser status --watch
    """
    app = startup.enter(startup.load())
    if watch:
        follow(lambda: whole.look(app), as_json=for_programs())
    else:
        _show(None, whole.look(app), as_json=for_programs())


def follow(look: Callable[[], Overview], *, as_json: bool, times: int | None = None) -> None:
    """Refresh until Ctrl-C. Redis may be unreachable in between. `times` limits it, for tests."""
    terminal = sys.stdout.isatty() and not as_json
    every = EVERY_S if terminal or as_json else EVERY_S_PIPED
    screen = Live(console=console(), auto_refresh=False) if terminal else nullcontext()
    with screen as live, suppress(KeyboardInterrupt):
        for left in repeat(1) if times is None else range(times - 1, -1, -1):
            try:
                _show(live, look(), as_json=as_json)
            except Unreachable as error:
                _trouble(live, error, as_json=as_json)
            if left:
                time.sleep(every)


def _show(live: Live | None, view: Overview, *, as_json: bool) -> None:
    if as_json:
        json_line(whole.as_json(view))
    elif live:
        live.update(page(view), refresh=True)
    else:
        console().print(page(view))


def _trouble(live: Live | None, error: Unreachable, *, as_json: bool) -> None:
    if live:
        live.update(Text(f"{error}; trying again", style="bold red"), refresh=True)
    else:
        errors.trying_again(error, as_json=as_json)


def page(view: Overview) -> RenderableType:
    """The status for people."""
    states = tabled(["STATE", "COUNT", ""], [_state(state, n) for state, n in view.states.items()])
    top = (Text(absolute(view.now), style="dim"), states, *_parts(view), _due(view), Text())
    return Group(*top, _gates(view), Text(), _workers(view), Text(), *_next(view))


def _parts(view: Overview) -> list[Text]:
    """What jobs left behind, in a line."""
    numbers = ", ".join(f"{number} {state}" for state, number in view.parts.items())
    lines = [f"parts of deleted jobs: {numbers}"] if numbers else []
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in view.erasures.items() if number)
    lines += [f"erasures: {verdicts}"] if verdicts else []
    return [Text(line) for line in lines]


def _state(state: State, number: int) -> tuple[object, ...]:
    style = STYLES.get(state.value, "") if number else "dim"
    meaning = labels.STATES[state] if number else ""
    return Text(state.value, style=style), Text(f"{number:,}", style=style), Text(meaning, style="dim")


def _due(view: Overview) -> RenderableType:
    lines = []
    for account in view.accounts:
        which = f"{account.gate.account}: " if len(view.accounts) > 1 else ""
        lines += [f"{which}{line}" for line in _due_of(account, view.now)]
    return Text("\n".join(["", *lines]))


def _due_of(account: AccountStatus, now: float) -> list[str]:
    lines = []
    for lane, number in account.due.items():
        if number:
            waited = account.oldest_due_by_lane.get(lane)
            oldest = f", the oldest for {span(waited)}" if waited is not None else ""
            lines.append(f"{number:,} due in the {lane} lane{oldest}")
    if not lines and account.next_due_at is not None:
        lines.append(f"nothing is due; the next {when(account.next_due_at, now)}")
    return lines or ["nothing is due"]


def _gates(view: Overview) -> RenderableType:
    rows = [_gate(account.gate, view.now) for account in view.accounts]
    table = tabled(["ACCOUNT", "GATE", "RATE", "SINCE", "NEXT TRY", "REASON"], rows)
    closed = [
        Text(f"{one.scope} {one.name} of {account.gate.account} is {labels.closure(one, view.now)}", style="bold red")
        for account in view.accounts
        for one in account.gate.closures
        if one is not account.gate.shut and (one.scope == "project" or one.target)  # that one is the first line of Next
    ]
    return Group(table, *closed)


def _gate(gate: Gate, now: float) -> tuple[object, ...]:
    state = Text(labels.GATES.get(gate.gate, gate.gate), style="green" if gate.gate == "ok" else "bold red")
    since, until = (None if ms is None else relative(ms, now) for ms in (gate.since, gate.until))
    return gate.account, state, f"{gate.rate:g}/s", since, until, gate.reason


def _workers(view: Overview) -> RenderableType:
    rows = [(worker.worker, worker.threads, _last_seen(worker)) for worker in view.workers]
    return tabled(["WORKER", "THREADS", "LAST SEEN"], rows) if rows else Text("no worker")


def _last_seen(worker: WorkerStatus) -> Text:
    ago = span(worker.heartbeat_age_s)
    return Text(f"silent for {ago}", style="bold red") if worker.silent else Text(f"{ago} ago")


def _next(view: Overview) -> list[RenderableType]:
    found = list(whole.advice(view))
    if not found:
        return [Text(whole.all_well(view))]
    return [Text.assemble("Next: ", (advice.command, "bold"), f"   ({advice.why})") for advice in found]
