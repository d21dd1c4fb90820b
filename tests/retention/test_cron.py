"""Cron in UTC, against a brute-force reading that looks at every minute, and against cronsim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from worker.model.errors import UsageError
from worker.retention.cron import Cron

MINUTE = timedelta(minutes=1)
MOMENTS = st.integers(1_704_067_200, 1_956_528_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A field's text, and the numbers that it means."""
    numbers = st.integers(low, high)
    every = st.just(("*", frozenset(range(low, high + 1))))
    one = numbers.map(lambda n: (str(n), frozenset({n})))
    some = st.lists(numbers, min_size=1, max_size=3).map(lambda ns: (",".join(map(str, ns)), frozenset(ns)))
    span = st.tuples(numbers, numbers).map(sorted).map(lambda p: (f"{p[0]}-{p[1]}", frozenset(range(p[0], p[1] + 1))))
    step = st.integers(1, 20).map(lambda n: (f"*/{n}", frozenset(range(low, high + 1, n))))
    return st.one_of(every, one, some, span, step)


@given(field(0, 59), field(0, 23), field(0, 6), MOMENTS)
def test_slots_are_the_minutes_that_a_brute_force_reading_finds(
    minute: tuple[str, frozenset[int]], hour: tuple[str, frozenset[int]], day: tuple[str, frozenset[int]], now: datetime
) -> None:
    cron = Cron.parse(f"{minute[0]} {hour[0]} * * {day[0]}")

    def is_slot(moment: datetime) -> bool:
        return moment.minute in minute[1] and moment.hour in hour[1] and moment.isoweekday() % 7 in day[1]

    last, following = cron.last_until(now), cron.next_after(now)
    assert last is not None
    assert following is not None
    assert is_slot(last)
    assert is_slot(following)
    assert last <= now < following
    between = last + MINUTE
    while between < min(following, last + timedelta(hours=30)):
        assert not is_slot(between)
        between += MINUTE


NUMBERS = (range(60), range(24), range(1, 32), range(1, 13), range(8))
NAMES = {
    3: ["JAN", "feb", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["Sun", "mon", "TUE", "wed", "thu", "fri", "sat"],
}


def expression(random: Random) -> str:
    """Five fields of every form; of the two kinds of days at least one is open."""

    def word(number: int, place: int) -> str:
        names = NAMES.get(place, [])
        index = number - NUMBERS[place].start
        return random.choice([names[index] if index < len(names) else str(number), str(number), f"{number:02}"])

    def part(place: int) -> str:
        low, high = sorted(random.sample(NUMBERS[place], 2))  # 45-45/3 is 45 to cron and to us, 45-59/3 to cronsim
        base = random.choice(["*", word(low, place), f"{word(low, place)}-{word(high, place)}"])
        return base + random.choice(["", "", f"/{random.randint(1, 70)}"])

    fields = [random.choice(["*", ",".join(part(place) for _ in range(random.randint(1, 3)))]) for place in range(5)]
    fields[random.choice((2, 4))] = "*"
    return " ".join(fields)


def test_three_thousand_schedules_mean_what_they_mean_to_cronsim() -> None:
    random = Random(1127)
    for _ in range(3000):
        text, now = expression(random), at("2020-01-01") + timedelta(seconds=random.randrange(10**9))
        cron, following = Cron.parse(text), next(CronSim(text, now))
        last = next(CronSim(text, now + timedelta(seconds=1), reverse=True))  # it goes on from before its moment
        assert (text, now, cron.last_until(now), cron.next_after(now)) == (text, now, last, following)
        assert cron.last_until(following) == following, text


def refused(text: str) -> bool:
    try:
        Cron.parse(text)
    except UsageError:
        return True
    return False


def test_a_day_that_no_year_has_is_refused_where_cronsim_refuses_it() -> None:
    texts = [f"0 0 {days} {months} *" for days in ("29", "30", "31", "30,31") for months in (*range(1, 13), "2,4")]
    wrong = []
    for text in texts:
        try:
            next(CronSim(text, at("2026-11-22")))
        except CronSimError:
            wrong.append(text)
    assert wrong
    assert [text for text in texts if refused(text)] == wrong


@pytest.mark.parametrize(
    ("text", "now", "last", "following"),
    [
        ("30 3 * * 0", "2026-11-22T08:00:00", "2026-11-22T03:30:00", "2026-11-29T03:30:00"),
        ("30 3 * * sun", "2026-11-22T03:29:59", "2026-11-15T03:30:00", "2026-11-22T03:30:00"),
        ("0 0 29 2 *", "2026-11-22T08:00:00", "2024-02-29T00:00:00", "2028-02-29T00:00:00"),
        ("*/15 * * * *", "2026-11-22T08:15:00", "2026-11-22T08:15:00", "2026-11-22T08:30:00"),
        ("0 4 1 jan-mar *", "2026-11-22T08:00:00", "2026-03-01T04:00:00", "2027-01-01T04:00:00"),
        (
            "30 2 * * *",
            "2026-03-29T12:00:00",
            "2026-03-29T02:30:00",
            "2026-03-30T02:30:00",
        ),  # a day with a missing hour
    ],
)
def test_slots_are_in_utc(text: str, now: str, last: str, following: str) -> None:
    cron = Cron.parse(text)
    assert (cron.last_until(at(now)), cron.next_after(at(now))) == (at(last), at(following))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected five fields"),
        ("@daily", "expected five fields"),
        ("0 0 3 * * *", "expected five fields"),
        ("60 3 * * *", "minute: expected 0 to 59; found '60'"),
        ("0 24 * * *", "hour: expected 0 to 23"),
        ("0 3 * * 8", "day of week: expected 0 to 7"),
        ("0 3 * * someday", "day of week: expected"),
        ("0 3 5-1 * *", "names nothing"),
        ("*/0 3 * * *", "a step is at least 1"),
        ("0 3 1 * 1", "some programs read that as and, some as or"),
        ("0 3 30 2 *", "there is no such day in any year"),
        ("0 3 , * *", "expected"),
        ("0 3 *-5 * *", "expected"),
    ],
)
def test_a_mistake_is_told(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Cron.parse(text)
