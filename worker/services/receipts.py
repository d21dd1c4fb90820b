"""Receipts for people and programs: those since a cursor, and the state of sealing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.receipts import Receipts, place
from worker.model.errors import UsageError
from worker.receipts.receipt import expand

READ_MOST = 5_000  # entries that one call reads, even if few of them are the project's


class BadCursor(UsageError):
    """The cursor is not one of ours."""


class CursorTooOld(UsageError):
    """Receipts after the cursor have left Redis: they are in the day files, or in an export."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Some receipts, oldest first, and where to continue. The cursor is opaque; it stays valid at the end."""

    items: list[dict[str, Any]]
    cursor: str
    more: bool  # whether there are more now


def settled_since(app: AppContext, project_id: str, cursor: str | None, limit: int = 100) -> Settled:
    """The receipts of a project after a cursor; without one from the oldest that Redis still has.

    Each item is an end, with the fields of an exported receipt except those of the chain. Raises `BadCursor`,
    `CursorTooOld`, `SettingsError` for a project without an account, and `Unreachable`.
    """
    streams = _streams(app, project_id)
    begins = [_checked(stream, cursor) for stream in streams]
    found = _page(streams, begins, project_id, limit)
    for stream, begin in zip(streams, begins, strict=True):
        _checked(stream, begin)  # receipts that were trimmed during the read must not be skipped either
    return found


@dataclass(frozen=True, slots=True)
class _Stream:
    """Receipts of an account, for the time that the project was there."""

    receipts: Receipts
    until: str | None  # an id; None: it is still there


def _streams(app: AppContext, project_id: str) -> list[_Stream]:
    """The accounts with the project's receipts, in order of time: a project that moved left them there."""
    past = app.places.past(project_id)
    streams = [_Stream(app.receipts(name), f"{until:.0f}-{2**64 - 1}") for name, until in past]
    return [*streams, _Stream(app.receipts(app.home_of(project_id)), None)]


def _page(streams: list[_Stream], begins: list[str], project_id: str, limit: int) -> Settled:
    items: list[dict[str, Any]] = []
    at, read = begins[0], 0
    for stream, begin in zip(streams, begins, strict=True):
        at = max(at, begin, key=place)
        for entry in stream.receipts.each(at, until=stream.until):
            if entry.ref.project_id == project_id and entry.is_end:
                if len(items) == limit:
                    return Settled(items, at, more=True)
                items.append(expand(stream.receipts.account, entry))
            at, read = entry.id, read + 1
            if read == READ_MOST:
                return Settled(items, at, more=True)
    return Settled(items, at, more=False)


def _checked(stream: _Stream, cursor: str | None) -> str:
    """The cursor as an entry's id. Receipts that were trimmed after it must not be skipped silently."""
    trimmed = stream.receipts.progress().archived.id
    if cursor is None:
        return trimmed
    try:
        at = place(cursor)
    except ValueError:
        raise BadCursor(
            f"cursor: {cursor[:40]!r} is not a cursor of this server; leave it out to start again"
        ) from None
    complete = stream.until is not None and at >= place(stream.until)
    if at < place(trimmed) and not complete:
        raise CursorTooOld(
            "cursor: receipts after it have left Redis for the day files; leave it out to begin with the oldest that "
            "is left, and see `eraser receipts export` for those before"
        )
    return cursor
