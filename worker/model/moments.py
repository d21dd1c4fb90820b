"""A moment as programs read it: the one form of receipts, answers and records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ms: float) -> str:
    """`2026-11-22T05:10:03.123Z` of ms since 1970; exact, because receipts are hashed."""
    at = _BEGINNING + timedelta(milliseconds=int(ms))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms_of(text: str) -> int:
    """The ms since 1970 of what `rfc3339` wrote."""
    return round((datetime.fromisoformat(text) - _BEGINNING) / timedelta(milliseconds=1))
