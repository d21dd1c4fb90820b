"""What was settled since a cursor, for those who follow along."""

from __future__ import annotations

import pytest

from tests.command import Command
from tests.dead_letters import PROJECT, Undertaker
from worker.operations.receipts import BadCursor, CursorTooOld, settled_since
from worker.runtime import Runtime


@pytest.fixture
def running(command: Command) -> Runtime:
    return Runtime.load(command.environ)


def test_every_receipt_comes_once_and_in_order(running: Runtime, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c", to="deleted")
    first = settled_since(running, PROJECT, None, 2)
    assert [item["job_id"] for item in first.items] == ["a", "b"]
    assert first.more
    second = settled_since(running, PROJECT, first.cursor, 2)
    assert [item["job_id"] for item in second.items] == ["c"]
    assert not second.more
    undertaker.end("d", to="deleted")
    third = settled_since(running, PROJECT, second.cursor)
    assert [item["job_id"] for item in third.items] == ["d"]
    assert settled_since(running, PROJECT, third.cursor) == type(third)([], third.cursor, more=False)


def test_receipts_of_other_projects_are_left_out(running: Runtime, undertaker: Undertaker, redis_url: str) -> None:
    other = Undertaker(redis_url, project="another-project")
    other.end("x", to="deleted")
    undertaker.end("a", to="deleted")
    other.end("y", to="deleted")
    assert [item["job_id"] for item in settled_since(running, PROJECT, None, 1).items] == ["a"]
    assert [item["job_id"] for item in settled_since(running, "another-project", None).items] == ["x", "y"]


def test_nothing_was_settled(running: Runtime) -> None:
    nothing = settled_since(running, PROJECT, None)
    assert nothing.items == []
    assert settled_since(running, PROJECT, nothing.cursor).items == []


@pytest.mark.parametrize("cursor", ["", "0", "1-", "-1", "1-2-3", "a-b", "1 -1", "9" * 40])
def test_a_cursor_of_somebody_else_is_refused(running: Runtime, cursor: str) -> None:
    with pytest.raises(BadCursor, match="leave it out"):
        settled_since(running, PROJECT, cursor)


def test_a_cursor_before_what_was_trimmed_is_told(running: Runtime, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c", to="deleted")
    first = settled_since(running, PROJECT, None, 1)
    second = settled_since(running, PROJECT, first.cursor, 1)
    book = f"{undertaker.ledger.prefix}receipts:chain"
    undertaker.redis.hset(book, mapping={"archived_id": second.cursor, "archived_n": 2})
    with pytest.raises(CursorTooOld, match="day files"):
        settled_since(running, PROJECT, first.cursor)
    with pytest.raises(CursorTooOld):
        settled_since(running, PROJECT, "0-0")  # given out while there was nothing yet
    for cursor in (None, second.cursor):
        assert [item["job_id"] for item in settled_since(running, PROJECT, cursor).items] == ["c"]
