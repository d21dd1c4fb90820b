"""The query of a list call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from huaweicloudsdkmetastudio.v1 import List2dModelTrainingJobRequest

from worker.metastudio.list_query import FILTERS, query_of
from worker.model.errors import UsageError


def test_a_bare_list_asks_for_the_first_hundred() -> None:
    assert query_of() == [("offset", "0"), ("limit", "100")]


def test_every_filter_has_its_documented_spelling() -> None:
    east = datetime(2024, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    pairs = dict(
        query_of(
            job_id="j1",
            states=("JOB_SUCCESS", "JOB_FINISH"),
            offset=200,
            limit=50,
            sort_key="create_time",
            sort_dir="desc",
            create_since=east,
            create_until=datetime(2024, 2, 1, tzinfo=UTC),
            name="a b",
            is_flexus=False,
            is_live_copy=True,
        )
    )
    assert pairs == {
        "job_id": "j1",
        "state": "JOB_SUCCESS,JOB_FINISH",
        "offset": "200",
        "limit": "50",
        "sort_key": "create_time",
        "sort_dir": "desc",
        "create_since": "2024-01-01T00:00:00Z",
        "create_until": "2024-02-01T00:00:00Z",
        "name": "a b",
        "is_flexus": "false",
        "is_live_copy": "true",
    }


def test_the_filters_are_those_of_the_official_sdk() -> None:
    sdk = set(List2dModelTrainingJobRequest.attribute_map.values()) - {"X-App-UserId"}
    assert {"state" if name == "states" else name for name in FILTERS} == sdk


def test_none_does_not_filter() -> None:
    nothing: Any = dict.fromkeys(set(FILTERS) - {"states", "offset", "limit"})
    assert query_of(**nothing) == query_of()


def test_one_state_may_be_given_as_a_text() -> None:
    assert ("state", "JOB_SUCCESS") in query_of(states="JOB_SUCCESS")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": True},
        {"offset": -1},
        {"offset": 2**31},
        {"states": ["JOB_SUCCESS,"]},
        {"states": ["job"]},
        {"job_id": ""},
        {"job_id": ".."},
        {"sort_key": "name"},
        {"sort_dir": "DESC"},
        {"create_since": datetime(2024, 1, 1)},  # noqa: DTZ001  the mistake under test
        {"update_until": "2024-01-01"},
        {"name": "a\nb"},
        {"tag": "x" * 257},
        {"nmae": "x"},
    ],
)
def test_what_the_service_could_misread_is_refused_and_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("job_id", "job id")):
        query_of(**wrong)
