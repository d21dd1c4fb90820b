"""Deletions page by page: never a whole index, however long it is, and never more work than a page may cost.

A page continues behind a place and not at a position, so that changes in between shift nothing. Records that left Redis
for the archive are not listed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.archived import ArchivedRecords
from worker.ledger.index_walk import IndexWalk, Place, Span
from worker.ledger.records import Deletion
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes_of, queues_of
from worker.model.errors import SettingsError, UsageError
from worker.model.states import State
from worker.model.target import Target
from worker.services import json_form
from worker.services.filters import DeletionFilter

ROWS = 50
MOST = 200  # entries that are read at once: meanwhile, some milliseconds, Redis serves nobody else
LOOKED_AT = 5_000  # the most entries that one page looks at if few match the filter
LONGEST_CURSOR = 2_000  # characters

_LEFT_OUT = ("attempts", "events", "claims", "used", "cancel_wanted", "cut", "whole", "archived")


@dataclass(frozen=True, slots=True)
class Listed:
    """One page. `cursor`: where the next one starts; None at the end. It may follow a page with few rows, or none."""

    rows: tuple[Deletion, ...]
    cursor: str | None
    total: int  # in the indexes, before the filters
    looked_at: int  # entries, for this page


def page(app: AppContext, wanted: DeletionFilter, cursor: str | None = None, limit: int = ROWS) -> Listed:
    """The page behind a cursor. Raises `UsageError` for a cursor that is none of ours."""
    after, sources = _place(cursor), _sources(app, wanted)
    rows: list[Deletion] = []
    looked_at, total = 0, None
    while True:
        count = MOST if wanted.by_record or wanted.job or wanted.project or wanted.kind else min(limit + 1, MOST)
        span = Span(wanted.newest_first, wanted.since, wanted.until, after, count)
        found = [IndexWalk(app.redis, name, app.keys).read([*indexes], span) for name, indexes in sources.items()]
        total = sum(number for number, _ in found) if total is None else total
        entries = span.in_order(place for _, places in found for place in places)
        records = _records(app, wanted, sources, entries)
        for entry in entries:
            if len(rows) == limit or looked_at == LOOKED_AT:
                return Listed(tuple(rows), str(after), total, looked_at)
            looked_at, after = looked_at + 1, entry
            if (record := records.get(entry)) is not None and wanted.passes(record):
                rows.append(record)
        if not entries:
            return Listed(tuple(rows), None, total, looked_at)


def archived(app: AppContext, wanted: DeletionFilter) -> int:
    """How many in these states left Redis for the archive, of the project or of all: no list has them."""
    marks = (ArchivedRecords(app.redis, account, app.keys).counts() for account in app.known_accounts())
    every = ((project, state, n) for each in marks for project, found in each.items() for state, n in found.items())
    return sum(n for project, state, n in every if wanted.project in (None, project) and state in wanted.states)


COLUMNS = (*json_form.names(Deletion, but=_LEFT_OUT), "erasure")


def as_json(d: Deletion) -> dict[str, Any]:
    """One row: the fields of `show.as_json` that fit a line, and the last answer."""
    return json_form.as_json(d, but=_LEFT_OUT) | {"erasure": d.whole.verdict if d.whole else None}


def _place(cursor: str | None) -> Place | None:
    try:
        return Place.parse(cursor) if cursor else None
    except ValueError:
        raise UsageError(
            "cursor: this is none of a list of ours; leave it out to start again at the first page"
        ) from None


def _sources(app: AppContext, wanted: DeletionFilter) -> dict[str, dict[str, State]]:
    """The indexes of each account, and which state is in each."""
    accounts = app.known_accounts()
    if wanted.project is not None:
        with suppress(SettingsError):  # a project that no account has: nothing of it will be found
            accounts = app.homes_of(wanted.project)
    made = {index: state for state in wanted.states for index in _indexes(wanted, state)}
    return dict.fromkeys(accounts, made)


def _indexes(wanted: DeletionFilter, state: State) -> list[str]:
    if wanted.group is not None:
        return [Key.GROUP_LETTERS + wanted.group]
    return queues_of(wanted.kind) if wanted.kind and state is State.PENDING else indexes_of(state)


def _records(
    app: AppContext, wanted: DeletionFilter, sources: dict[str, dict[str, State]], entries: list[Place]
) -> dict[Place, Deletion]:
    """Their records. A deletion that has changed its state in the meantime is left out: it has another place now."""
    due: dict[str, dict[Target, Place]] = {}
    for entry in entries:
        target = Target.parse(entry.member.decode(errors="replace"))
        if wanted.passes_target(target):
            due.setdefault(entry.account, {})[target] = entry
    return {
        places[d.ref]: d
        for account, places in due.items()
        for d in app.queries(account).rows({ref: place.score for ref, place in places.items()})
        if d.state is sources[account][places[d.ref].index]
    }
