"""`eraser dead`: dead letters in groups, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from worker.interfaces.cli import rows, startup
from worker.interfaces.cli.dead_actions import discard, replay, restore
from worker.interfaces.cli.filters import filter_of, filter_options
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import facts, for_programs, json_option, listed, note, result, say, table
from worker.ledger.bulk_queries import DeadLetter, DeadLetterGroup
from worker.model.states import Cause
from worker.services import dead_letters as letters
from worker.services import json_form, labels
from worker.services.dead_letters import group_of
from worker.services.times import days_left, left, relative, when

ROWS = 50  # of a table for people; json and csv have all
SHOWN = 5  # dead letters of a group that are shown
NONE = "No dead letters: nothing needs a person."


@click.group(cls=CommandGroup)
def dead() -> None:
    """Dead letters need a person: inspect them in groups, then replay or discard.

    \b
    eraser dead groups
    eraser dead replay server_error-500-MSS.00000004 --reason TICKET-4711
    """


for _action in (replay, discard, restore):
    dead.add_command(_action)


@dead.command()
@json_option
def groups() -> None:
    """Dead letters by cause, status and code, the largest group first.

    \b
    eraser dead groups
    """
    app = startup.enter(startup.load())
    found, now = letters.groups(app), app.redis_ms()

    def row(one: DeadLetterGroup) -> tuple[object, ...]:
        dates = relative(one.first_seen, now), relative(one.last_seen, now)
        replayed = relative(one.last_replay, now) if one.last_replay is not None else "never"
        return one.group, one.count, *dates, replayed, left(one.oldest_deadline, now)

    columns = ["GROUP", "COUNT", "FIRST SEEN", "LAST SEEN", "LAST REPLAY", "OLDEST DEADLINE"]
    if listed(found, json_form.as_json, columns, row, none=NONE):
        total = sum(group.count for group in found)
        say(f"{labels.count(total, 'dead letter')} in {labels.count(len(found), 'group')}.")
        say(f"Next: eraser dead show {found[0].group}")


@dead.command("list", cls=Reading)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. [table: {ROWS}, else all]")
@rows.output_option
@json_option
def list_(output: str, limit: int | None, **fields: Any) -> None:
    """Dead letters one by one, newest first. With the filters of every other state: eraser list --state dead.

    \b
    eraser dead list --cause server_error --since 24h -o csv
    """
    app = startup.enter(startup.load())
    now = app.redis_ms()
    wanted = filter_of(app, fields)
    found = (letter for letter in letters.letters(app) if wanted.passes(letter))
    if for_programs() or output != "table":
        lines = (_letter_json(letter, now) for letter in islice(found, limit))
        if not rows.write(lines, _COLUMNS):
            note("No dead letter matches.")
    else:
        _letters_table(found, limit or ROWS, now, filtered=bool(wanted.words))


@dead.command()
@click.argument("group")
@json_option
def show(group: str) -> None:
    """One group: its meaning, what to do, and its newest dead letters.

    \b
    eraser dead show server_error-500-MSS.00000004
    """
    app = startup.enter(startup.load())
    found = {one.group: one for one in letters.groups(app)}
    name = letters.named(group, found)
    newest = list(islice((one for one in letters.letters(app) if group_of(one) == name), SHOWN))
    now = app.redis_ms()
    result(json_form.as_json(found[name]) | {"letters": [_letter_json(letter, now) for letter in newest]})
    _tell_group(found[name], newest, now)


def _tell_group(group: DeadLetterGroup, newest: list[DeadLetter], now: float) -> None:
    say(f"{group.group}: {labels.count(group.count, 'dead letter')}", style="bold red")
    say(f"{group.cause}: {labels.cause(group.cause)}")
    replayed = when(group.last_replay, now) if group.last_replay is not None else "never"
    facts(
        [
            ("status", None if group.status is None else str(group.status)),
            ("code", group.code),
            ("first seen", when(group.first_seen, now)),
            ("last seen", when(group.last_seen, now)),
            ("last replay", replayed),
            ("oldest deadline", left(group.oldest_deadline, now)),
        ]
    )
    say()
    _rows(newest, now, of_one_group=True)
    if group.count > len(newest):
        code = f" --code {group.code}" if group.code else ""
        say(f"… and {group.count - len(newest):,} more: eraser dead list --cause {group.cause}{code}")
    say()
    if group.cause in tuple(Cause):
        say(f"What to do: {labels.REMEDIES[Cause(group.cause)]}.")
    if newest:
        say(f"Next: eraser show {newest[0].ref.name} --project {newest[0].ref.project_id}")
    say(f"  or: eraser dead replay {group.group} --reason TICKET")


def _letters_table(found: Iterator[DeadLetter], limit: int, now: float, *, filtered: bool) -> None:
    shown = list(islice(found, limit))
    if not shown:
        say("No dead letter matches these filters; eraser dead list shows them all." if filtered else NONE)
        return
    _rows(shown, now)
    more = sum(1 for _ in found)
    if more:
        say(f"… and {more:,} more: --limit {limit + more}, or -o csv for all")


def _rows(shown: list[DeadLetter], now: float, *, of_one_group: bool = False) -> None:
    several = len({letter.ref.project_id for letter in shown}) > 1
    columns = ["JOB", *(["PROJECT"] if several else []), "DIED", "DEADLINE", "ROUND"]
    columns.append("REASON" if of_one_group else "GROUP")
    table(columns, [_row(letter, now, several, of_one_group) for letter in shown])


def _row(letter: DeadLetter, now: float, several: bool, of_one_group: bool) -> tuple[object, ...]:
    where = [letter.ref.project_id] if several else []
    died, deadline = relative(letter.finished_at, now), left(letter.deadline_at, now)
    last = letter.reason if of_one_group else group_of(letter)
    return (letter.ref.name, *where, died, deadline, letter.round, last)


_KEPT_BACK = ("account", "death", "whose")
_COLUMNS = (*json_form.names(DeadLetter, but=_KEPT_BACK), "group", "days_left")


def _letter_json(letter: DeadLetter, now: float) -> dict[str, Any]:
    days = days_left(letter.deadline_at, now)
    return json_form.as_json(letter, but=_KEPT_BACK) | {"group": group_of(letter), "days_left": days}
