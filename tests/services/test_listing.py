"""Deletions page by page: nothing twice, nothing left out, never the whole index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.erasures import erased
from worker.execution.app_context import AppContext
from worker.ledger.holds import HoldList
from worker.ledger.index_walk import Place
from worker.ledger.types import DeletionRequest
from worker.model.erasure import Verdict
from worker.model.errors import UsageError
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import listing
from worker.services.filters import DeletionFilter
from worker.services.listing import ROWS, Listed

DEAD = (State.DEAD,)


def pages(app: AppContext, wanted: DeletionFilter) -> Iterator[Listed]:
    page = listing.page(app, wanted)
    yield page
    while page.cursor is not None:
        page = listing.page(app, wanted, page.cursor)
        yield page


def jobs(app: AppContext, wanted: DeletionFilter) -> list[str]:
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
    found = list(pages(app, DeletionFilter((State.DELETED,))))
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
    assert jobs(app, DeletionFilter((State.PENDING,))) == [
        name for pair in zip(user, bulk, strict=True) for name in pair
    ]


def test_all_accounts_are_in_one_list(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    text = '[accounts.{0}]\nregion = "cn-north-4"\nprojects = ["{0}"]\n'
    file.write_text("".join(text.format(name) for name in ("one", "two")))
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(file)})
    for name in ("one", "two"):
        app.ledger(name).request([Target(name, f"{name}-{n}") for n in range(70)], DeletionRequest())
    found = jobs(app, DeletionFilter((State.PENDING,)))
    assert (len(found), len(set(found))) == (140, 140)


def test_what_comes_meanwhile_shifts_nothing(app: AppContext, undertaker: Undertaker) -> None:
    names = [f"j{n:03d}" for n in range(120)]
    undertaker.end(*names, to="deleted")
    set_scores(undertaker, "deleted", {name: n for n, name in enumerate(names)})
    first = listing.page(app, DeletionFilter((State.DELETED,)))
    undertaker.end("later", to="deleted")
    second = listing.page(app, DeletionFilter((State.DELETED,)), first.cursor)
    assert [d.ref.id for d in second.rows] == names[69:19:-1]


def test_filters_choose_by_job_project_group_and_time(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("aa-1", "aa-2", "ab-1")
    undertaker.end("aa-3", cause="refused", status=403, code=None)
    set_scores(undertaker, "dead", {"aa-1": 1000, "aa-2": 2000, "ab-1": 3000, "aa-3": 4000})
    assert jobs(app, DeletionFilter(DEAD, job="aa")) == ["aa-3", "aa-2", "aa-1"]
    assert jobs(app, DeletionFilter(DEAD, since=2000, until=3000)) == ["ab-1", "aa-2"]
    assert jobs(app, DeletionFilter(DEAD, group="refused-403")) == ["aa-3"]
    assert jobs(app, DeletionFilter(DEAD, project="other")) == []


def test_a_filter_that_little_passes_looks_at_so_many_a_page(
    app: AppContext, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 100)
    undertaker.end("z-last", to="deleted")
    undertaker.end(*[f"a{n:03d}" for n in range(250)], to="deleted")
    set_scores(undertaker, "deleted", {"z-last": 1})
    found = list(pages(app, DeletionFilter((State.DELETED,), job="z")))
    assert [[d.ref.id for d in page.rows] for page in found] == [[], [], ["z-last"]]


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "1.2_3.4_5.6", "1.x", "../..", "1.-1", "é", "W10", "e30", "bnVsbA", "W251bGwsMSwyLDNd"),
        *("WyJ4IiwiYSIsImIiLCJjIl0", "WzFlOTk5LCJhIiwiYiIsImMiXQ", "WzEsImEiLCJiIiwiYyJd="),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused_in_words(app: AppContext, cursor: str) -> None:
    with pytest.raises(UsageError, match="first page"):
        listing.page(app, DeletionFilter((State.DELETED,)), cursor)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_leaves_in_between_lets_nothing_be_skipped_that_stayed(
    app: AppContext, undertaker: Undertaker, order: str
) -> None:
    """All are due at one moment, as those of one file are, and those of the first page go, the last one too."""
    names = [f"j{n:03d}{rest}" for n in range(100) for rest in ("", "x")][1:]  # a page ends between "j025" and "j025x"
    undertaker.request(*names)
    set_scores(undertaker, "due:bulk", dict.fromkeys(names, 1000.5))
    wanted = DeletionFilter((State.PENDING,), order=order)
    first = listing.page(app, wanted)
    undertaker.ledger.cancel([d.ref for d in first.rows], why="T-1", by="ops-1")
    undertaker.request("j000y", "j199y")  # before and behind the place, at a later moment
    rest, cursor = list(first.rows), first.cursor
    while cursor:
        page = listing.page(app, wanted, cursor)
        rest, cursor = rest + list(page.rows), page.cursor
    shown = [d.ref.id for d in rest if d.ref.id in names]
    assert shown == sorted(names, reverse=order == "desc")


def test_several_states_are_one_list_and_each_deletion_is_in_it_once(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("bad")
    undertaker.end("good", to="deleted")
    undertaker.request("waits", delay_s=3600)
    undertaker.request("goes", "held", "off")
    undertaker.ledger.cancel([Target(PROJECT, "off")], why="T-1", by="ops-1")
    HoldList(undertaker.ledger).add([Target(PROJECT, "held")], why="T-1", by="ops-1")
    assert undertaker.take().ref.id == "goes"
    every = jobs(app, DeletionFilter())
    assert sorted(every) == ["bad", "goes", "good", "held", "off", "waits"]
    assert jobs(app, DeletionFilter(order="asc")) == every[::-1]
    assert jobs(app, DeletionFilter((State.DEAD, State.DELETED))) == ["good", "bad"]
    (running,) = listing.page(app, DeletionFilter((State.RUNNING,))).rows
    assert running.due_at is None, "it is under way: the end of its lease is no time when it is due"


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_lanes_and_accounts_with_one_moment_are_passed_once_each(redis_url: str, tmp_path: Path, order: str) -> None:
    (file := tmp_path / "accounts.toml").write_text(
        "".join(f'[accounts.{name}]\nregion = "cn-north-4"\nprojects = ["{name}"]\n' for name in ("one", "two"))
    )
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(file)})
    for account in ("one", "two"):
        for lane in Lane:
            refs = [Target(account, f"{lane}-{n:02d}") for n in range(30)]
            app.ledger(account).request(refs, DeletionRequest(lane=lane))
            app.redis.zadd(f"{app.keys.account(account)}due:{lane}", {str(ref): 1000.0 for ref in refs})
    found = jobs(app, DeletionFilter((State.PENDING,), order=order))
    assert sorted(found) == sorted(2 * [f"{lane}-{n:02d}" for lane in Lane for n in range(30)])


def test_what_changed_its_state_between_two_reads_is_listed_at_its_new_place_alone(
    app: AppContext, undertaker: Undertaker
) -> None:
    undertaker.end("job-1", to="deleted")
    set_scores(undertaker, "due:bulk", {"job-1": 1e15})  # as an index says that was read a moment before
    assert jobs(app, DeletionFilter((State.PENDING, State.DELETED))) == ["job-1"]
    assert jobs(app, DeletionFilter((State.PENDING,))) == []


def test_what_another_program_wrote_into_an_index_stops_no_list(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", to="deleted")
    for name in (b"\xff\xfe", b"no-slash", b"", "p/\ud83d\ude00".encode("utf-16", "surrogatepass").strip(b"\xff\xfe")):
        undertaker.redis.zadd(undertaker.ledger.prefix + "deleted", {name: 1000.0})
    wanted, found, cursor = DeletionFilter((State.DELETED,), order="asc"), list[str](), None
    for _ in range(9):
        page = listing.page(app, wanted, cursor, limit=1)
        found, cursor = found + [d.ref.id for d in page.rows], page.cursor
        if cursor is None:
            break
    assert (sorted(found), cursor) == (["a", "b"], None)
    places = [
        Place(1000.0, "default", "deleted", member)
        for member, _ in undertaker.redis.zscan(undertaker.ledger.prefix + "deleted")[1]
    ]
    assert [Place.parse(str(place)) for place in places] == places


def test_filters_choose_by_what_its_requests_say(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.request("a", by="shop/p-1", why="T-1", run="r-1")
    undertaker.request("b", by="shop/p-2", why="T-1: again", run="r-2")
    undertaker.request("b", by="ops-7", why="T-2")
    undertaker.request("c", delay_s=3600)

    def found(**wanted: str) -> list[str]:
        return sorted(jobs(app, DeletionFilter(**wanted)))  # type: ignore[arg-type]

    assert found(by="ops-7") == ["b"]
    assert found(by="shop/*") == ["a", "b"]
    assert found(by="shop/") == []
    assert found(reason="T-1") == ["a"]
    assert found(reason="T-1*") == ["a", "b"]
    assert found(run="r-2") == ["b"]
    assert found(by="ops-7", reason="T-2") == ["b"]
    assert found(by="ops-7", reason="T-1*") == [], "one request has to say all of it"
    assert found(waiting_for="grace") == ["c"]
    assert found(waiting_for="turn") == ["a", "b"]


def test_filters_choose_by_kind_and_by_the_verdict_on_the_whole(app: AppContext, undertaker: Undertaker) -> None:
    erased(undertaker, "left")
    erased(undertaker, "all", Verdict.WHOLE, parts=[])
    undertaker.ledger.request([Target(PROJECT, "v-1", "voice_job")], DeletionRequest())
    assert jobs(app, DeletionFilter(erasure="partial")) == ["left"]
    assert jobs(app, DeletionFilter(erasure="whole")) == ["all"]
    assert jobs(app, DeletionFilter(kind="voice_job")) == ["v-1"]
    assert sorted(jobs(app, DeletionFilter(kind="job"))) == ["all", "left"]
    rows = listing.page(app, DeletionFilter()).rows
    assert {d.ref.id: listing.as_json(d)["erasure"] for d in rows} == {"left": "partial", "all": "whole", "v-1": None}


def test_a_project_of_no_account_has_nothing(redis_url: str, tmp_path: Path) -> None:
    (file := tmp_path / "accounts.toml").write_text('[accounts.one]\nregion = "cn-north-4"\nprojects = ["one"]\n')
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(file)})
    app.ledger("one").request([Target("one", "job-1")], DeletionRequest())
    assert jobs(app, DeletionFilter(project="one")) == ["job-1"]
    assert jobs(app, DeletionFilter(project="two")) == []
