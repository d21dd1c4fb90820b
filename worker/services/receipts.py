"""What has ended since a cursor, for people and programs: receipts, and dead letters."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.bulk_queries import DeadLetter
from worker.ledger.deletions import BATCH
from worker.ledger.receipts import Receipts, place
from worker.model.errors import UsageError
from worker.model.moments import rfc3339
from worker.model.states import State
from worker.receipts.receipt import FIELDS, expand

READ_MOST = 5_000  # entries that one call reads, even if few of them are the project's


class BadCursor(UsageError):
    """The cursor is not one of ours."""


class CursorTooOld(UsageError):
    """Receipts after the cursor have left Redis: they are in the day files, or in an export."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Some ends, oldest first, and where to continue. The cursor is opaque; it stays valid at the end."""

    items: list[dict[str, Any]]
    cursor: str
    more: bool  # whether there are more now


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far somebody came: the entry of the receipts, and the last death of the account that has the project."""

    entry: str | None = None  # None: the oldest that Redis still has
    deaths: int = 0
    account: str = ""

    def __str__(self) -> str:
        return f"{self.entry}.{self.deaths}.{self.account}"

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        """Raises `BadCursor`. One of an earlier version has no deaths."""
        entry, _, rest = text.partition(".")
        deaths, _, account = rest.partition(".")
        try:
            place(entry)
            return cls(entry, _whole(deaths) if rest else 0, account)
        except ValueError:
            raise BadCursor(
                f"cursor: {text[:40]!r} is not a cursor of this server; leave it out to start again"
            ) from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(text)
    return int(text)


def settled_since(app: AppContext, project_id: str, cursor: str | None, limit: int = 100) -> Settled:
    """What has ended in a project since a cursor, without one from the oldest that Redis still has: receipts, and
    letters that are dead now.

    Each item has the fields of an exported receipt except those of the chain; a dead letter has no number `n`. Raises
    `BadCursor`, `CursorTooOld`, `SettingsError` for a project without an account, and `Unreachable`.
    """
    since = _Cursor() if cursor is None else _Cursor.parse(cursor)
    streams, home = _streams(app, project_id), app.home_of(project_id)
    begins = [_checked(stream, since.entry) for stream in streams]
    deaths = since.deaths if since.account == home else 0  # another account counts its own
    died, until = _deaths(app, home, project_id, deaths)  # first: what is discarded meanwhile has a receipt
    receipts, last, more = _page(streams, begins, project_id, limit)
    for stream, begin in zip(streams, begins, strict=True):
        _checked(stream, begin)  # receipts that were trimmed during the read must not be skipped either
    both = list(heapq.merge(receipts, died, key=lambda one: one.finished_at))
    chosen = both[:limit]
    entries = [one.place for one in chosen if isinstance(one.place, str)]
    numbers = [one.place for one in chosen if isinstance(one.place, int)]
    all_receipts, all_deaths = len(entries) == len(receipts), len(numbers) == len(died)
    at = last if all_receipts else entries[-1] if entries else max(begins, key=place)
    counted = until if all_deaths else numbers[-1] if numbers else deaths
    more = more or len(both) > len(chosen)
    return Settled([one.json for one in chosen], str(_Cursor(at, counted, home)), more)


@dataclass(frozen=True, slots=True)
class _Item:
    """One end. place: the entry's id, or the number of the death."""

    finished_at: str
    place: str | int
    json: dict[str, Any]


def _deaths(app: AppContext, account: str, project_id: str, after: int) -> tuple[list[_Item], int]:
    """The letters of a project that died since that death and are dead now, oldest first; and the last death that was
    looked at."""
    bulk = app.bulk_queries(account)
    until = bulk.deaths()
    if until <= after:
        return [], after
    found, older = [], 0
    for letter in bulk.letters():  # the newest first
        if letter.death <= after:
            older += 1
            if older == BATCH:  # clocks may have gone back, but not that far
                break
        elif letter.death <= until and letter.ref.project_id == project_id:
            found.append(letter)
    found.sort(key=lambda letter: letter.death)
    return [_Item(rfc3339(letter.finished_at), letter.death, _dead_json(letter)) for letter in found], until


def _dead_json(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter in the form of a receipt, which it has not."""
    died = rfc3339(letter.finished_at)
    return {
        **dict.fromkeys(FIELDS),
        "account": letter.account,
        "project_id": letter.ref.project_id,
        "job_id": None,
        **letter.ref.as_json(),
        "state": State.DEAD.value,
        "cause": letter.cause,
        "requested_at": rfc3339(letter.requested_at),
        "finished_at": died,
        "recorded_at": died,
        "requested_by": letter.requested_by,
        "reason": letter.reason,
        "run": letter.run,
        "lane": letter.lane,
        "claims": [],
        "round": letter.round,
        "status": letter.status,
        "code": letter.code,
    }


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


def _page(streams: list[_Stream], begins: list[str], project_id: str, limit: int) -> tuple[list[_Item], str, bool]:
    """Receipts, the last entry that was looked at, and whether there are more."""
    items: list[_Item] = []
    at, read = begins[0], 0
    for stream, begin in zip(streams, begins, strict=True):
        at = max(at, begin, key=place)
        for entry in stream.receipts.each(at, until=stream.until):
            if entry.ref.project_id == project_id and entry.is_end:
                if len(items) == limit:
                    return items, at, True
                json = expand(stream.receipts.account, entry)
                items.append(_Item(json["finished_at"], entry.id, json))
            at, read = entry.id, read + 1
            if read == READ_MOST:
                return items, at, True
    return items, at, False


def _checked(stream: _Stream, cursor: str | None) -> str:
    """The cursor as an entry's id. Receipts that were trimmed after it must not be skipped silently."""
    trimmed = stream.receipts.progress().archived.id
    if cursor is None:
        return trimmed
    at = place(cursor)
    complete = stream.until is not None and at >= place(stream.until)
    if at < place(trimmed) and not complete:
        raise CursorTooOld(
            "cursor: receipts after it have left Redis for the day files; leave it out to begin with the oldest that "
            "is left, and see `eraser receipts export` for those before"
        )
    return cursor
