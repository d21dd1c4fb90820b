"""Times and spans as people and programs read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.model.errors import UsageError
from worker.services.times import absolute, left, parse_past, parse_span, parse_time, relative, rfc3339, span, when

NOW = 1_795_324_203_123.0  # 2026-11-22 05:10:03.123 UTC


def test_programs_read_rfc_3339_in_utc() -> None:
    assert rfc3339(NOW) == "2026-11-22T05:10:03.123Z"
    assert rfc3339(None) is None


def test_people_read_both_forms() -> None:
    assert absolute(NOW) == "2026-11-22 05:10:03 UTC"
    assert when(NOW - 240_000, NOW) == "4 min ago (2026-11-22 05:06:03 UTC)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "less than 1 s"),
        (12, "12 s"),
        (271, "4 min 31 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (700, "11 min"),
        (190_000, "2 d 4 h"),
        (2_592_000, "30 d"),
    ],
)
def test_a_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("ms", "text"), [(0, "now"), (12_000, "in 12 s"), (-7_200_000, "2 h ago")])
def test_relative_times_look_both_ways(ms: float, text: str) -> None:
    assert relative(NOW + ms, NOW) == text


@pytest.mark.parametrize(
    ("days", "text"), [(12, "12 days left"), (29.9999, "30 days left"), (1.5, "1 d 12 h left"), (-3, "3 days overdue")]
)
def test_a_deadline_is_told_in_days(days: float, text: str) -> None:
    assert left(NOW + days * 86_400_000, NOW) == text


@given(st.floats(min_value=0, max_value=4e12).map(lambda ms: float(int(ms))))
def test_what_programs_read_is_read_back(ms: float) -> None:
    assert parse_time(str(rfc3339(ms)), "--at") == pytest.approx(ms, abs=0.5)


@pytest.mark.parametrize("text", ["2026-11-22T05:10:03Z", "2026-11-22t05:10:03z", "2026-11-22 13:10:03+08:00"])
def test_a_zone_is_understood(text: str) -> None:
    assert parse_time(text, "--at") == NOW - 123


@pytest.mark.parametrize(
    "text", ["2026-11-22T05:10:03", "2026-11-22", "05:10", "", "2026-13-01T00:00:00Z", "1795324203"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--at: .*2026-11-22T05:10:00Z"):
        parse_time(text, "--at")


def test_a_past_moment_may_be_a_duration() -> None:
    assert parse_past("24h", "--since", NOW) == NOW - 86_400_000
    assert parse_past("2026-11-22T05:10:03Z", "--since", NOW) == NOW - 123
    with pytest.raises(UsageError, match="such as 24h"):
        parse_past("yesterday", "--since", NOW)


def test_a_wrong_duration_names_its_option() -> None:
    assert parse_span("90s", "--wait") == 90
    with pytest.raises(UsageError, match="--wait: expected a number"):
        parse_span("soon", "--wait")
