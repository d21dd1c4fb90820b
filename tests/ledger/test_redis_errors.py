"""What Redis refuses now it may take later: told from faults of ours, waited for, and said in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.acceptance.test_failover import REFUSALS
from tests.support.between import Between
from tests.support.command import Command
from tests.support.http_site import Site
from tests.support.ledgers import POLICY
from worker.ledger.deletions import Ledger, connect
from worker.ledger.redis_errors import is_away
from worker.ledger.types import DeletionRequest
from worker.local.embedded import EmbeddedRedis
from worker.model.target import Target

IN_A_SCRIPT_OF_6_2 = "ERR Error running script (call to f_5b4c): @user_script:12: @user_script: 12: -{}"
FAULTS = (
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR user_script:30: attempt to compare nil with number script: 8d1f, on @user_script:30.",
    "ERR value is not an integer or out of range",
    "CROSSSLOT Keys in request don't hash to the same slot",
    IN_A_SCRIPT_OF_6_2.format("WRONGTYPE Operation against a key holding the wrong kind of value"),
    IN_A_SCRIPT_OF_6_2.format("ERR value is not a valid float"),
)


def error_of(reply: str) -> redis.RedisError:
    found = BaseParser.parse_error(reply)
    assert isinstance(found, redis.RedisError)
    return found


@pytest.mark.parametrize("reply", [*REFUSALS, "OOM command not allowed", "INVENTED by a proxy of tomorrow"])
def test_whatever_passes_is_waited_for(reply: str) -> None:
    assert is_away(error_of(reply))


@pytest.mark.parametrize("reply", [reply for reply in REFUSALS if not reply.startswith("ERR")])
def test_what_a_script_was_refused_with_by_an_old_redis_is_waited_for_too(reply: str) -> None:
    assert is_away(error_of(IN_A_SCRIPT_OF_6_2.format(reply)))


@pytest.mark.parametrize("reply", FAULTS)
def test_a_fault_of_ours_is_none_of_it(reply: str) -> None:
    assert not is_away(error_of(reply))


def test_what_a_user_may_not_is_no_fault_of_ours(redis_url: str) -> None:
    """In a script, too, where the reply has no code of its own."""
    admin = connect(redis_url)
    try:
        admin.acl_setuser("weak", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-hset", "-hello"])
        weak = redis.Redis.from_url(redis_url, username="weak", password="x", protocol=2)
        with pytest.raises(redis.ResponseError) as direct:
            weak.hset("h", "a", "b")
        with pytest.raises(redis.ResponseError) as in_script:
            weak.eval("return redis.call('HSET', KEYS[1], 'a', 'b')", 1, "h")
        weak.close()
    finally:
        admin.acl_deluser("weak")
    assert is_away(direct.value)
    assert is_away(in_script.value)


def test_a_connection_leaves_a_server_that_became_a_replica(tmp_path: Path, redis_url: str) -> None:
    """A managed Redis fails over behind its address: who keeps the connection stays with the old primary."""
    with EmbeddedRedis(tmp_path / "new") as server, Between(redis_url.removeprefix("unix://")) as between:
        ledger = Ledger(connect(between.url), "default", POLICY, patience_s=5)
        ledger.request([Target("p", "one")], DeletionRequest())
        between.server = server.url.removeprefix("unix://")
        ledger.client.ping()
        assert connect(server.url).dbsize() == 0, "it stayed where it was"
        between.refuse("READONLY You can't write against a read only replica.")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            ledger.client.eval("return 1", 0)
        between.refuse(None)
        ledger.request([Target("p", "two")], DeletionRequest())
        assert connect(server.url).zcard("eraser:{default}:due:bulk") == 1


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[str]:
    """A server that answers and takes no writes; one deletion waits in it."""
    with EmbeddedRedis(tmp_path / "replica") as server:
        Ledger(connect(server.url), "default", POLICY).request([Target("p", "one")], DeletionRequest())
        client = redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        client.replicaof("127.0.0.1", "1")
        yield server.url
        client.close()


WRITES = (
    ("request", "job-1"),
    ("cancel", "one", "--reason", "R"),
    ("pause", "--reason", "R"),
    ("resume", "--reason", "R"),
    ("hold", "add", "one", "--reason", "R", "--by", "ops-7"),
)


@pytest.mark.parametrize("words", WRITES, ids=lambda words: words[0])
def test_an_act_on_a_replica_says_that_nothing_can_be_written(
    command: Command, replica: str, words: tuple[str, ...]
) -> None:
    command.environ["ERASER_REDIS_URL"] = replica
    ended = command(*words)
    assert ended.code == 4, ended.all
    assert "takes no writes" in ended.err


def test_status_on_a_replica_does_not_say_that_work_goes_on(command: Command, replica: str) -> None:
    command.environ["ERASER_REDIS_URL"] = replica
    ended = command("status")
    assert ended.code == 0
    assert "Redis takes no writes; everything waits until it does" in ended.out
    assert "at work" not in ended.out


@pytest.mark.parametrize("reply", REFUSALS)
def test_every_command_ends_with_exit_code_4_whatever_redis_refuses(
    command: Command, redis_url: str, reply: str
) -> None:
    with Between(redis_url.removeprefix("unix://")) as between:
        command.environ["ERASER_REDIS_URL"] = between.url
        command("status")
        between.refuse(reply)
        for words in (("status",), ("show", "one"), ("dead", "groups"), ("audit",), ("metrics",), *WRITES):
            ended = command(*words)
            assert ended.code == 4 or words == ("metrics",), (words, ended.all)


@pytest.mark.parametrize("reply", REFUSALS)
def test_the_http_side_says_503_whatever_redis_refuses(tmp_path: Path, redis_url: str, reply: str) -> None:
    with Between(redis_url.removeprefix("unix://")) as between:
        site = Site(between.url, tmp_path / "tokens.toml")
        with site.client:
            assert site.call("GET", "/readyz").status_code == 200
            between.refuse(reply)
            response: Any = site.ask("job-1")
            assert response.status_code == 503, response.text
            assert site.call("GET", "/readyz").status_code == 503 or reply.startswith("NOPERM")
            between.refuse(None)
            assert site.ask("job-1").status_code == 202
