"""Deletions page by page: nothing twice, nothing left out, never the whole index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.types import DeletionRequest
from worker.model.errors import UsageError
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import listing
from worker.services.listing import ROWS, Listed, Wanted


@pytest.fixture
def app(redis_url: str) -> AppContext:
    return AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_REGION": "cn-north-4"})


def pages(app: AppContext, wanted: Wanted) -> Iterator[Listed]:
    place: str | None = ""
    while place is not None:
        page = listing.page(app, wanted, place)
        yield page
        place = page.more


def jobs(app: AppContext, wanted: Wanted) -> list[str]:
    return [deletion.ref.id for page in pages(app, wanted) for deletion in page.rows]


def set_scores(undertaker: Undertaker, index: str, scores: dict[str, float]) -> None:
    named: dict[Any, float] = {f"{PROJECT}/{job}": score for job, score in scores.items()}
    if named:
        undertaker.redis.zadd(undertaker.ledger.prefix + index, named)


@pytest.mark.parametrize("number", [0, 1, ROWS, ROWS + 1, 3 * ROWS, 3 * ROWS + 7])
def test_pages_together_are_the_whole_index(app: AppContext, undertaker: Undertaker, number: int) -> None:
    names = [f"j{n:03d}" for n in range(number)]
    undertaker.end(*names, to="deleted")
    set_scores(undertaker, "deleted", {name: n // 20 for n, name in enumerate(names)})  # many at one moment
    found = list(pages(app, Wanted(State.DELETED)))
    assert [d.ref.id for page in found for d in page.rows] == names[::-1]
    assert [len(page.rows) for page in found] == [ROWS] * (number // ROWS) + (
        [number % ROWS] if number % ROWS else []
    ) or number == 0
    assert {page.total for page in found} == {number}


def test_what_waits_comes_soonest_first_from_both_lanes(app: AppContext, undertaker: Undertaker) -> None:
    user, bulk = [f"u{n:02d}" for n in range(60)], [f"b{n:02d}" for n in range(60)]
    undertaker.request(*user, lane=Lane.USER)
    undertaker.request(*bulk)
    set_scores(undertaker, "due:user", {name: 2 * n for n, name in enumerate(user)})
    set_scores(undertaker, "due:bulk", {name: 2 * n + 1 for n, name in enumerate(bulk)})
    assert jobs(app, Wanted(State.PENDING)) == [name for pair in zip(user, bulk, strict=True) for name in pair]


def test_all_accounts_are_in_one_list(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    text = '[accounts.{0}]\nregion = "cn-north-4"\nprojects = ["{0}"]\n'
    file.write_text("".join(text.format(name) for name in ("one", "two")))
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(file)})
    for name in ("one", "two"):
        app.ledger(name).request([Target(name, f"{name}-{n}") for n in range(70)], DeletionRequest())
    found = jobs(app, Wanted(State.PENDING))
    assert (len(found), len(set(found))) == (140, 140)


def test_what_comes_meanwhile_shifts_nothing(app: AppContext, undertaker: Undertaker) -> None:
    names = [f"j{n:03d}" for n in range(120)]
    undertaker.end(*names, to="deleted")
    set_scores(undertaker, "deleted", {name: n for n, name in enumerate(names)})
    first = listing.page(app, Wanted(State.DELETED))
    undertaker.end("later", to="deleted")
    second = listing.page(app, Wanted(State.DELETED), first.more or "")
    assert [d.ref.id for d in second.rows] == names[69:19:-1]


def test_filters_choose_by_job_project_group_and_time(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("aa-1", "aa-2", "ab-1")
    undertaker.end("aa-3", cause="refused", status=403, code=None)
    set_scores(undertaker, "dead", {"aa-1": 1000, "aa-2": 2000, "ab-1": 3000, "aa-3": 4000})
    assert jobs(app, Wanted(job="aa")) == ["aa-3", "aa-2", "aa-1"]
    assert jobs(app, Wanted(since=2000, until=3000)) == ["ab-1", "aa-2"]
    assert jobs(app, Wanted(group="refused-403")) == ["aa-3"]
    assert jobs(app, Wanted(project="other")) == []


def test_a_filter_that_little_passes_looks_at_so_many_a_page(
    app: AppContext, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 100)
    undertaker.end("z-last", to="deleted")
    undertaker.end(*[f"a{n:03d}" for n in range(250)], to="deleted")
    set_scores(undertaker, "deleted", {"z-last": 1})
    found = list(pages(app, Wanted(State.DELETED, job="z")))
    assert [[d.ref.id for d in page.rows] for page in found] == [[], [], ["z-last"]]


@pytest.mark.parametrize("place", ["x", "1.2_3.4_5.6", "1.x", "../..", "1.-1"])
def test_an_address_that_is_not_ours_is_refused_in_words(app: AppContext, place: str) -> None:
    with pytest.raises(UsageError, match="first page"):
        listing.page(app, Wanted(State.DELETED), place)
