"""Times and durations for people and programs. Pure: now is an argument; times are ms since 1970."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from worker.config.durations import parse_duration
from worker.model import moments
from worker.model.errors import UsageError

_DAY_MS = 86_400_000
LAST_MS = 253_402_300_799_000.0  # the last second that can be written: 9999-12-31 means forever
_STEPS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?(?P<zone>[Zz]|[+-]\d\d:\d\d)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_EXPECTED = "expected a time with its zone, such as 2026-11-22T05:10:00Z or 2026-11-22T13:10:00+08:00"


def rfc3339(ms: float | None) -> str | None:
    """For programs: `2026-11-22T05:10:03.123Z`."""
    return None if ms is None else moments.rfc3339(ms)


def absolute(ms: float) -> str:
    """For people: `2026-11-22 05:10:03 UTC`."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(seconds: float) -> str:
    """How long, in at most two units: `12 s`, `4 min 31 s`, `2 d 5 h`."""
    whole = round(abs(seconds))
    if 0 < abs(seconds) < 1:
        return "less than 1 s"
    for size, name, smaller, small_name in _STEPS:
        if whole >= size:
            count, rest = divmod(whole, size)
            rest //= smaller
            return f"{count} {name} {rest} {small_name}" if rest and count < 10 else f"{count} {name}"
    return f"{whole} s"


def relative(ms: float, now: float) -> str:
    """`4 min ago`, `in 12 s` or `now`."""
    seconds = (ms - now) / 1000
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(seconds)} ago"


def when(ms: float, now: float) -> str:
    """Both: `4 min ago (2026-11-22 05:10:03 UTC)`."""
    return f"{relative(ms, now)} ({absolute(ms)})"


def left(deadline: float, now: float) -> str:
    """The time left until a deadline: `12 days left`, `5 h left`, `3 days overdue`."""
    amount = abs(deadline - now)
    text = f"{round(amount / _DAY_MS)} days" if amount >= 2 * _DAY_MS else span(amount / 1000)
    return f"{text} left" if deadline > now else f"{text} overdue"


def days_left(deadline: float, now: float) -> float:
    """For programs: days until a deadline, below 0 once it has passed."""
    return round((deadline - now) / _DAY_MS, 2)


def parse_time(text: str, what: str, also: str = "") -> float:
    """A time in RFC 3339 with its zone. Raises `UsageError` naming `what`, and `also` what else would do."""
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{what}: {_EXPECTED}; found {text[:40]!r}{also}")
    if match["zone"] is None:
        raise UsageError(f"{what}: {text.strip()} has no time zone; {_EXPECTED}{also}")
    try:
        return datetime.fromisoformat(text.strip().upper()).astimezone(UTC).timestamp() * 1000
    except (ValueError, OverflowError):  # in UTC it may be in a year that cannot be written, such as 10000
        raise UsageError(f"{what}: there is no such time; {_EXPECTED}; found {text[:40]!r}{also}") from None


def parse_day_or_time(text: str, what: str) -> float:
    """A time, or the end of a day in UTC. Raises `UsageError` naming `what`."""
    if not _DAY.fullmatch(text.strip()):
        return parse_time(text, what, "; or a day such as 2026-11-22")
    try:
        return min(datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp() * 1000 + _DAY_MS, LAST_MS)
    except ValueError:
        raise UsageError(f"{what}: there is no such day; expected one such as 2026-11-22; found {text}") from None


def parse_since(text: str, what: str, now: float) -> float:
    """The beginning of a day in UTC; else as `parse_past`."""
    if not _DAY.fullmatch(text.strip()):
        return parse_past(text, what, now)
    return parse_day_or_time(text, what) - _DAY_MS


def parse_past(text: str, what: str, now: float) -> float:
    """A time, or a duration that means that long ago: `24h`."""
    try:
        return now - parse_duration(text) * 1000
    except UsageError:
        return parse_time(text, what, "; or a duration back from now, such as 24h")


def parse_period(fields: Mapping[str, str | None], now: float, prefix: str = "") -> tuple[float | None, float | None]:
    """`since` and `until` of these fields, as `parse_past` reads them; None where one is empty."""
    since, until = fields["since"], fields["until"]
    return (
        parse_past(since, f"{prefix}since", now) if since else None,
        parse_past(until, f"{prefix}until", now) if until else None,
    )


def parse_span(text: str, what: str) -> float:
    """A duration in seconds. Raises `UsageError` naming `what`."""
    try:
        return parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
