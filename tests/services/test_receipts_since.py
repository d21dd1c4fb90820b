"""What was settled since a cursor, for those who follow along."""

from __future__ import annotations

import pytest

from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.model.target import Target
from worker.services.receipts import BadCursor, CursorTooOld, settled_since


def test_every_receipt_comes_once_and_in_order(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c", to="deleted")
    first = settled_since(app, PROJECT, None, 2)
    assert [item["job_id"] for item in first.items] == ["a", "b"]
    assert first.more
    second = settled_since(app, PROJECT, first.cursor, 2)
    assert [item["job_id"] for item in second.items] == ["c"]
    assert not second.more
    undertaker.end("d", to="deleted")
    third = settled_since(app, PROJECT, second.cursor)
    assert [item["job_id"] for item in third.items] == ["d"]
    assert settled_since(app, PROJECT, third.cursor) == type(third)([], third.cursor, more=False)


def test_a_letter_that_died_comes_once_between_the_receipts(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted")
    undertaker.end("x", claim={"by": "svc-1", "why": "T-1"})
    undertaker.end("b", to="deleted")
    undertaker.end("y", cause="refused", status=400, code="MSS.1")
    found, cursor = list[str](), None
    for more in (True, True, True, False):
        page = settled_since(app, PROJECT, cursor, 1)
        found += [item["job_id"] for item in page.items]
        assert page.more is more
        cursor = page.cursor
    assert found == ["a", "x", "b", "y"]
    assert settled_since(app, PROJECT, cursor).items == []
    whole = {item["job_id"]: item for item in settled_since(app, PROJECT, None).items}
    assert list(whole["x"]) == list(whole["a"]), "the fields of a receipt"
    assert {
        name: whole["x"][name] for name in ("n", "state", "cause", "requested_by", "reason", "claims", "event")
    } == {
        "n": None,
        "state": "dead",
        "cause": "server_error",
        "requested_by": "svc-1",
        "reason": "T-1",
        "claims": [],
        "event": None,
    }
    assert (whole["y"]["cause"], whole["y"]["status"], whole["y"]["code"]) == ("refused", 400, "MSS.1")


def test_what_becomes_of_a_dead_letter_follows(app: AppContext, undertaker: Undertaker, redis_url: str) -> None:
    Undertaker(redis_url, project="another-project").end("theirs")
    undertaker.end("x")
    first = settled_since(app, PROJECT, None)
    assert [(item["job_id"], item["state"]) for item in first.items] == [("x", "dead")]
    undertaker.ledger.replay([Target(PROJECT, "x")], why="T-1", deadline_s=60)
    assert settled_since(app, PROJECT, first.cursor).items == [], "it has not ended any more"
    assert settled_since(app, PROJECT, None).items == []
    undertaker.settle(undertaker.take(), to="dead")
    again = settled_since(app, PROJECT, first.cursor)
    assert [(item["job_id"], item["state"], item["round"]) for item in again.items] == [("x", "dead", 2)]
    undertaker.ledger.discard([Target(PROJECT, "x")], why="T-2")
    last = settled_since(app, PROJECT, again.cursor)
    assert [(item["job_id"], item["state"]) for item in last.items] == [("x", "discarded")]


def test_a_cursor_of_an_earlier_version_goes_on_and_has_the_letters_that_are_dead(
    app: AppContext, undertaker: Undertaker
) -> None:
    undertaker.end("x")
    undertaker.end("a", "b", to="deleted")
    entry = settled_since(app, PROJECT, None, 2).cursor.partition(".")[0]
    found = settled_since(app, PROJECT, entry)
    assert [item["job_id"] for item in found.items] == ["x", "b"]


def test_where_a_project_moved_its_letters_are_counted_anew(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("x", "y")
    cursor = settled_since(app, PROJECT, None).cursor
    assert cursor.endswith(".2.default")
    moved = cursor.replace(".default", ".studio-b")
    assert [item["job_id"] for item in settled_since(app, PROJECT, moved).items] == ["x", "y"]


def test_what_is_no_end_is_left_out(app: AppContext, undertaker: Undertaker) -> None:
    job = [Target(PROJECT, "a")]
    undertaker.end("a")
    undertaker.ledger.discard(job, why="T-1")
    undertaker.ledger.restore(job, why="T-2")
    undertaker.ledger.discard(job, why="T-3")
    found = settled_since(app, PROJECT, None)
    assert [(item["n"], item["state"], item["finished_reason"]) for item in found.items] == [
        (1, "discarded", "T-1"),
        (3, "discarded", "T-3"),
    ]
    assert settled_since(app, PROJECT, found.cursor).items == []


def test_receipts_of_other_projects_are_left_out(app: AppContext, undertaker: Undertaker, redis_url: str) -> None:
    other = Undertaker(redis_url, project="another-project")
    other.end("x", to="deleted")
    undertaker.end("a", to="deleted")
    other.end("y", to="deleted")
    assert [item["job_id"] for item in settled_since(app, PROJECT, None, 1).items] == ["a"]
    assert [item["job_id"] for item in settled_since(app, "another-project", None).items] == ["x", "y"]


def test_nothing_was_settled(app: AppContext) -> None:
    nothing = settled_since(app, PROJECT, None)
    assert nothing.items == []
    assert settled_since(app, PROJECT, nothing.cursor).items == []


@pytest.mark.parametrize("cursor", ["", "0", "1-", "-1", "1-2-3", "a-b", "1 -1", "9" * 40])
def test_a_cursor_of_somebody_else_is_refused(app: AppContext, cursor: str) -> None:
    with pytest.raises(BadCursor, match="leave it out"):
        settled_since(app, PROJECT, cursor)


def test_a_cursor_before_what_was_trimmed_is_told(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c", to="deleted")
    first = settled_since(app, PROJECT, None, 1)
    second = settled_since(app, PROJECT, first.cursor, 1)
    progress = f"{undertaker.ledger.prefix}receipts:chain"
    undertaker.redis.hset(progress, mapping={"archived_id": second.cursor.partition(".")[0], "archived_n": 2})
    with pytest.raises(CursorTooOld, match="day files"):
        settled_since(app, PROJECT, first.cursor)
    with pytest.raises(CursorTooOld):
        settled_since(app, PROJECT, "0-0")  # given out while there was nothing yet
    for cursor in (None, second.cursor):
        assert [item["job_id"] for item in settled_since(app, PROJECT, cursor).items] == ["c"]
