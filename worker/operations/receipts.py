"""Receipts for people and programs: what was settled since, and how far the proof has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.errors import UsageError
from worker.ledger.receipts import PAGE, Receipts, place
from worker.receipts.receipt import expand
from worker.runtime import Runtime

READ_MOST = 5_000  # entries that one call looks through, also where few of them are the project's


class BadCursor(UsageError):
    """The cursor was not given out by us."""


class CursorTooOld(UsageError):
    """Receipts after the cursor have left Redis: they are in the day files, or in an export."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Some receipts, oldest first, and where to go on. The cursor is opaque; it stays good at the end, for later."""

    items: list[dict[str, Any]]
    cursor: str
    more: bool  # whether more are there now


def settled_since(running: Runtime, project_id: str, cursor: str | None, limit: int = 100) -> Settled:
    """What was settled in a project after a cursor; without one from the oldest that Redis still has.

    Each item has the fields of an exported receipt, but for the chain's. Raises `BadCursor`, `CursorTooOld`,
    `SettingsError` for a project of no account, and `Unreachable`.
    """
    account = running.settings.account_of(project_id).name
    receipts = running.receipts(account)
    begin = _checked(receipts, cursor)
    found = _page(receipts, project_id, begin, limit)
    _checked(receipts, begin)  # what was trimmed while we read must not be passed over either
    return found


def _page(receipts: Receipts, project_id: str, at: str, limit: int) -> Settled:
    items: list[dict[str, Any]] = []
    for _ in range(READ_MOST // PAGE):
        page = receipts.page(at)
        for entry in page:
            if entry.ref.project_id == project_id:
                if len(items) == limit:
                    return Settled(items, at, more=True)
                items.append(expand(receipts.account, entry))
            at = entry.id
        if len(page) < PAGE:
            return Settled(items, at, more=False)
    return Settled(items, at, more=True)


def _checked(receipts: Receipts, cursor: str | None) -> str:
    """The cursor as an entry's id. What was trimmed after it must not be passed over in silence."""
    trimmed = receipts.book().archived.id
    if cursor is None:
        return trimmed
    try:
        at = place(cursor)
    except ValueError:
        raise BadCursor(
            f"cursor: {cursor[:40]!r} is none that was given out here; leave it out to begin anew"
        ) from None
    if at < place(trimmed):
        raise CursorTooOld(
            "cursor: receipts after it have left Redis for the day files; leave it out to begin with the oldest that "
            "is left, and see `eraser receipts export` for those before"
        )
    return cursor
