"""The filters of lists: what they are in words, and that each wrong one is an error which names it."""

from __future__ import annotations

import pytest

from worker.model.errors import UsageError
from worker.model.states import State
from worker.services import filters
from worker.services.filters import DeletionFilter

NOW = 1_795_000_000_000.0


def test_nothing_wanted_is_every_state_latest_first() -> None:
    every = filters.read({}, NOW)
    assert every == filters.read(dict.fromkeys(filters.EVERY, ""), NOW) == DeletionFilter()
    assert set(every.states) == set(State)
    assert every.newest_first


@pytest.mark.parametrize(
    ("fields", "states", "newest_first"),
    [
        ({"state": "all"}, [*State], True),
        ({"state": "pending,held,pending"}, ["pending", "held"], False),
        ({"state": "pending,dead"}, ["pending", "dead"], True),
        ({"state": "pending", "order": "desc"}, ["pending"], True),
        ({"state": "deleted", "order": "asc"}, ["deleted"], False),
        ({"waiting_for": "retry"}, ["pending"], False),
        ({"group": "refused-403"}, ["dead"], True),
        ({"group": "refused-403", "state": "dead,deleted"}, ["dead"], True),
    ],
)
def test_the_states_and_their_order(fields: dict[str, str], states: list[str], newest_first: bool) -> None:
    found = filters.read(fields, NOW)
    assert (list(found.states), found.newest_first) == (states, newest_first)


def test_times_are_moments_or_how_long_ago() -> None:
    found = filters.read({"since": "24h", "until": "2026-11-27T05:00:00Z"}, NOW)
    assert (found.since, found.until) == (NOW - 86_400_000, 1_795_755_600_000.0)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("state", "dying", "expected all, or some of pending, "),
        ("state", "dead,", "expected all, or some of"),
        ("state", "all,dead", "expected all, or some of"),
        ("waiting_for", "godot", "expected one of turn, grace"),
        ("erasure", "half", "expected one of whole, "),
        ("kind", "clip", "expected one of job, "),
        ("order", "up", "expected one of asc, desc"),
        ("group", "a b", "no group of dead letters"),
        ("group", "a\udcff", "no group of dead letters"),
        ("job", "../x", "a job id is"),
        ("project", "a/b", "a job id is"),
        ("since", "yesterday", "expected a time with its zone"),
        ("until", "2026-11-27T05:00:00", "has no time zone"),
    ],
)
def test_a_wrong_filter_is_named_as_it_was_typed(name: str, text: str, says: str) -> None:
    for prefix, typed in (("", name), ("--", f"--{name.replace('_', '-')}")):
        with pytest.raises(UsageError) as error:
            filters.read({name: text}, NOW, prefix=prefix)
        assert str(error.value).startswith(f"{typed}: "), error.value
        assert says in str(error.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"state": "dead", "waiting_for": "turn"}, "only what is pending"), ({"state": "gone", "group": "g"}, "is dead")],
)
def test_filters_that_nothing_can_fit_are_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        filters.read(fields, NOW)
