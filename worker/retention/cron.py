"""Cron schedules with five fields, in UTC: no time is skipped or comes twice. Pure: now is an argument."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker.model.errors import UsageError

_FAR = 366 * 9  # days: from one 29 February to the next are at most eight years
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?")
_EXPECTED = "expected five fields, minute hour day-of-month month day-of-week, such as 30 3 * * 0 (Sundays, 03:30 UTC)"


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule: its times are whole minutes, UTC."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Parse it. Raises `UsageError` saying what was expected."""
        fields = text.lower().split()
        if len(fields) != len(_FIELDS):
            raise UsageError(f"{_EXPECTED}; found {text[:40]!r}")
        minutes, hours, days, months, weekdays = (
            _numbers(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)
        )
        if fields[2] != "*" and fields[4] != "*":
            raise UsageError(
                "day of month and day of week are both given: some programs read that as and, some as or; "
                f"leave one of them * in {text[:40]!r}"
            )
        sundays_too = frozenset(day % 7 for day in weekdays)
        cron = cls(" ".join(fields), tuple(sorted(minutes)), tuple(sorted(hours)), days, months, sundays_too)
        if cron.next_after(datetime(2024, 1, 1, tzinfo=UTC)) is None:
            raise UsageError(f"there is no such day in any year: {text[:40]!r}")
        return cron

    def last_until(self, now: datetime) -> datetime | None:
        """The last time that is not after now."""
        return next((slot for slot in self._slots(now, -1) if slot <= now), None)

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after now."""
        return next((slot for slot in self._slots(now, 1) if slot > now), None)

    def _slots(self, now: datetime, way: int) -> Iterator[datetime]:
        """The times of today, then of the following or the preceding days, in that order."""
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        for number in range(_FAR):
            day = today + timedelta(days=way * number)
            if day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays:
                for hour in self.hours[::way]:
                    for minute in self.minutes[::way]:
                        yield day.replace(hour=hour, minute=minute)


def _numbers(field: str, what: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None or (match[1] == "*" and match[2]):
            raise UsageError(f"{what}: expected *, numbers, ranges such as 1-5 or steps such as */15; found {part!r}")
        first = low if match[1] == "*" else _number(match[1], what, low, high)
        last = high if match[1] == "*" or (match[3] and not match[2]) else first
        last = _number(match[2], what, low, high) if match[2] else last
        step = int(match[3]) if match[3] else 1
        if last < first or step < 1:
            raise UsageError(f"{what}: {part!r} names nothing: the smaller number comes first, a step is at least 1")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, what: str, low: int, high: int) -> int:
    names = _NAMES.get(what, [])
    if text in names:
        return names.index(text) + low
    if not text.isdecimal() or not low <= int(text) <= high:
        raise UsageError(f"{what}: expected {low} to {high}; found {text!r}")
    return int(text)
