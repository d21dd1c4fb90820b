"""Each thread's own connection: against a real server, because closing is what it is about."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest
import redis

from tests.waiting import wait_until
from worker.ledger import connections
from worker.ledger.store import connect


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


def in_a_thread(client: redis.Redis) -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(client.client_id()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_keeps_its_connection_and_another_has_its_own(client: redis.Redis) -> None:
    mine = client.client_id()
    assert in_a_thread(client) != mine
    assert client.client_id() == mine


def test_a_connection_ends_with_its_thread(client: redis.Redis) -> None:
    before = len(client.client_list())
    for _ in range(5):
        in_a_thread(client)
    gc.collect()
    wait_until(lambda: len(client.client_list()) <= before, what="the connections are closed")


def test_one_that_was_closed_while_it_rested_is_renewed_unseen(
    client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TRUSTED_S", 0.0)
    mine = client.client_id()
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_id=str(mine))
    assert client.client_id() != mine


def test_one_that_was_closed_under_a_busy_thread_costs_one_command(client: redis.Redis, redis_url: str) -> None:
    mine = client.client_id()
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_id=str(mine))
    with pytest.raises(redis.exceptions.ConnectionError):
        client.ping()
    assert client.ping()


def test_a_forked_child_does_not_talk_on_its_parents_connection(client: redis.Redis) -> None:
    mine = client.client_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(client.client_id()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) != mine
    assert client.client_id() == mine


def test_a_closed_client_has_no_connection(client: redis.Redis, redis_url: str) -> None:
    mine = client.client_id()
    client.close()
    with redis.Redis.from_url(redis_url) as other:
        wait_until(lambda: mine not in {int(one["id"]) for one in other.client_list()}, what="it is closed")
