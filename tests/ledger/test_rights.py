"""What a user may run is known from an answer only, and as long as the same server answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis import exceptions

from tests.ledger.test_redis_rights import CAREFUL, user
from tests.support.ledgers import Bench
from worker.ledger import scripts
from worker.ledger.connection import connect
from worker.ledger.rights import Rights, refused
from worker.model.errors import Unreachable

KEY = "eraser:x"
NOT_NOW = [
    exceptions.ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
    exceptions.AskError("1 127.0.0.1:7001"),
    exceptions.TryAgainError("Multiple keys request during rehashing of slot"),
    exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    exceptions.ResponseError("ERR something else"),
]


@pytest.fixture
def few(redis_url: str) -> Iterator[redis.Redis]:
    for url in user(redis_url, CAREFUL):
        with connect(url) as client:
            yield client


def answers(client: redis.Redis, monkeypatch: pytest.MonkeyPatch, *found: Any) -> list[tuple[Any, ...]]:
    """These, one question each, instead of the server's; returns the questions."""
    rest, questions = list(found), []

    def evalsha(*args: Any) -> Any:
        questions.append(args)
        answer = rest.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(client, "evalsha", evalsha)
    return questions


@pytest.mark.parametrize("error", NOT_NOW, ids=lambda error: f"{type(error).__name__} {error}"[:30])
def test_an_error_is_no_answer(client: redis.Redis, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    rights = Rights(client, KEY)
    answers(client, monkeypatch, error, [b"XADD"])
    with pytest.raises(type(error)):
        rights.require(frozenset({"XADD"}))
    with pytest.raises(exceptions.NoPermissionError):
        rights.require(frozenset({"XADD"}))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        exceptions.ResponseError(
            "Error running script (call to f_1): @user_script:4: user_script:4: attempt to call field 'acl_check_cmd' "
            "(a nil value)"
        ),
    ],
    ids=["nil", "an unknown function"],
)
def test_a_server_that_cannot_say_is_not_asked_again(
    client: redis.Redis, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = Rights(client, KEY)
    questions = answers(client, monkeypatch, answer)
    rights.require(frozenset({"XADD"}))
    rights.require(frozenset({"XADD"}))
    assert len(questions) == 1


def test_without_the_function_the_answer_is_nil(client: redis.Redis) -> None:
    source = scripts.load("may").source
    assert client.eval(source.replace("redis.acl_check_cmd", "redis.none_such"), 1, KEY, "XADD") is None


def test_a_command_that_the_server_does_not_have_is_refused(client: redis.Redis) -> None:
    assert refused(client, KEY, ["NONESUCH", "XADD"]) == ["NONESUCH"]


def test_an_error_makes_the_next_move_ask_again(
    client: redis.Redis, few: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that was promoted may have other users: what the primary let them do says nothing."""
    bench = Bench(few)
    bench.request("a")
    before = bench.record("a")
    client.execute_command("ACL", "SETUSER", "few", "-hset")
    run, lost = bench.ledger._unconfirmed, [exceptions.ConnectionError("lost")]

    def once(*args: Any) -> Any:
        if lost:
            raise lost.pop()
        return run(*args)

    monkeypatch.setattr(bench.ledger, "_unconfirmed", once)
    with pytest.raises(Unreachable, match=r"lacks permissions \(allow: \+hset\)"):
        bench.request("a", "b")
    assert bench.record("a") == before


def test_another_server_is_asked_anew(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentinels name another one, and the connection changes without an error."""
    rights = Rights(client, KEY)
    pool: Any = client.connection_pool
    monkeypatch.setattr(pool, "master_address", ("10.0.0.1", 6379), raising=False)
    questions = answers(client, monkeypatch, [], [])
    for port, times in ((6379, 1), (6379, 1), (6380, 2)):
        pool.master_address = ("10.0.0.1", port)
        rights.require(frozenset({"XADD"}))
        assert len(questions) == times
