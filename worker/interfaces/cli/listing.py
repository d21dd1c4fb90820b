"""`eraser list`: deletions by state and filters, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import rows, startup
from worker.interfaces.cli.acting import typed
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_option, note, say, table
from worker.ledger.records import Deletion
from worker.services import filters, listing
from worker.services.filters import DeletionFilter
from worker.services.labels import count
from worker.services.listing import MOST, ROWS, Listed
from worker.services.times import relative

F = TypeVar("F", bound=Callable[..., Any])

_METAVARS = {"state": "S[,S]", "job": "PREFIX", "since": "24h|TIME", "until": "1h|TIME", "order": "asc|desc"}


def _filter_options(command: F) -> F:
    for name, text in reversed(filters.EVERY.items()):
        option = click.option(
            f"--{name.replace('_', '-')}", name, metavar=_METAVARS.get(name, name[0].upper()), help=text
        )
        command = option(command)
    return command


@click.command("list", cls=Reading)
@_filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. [table: {ROWS}, else all]")
@click.option("--cursor", metavar="C", help="Go on where an earlier list ended.")
@rows.output_option
@json_option
def list(output: str, limit: int | None, cursor: str | None, **fields: str | None) -> None:
    """Deletions in all states or some, by what they wait for, who requested them and more.

    What has finished is listed latest first, what waits soonest first. Records that left Redis for the archive are not
    listed: eraser show finds each of them.

    \b
    eraser list --state pending,held --by svc-cleanup
    eraser list --state deleted --since 24h -o csv
    """
    app = startup.enter(startup.load())
    now = app.redis_ms()
    wanted = filters.read(fields, now, prefix="--")
    for_people = not for_programs() and output == "table"
    pages = _pages(app, wanted, cursor, limit or (ROWS if for_people else None))
    first = last = next(pages)

    def found() -> Iterator[Deletion]:
        nonlocal last
        for last in chain([first], pages):
            yield from last.rows

    any_rows = _table(tuple(found()), now) if for_people else rows.write(map(listing.as_json, found()), listing.COLUMNS)
    beside = say if for_people else note
    if last.cursor is not None:
        beside(f"There are more: {typed(click.get_current_context(), 'cursor')} --cursor {last.cursor}")
        return
    left = listing.archived(app, wanted)
    if not any_rows:
        beside("No deletion matches these filters." if first.total or left else "No deletion is in these states.")
    if left:
        each = "each of which eraser show finds; eraser receipts export has them all"
        beside(f"Not listed: {count(left, 'archived deletion')}, {each}.")


def _pages(app: AppContext, wanted: DeletionFilter, cursor: str | None, limit: int | None) -> Iterator[Listed]:
    """Until there are no more, or `limit` are found; at least one."""
    while True:
        page = listing.page(app, wanted, cursor, min(limit or MOST, MOST))
        yield page
        limit, cursor = limit and limit - len(page.rows), page.cursor
        if cursor is None or limit == 0:
            return


def _table(found: Sequence[Deletion], now: float) -> bool:
    """Print them. Returns whether there were any."""
    several = len({d.ref.project_id for d in found}) > 1
    columns = ["JOB", *(["PROJECT"] if several else []), "STATE", "WHY", "DUE OR FINISHED", "REQUESTED BY", "REASON"]
    if found:
        table(columns, [_row(d, now, several) for d in found])
    return bool(found)


def _row(d: Deletion, now: float, several: bool) -> tuple[object, ...]:
    at = d.due_at if d.finished_at is None else d.finished_at
    why = d.waiting_for or d.cause or d.evidence
    where = [d.ref.project_id] if several else []
    when = "in progress" if at is None else relative(at, now)
    return (d.ref.name, *where, d.state, why, when, d.requested_by, d.reason)
