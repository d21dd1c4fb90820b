"""`eraser status`: everything at a glance."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from worker.interfaces.cli import errors, startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import STYLES, console, json_line, json_option, tabled
from worker.ledger.records import AccountStatus
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.services import labels
from worker.services import status as whole
from worker.services.status import Overview
from worker.services.times import absolute, relative, span, when

EVERY_S = 1.0
EVERY_S_PIPED = 10.0


@click.command(cls=Reading)
@click.option("--watch", is_flag=True, help="Refresh in place until Ctrl-C.")
@json_option
def status(watch: bool, as_json: bool) -> None:
    """Counts by state, what is due, the gate of each account, the workers; and what to type next.

    \b
    eraser status --watch
    """
    app = startup.enter(startup.load())
    if watch:
        follow(lambda: whole.look(app), as_json=as_json)
    elif as_json:
        json_line(whole.as_json(whole.look(app)))
    else:
        console().print(page(whole.look(app)))


def follow(look: Callable[[], Overview], *, as_json: bool, times: int | None = None) -> None:
    """Refresh until Ctrl-C. Redis may be unreachable in between. `times` limits it, for tests."""
    terminal = sys.stdout.isatty() and not as_json
    every = EVERY_S if terminal or as_json else EVERY_S_PIPED
    with Live(console=console(), auto_refresh=False) if terminal else nullcontext() as live:
        try:
            while times is None or times > 0:
                times = None if times is None else times - 1
                _step(live, look, as_json=as_json)
                if times != 0:
                    time.sleep(every)
        except KeyboardInterrupt:
            return


def _step(live: Live | None, look: Callable[[], Overview], *, as_json: bool) -> None:
    try:
        seen = look()
    except Unreachable as error:
        if as_json:
            json_line(errors.as_json(error), beside=True)
        elif live:
            live.update(Text(f"{error}; trying again", style="bold red"), refresh=True)
        else:
            click.echo(f"{error}; trying again", err=True)
        return
    if as_json:
        json_line(whole.as_json(seen))
    elif live:
        live.update(page(seen), refresh=True)
    else:
        console().print(page(seen))


def page(seen: Overview) -> RenderableType:
    """The status for people."""
    parts: list[RenderableType] = [Text(absolute(seen.now), style="dim"), _states(seen)]
    parts += [_due(seen), Text(), _gates(seen), Text()]
    parts += [_workers(seen), Text(), *_next(seen)]
    return Group(*parts)


def _states(seen: Overview) -> RenderableType:
    return tabled(["STATE", "COUNT", ""], [_state(state, n) for state, n in seen.states.items()])


def _state(state: State, number: int) -> tuple[object, ...]:
    style = STYLES.get(state.value, "") if number else "dim"
    meaning = labels.STATES[state] if number else ""
    return Text(state.value, style=style), Text(f"{number:,}", style=style), Text(meaning, style="dim")


def _due(seen: Overview) -> RenderableType:
    lines = []
    for account in seen.accounts:
        which = f"{account.gate.account}: " if len(seen.accounts) > 1 else ""
        lines += [f"{which}{line}" for line in _due_of(account, seen.now)]
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


def _gates(seen: Overview) -> RenderableType:
    rows = []
    for account in seen.accounts:
        gate = account.gate
        rows.append(
            (
                gate.account,
                Text(labels.GATES.get(gate.gate, gate.gate), style="green" if gate.gate == "ok" else "bold red"),
                f"{gate.rate:g}/s",
                relative(gate.since, seen.now) if gate.since is not None else None,
                relative(gate.until, seen.now) if gate.until is not None else None,
                gate.reason,
            )
        )
    table = tabled(["ACCOUNT", "GATE", "RATE", "SINCE", "NEXT TRY", "REASON"], rows)
    closed = [
        Text(f"{one.scope} {one.name} of {account.gate.account} is {labels.closure(one, seen.now)}", style="bold red")
        for account in seen.accounts
        for one in account.gate.closures
        if one.scope == "project" or one.target
    ]
    return Group(table, *closed)


def _workers(seen: Overview) -> RenderableType:
    if not seen.workers:
        return Text("no worker")
    rows = []
    for worker in seen.workers:
        message = f"silent for {span(worker.heard_s)}" if worker.silent else f"{span(worker.heard_s)} ago"
        style = "bold red" if worker.silent else ""
        rows.append((worker.worker, worker.threads, Text(message, style=style)))
    return tabled(["WORKER", "THREADS", "LAST SEEN"], rows)


def _next(seen: Overview) -> list[RenderableType]:
    found = list(whole.advice(seen))
    if not found:
        return [Text(whole.all_well(seen))]
    return [Text.assemble("Next: ", (advice.command, "bold"), f"   ({advice.why})") for advice in found]
