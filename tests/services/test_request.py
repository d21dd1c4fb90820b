"""What a caller says about a request: what can be kept for ever is refused, whichever door it came by."""

from __future__ import annotations

import math

import pytest

from worker.config.durations import LONGEST
from worker.execution.app_context import AppContext
from worker.model.errors import UsageError
from worker.services.request import RequestTerms, deletion_request


@pytest.mark.parametrize("deadline_s", [math.inf, math.nan, LONGEST + 1.0, 0.0, -1.0])
@pytest.mark.parametrize("after_s", [0.0, -5.0])
def test_a_deadline_is_a_number_of_seconds_above_nothing_and_below_ten_years(deadline_s: float, after_s: float) -> None:
    with pytest.raises(UsageError, match="deadline"):
        deletion_request(AppContext.load({}), lane="user", after_s=after_s, deadline_s=deadline_s)


@pytest.mark.parametrize("after_s", [math.inf, math.nan, 31 * 86400.0])
def test_a_start_is_a_moment_before_the_deadline(after_s: float) -> None:
    with pytest.raises(UsageError, match=r"^after|deadline"):
        deletion_request(AppContext.load({}), lane="user", after_s=after_s)


@pytest.mark.parametrize("name", ["by", "reason", "run"])
def test_who_why_and_run_are_never_personal_data(name: str) -> None:
    """What a Celery message, a Python caller and every other door say comes here."""
    for text in ("13812345678", "0171 2345678".replace(" ", "-"), "11010519491231002X"):
        terms: RequestTerms = {name: text}  # type: ignore[misc]
        with pytest.raises(UsageError, match="personal data") as refused:
            deletion_request(AppContext.load({}), lane="user", **terms)
        assert text not in str(refused.value)
    allowed = AppContext.load({"ERASER_REASON_PATTERN": "1381234[0-9]{4}"})
    assert deletion_request(allowed, lane="user", **{name: "13812345678"})  # type: ignore[misc]
    AppContext.load({})  # forgets it


def test_ten_years_are_a_deadline() -> None:
    assert deletion_request(AppContext.load({}), lane="user", deadline_s=LONGEST).deadline_s == LONGEST
