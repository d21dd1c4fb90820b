"""The one way to Redis: whoever holds a client is with the primary, whatever the servers do among themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.sentinel import MasterNotFoundError

from tests.support.redis_servers import SERVICE, SentinelSet
from tests.support.waiting import PATIENCE_S, wait_until
from worker.config.redis_urls import parse_redis_url
from worker.execution.broker_url import celery_broker
from worker.ledger import following
from worker.ledger.connection import connect, sentinels
from worker.ledger.redis_errors import is_away, why_away

PASSWORD = "only/the@sentinels"
OPTION = "?sentinel_password=only/the%40sentinels"


@pytest.fixture(scope="module")
def servers() -> Iterator[SentinelSet]:
    with SentinelSet(sentinel_password=PASSWORD) as every:
        yield every


def test_a_sentinel_that_is_down_is_passed_over(servers: SentinelSet) -> None:
    servers.sentinels[0].kill()
    try:
        with connect(servers.url + OPTION) as client:
            assert client.ping()
    finally:
        servers.sentinels[0].start()
        servers.wait_until_complete()


@pytest.mark.parametrize("wrong", ["", "?sentinel_password=wrong"])
def test_sentinels_that_refuse_the_password_are_waited_for_and_named(servers: SentinelSet, wrong: str) -> None:
    """Their password is not that of the servers."""
    with connect(servers.url + wrong) as client, pytest.raises(redis.ConnectionError) as refused:
        client.ping()
    assert is_away(refused.value)
    assert "the Sentinels name no primary that is up" in why_away(refused.value)


def test_a_service_that_no_sentinel_knows_is_named_so_too(servers: SentinelSet) -> None:
    url = servers.url.replace(f"/{SERVICE}", "/another") + OPTION
    with connect(url) as client, pytest.raises(redis.ConnectionError) as refused:
        client.ping()
    assert "the service" in why_away(refused.value)


def test_a_primary_that_the_sentinels_replaced_is_left_whether_it_takes_writes_or_answers_nothing(
    servers: SentinelSet,
) -> None:
    """A partition, and a planned failover too: what the old one still accepts is lost later. The servers stay so."""
    url, old = servers.url + OPTION, servers.primary()
    with connect(url) as idle, connect(url, timeout_s=PATIENCE_S) as client, ThreadPoolExecutor(1) as threads:
        assert idle.ping()
        assert client.ping()
        old.client().client_pause(int(3 * PATIENCE_S * 1000), all=False)
        waiting = threads.submit(client.set, "where", "lost")
        servers.cut_off(old)
        new = servers.wait_for_another(old)
        error = waiting.exception(2 * PATIENCE_S)
        assert isinstance(error, redis.ConnectionError), error
        assert is_away(error)
        client.set("where", "at the new one")
        assert new.client().get("where") == b"at the new one"

        old.client().client_unpause()
        assert old.client().set("where", "still here"), "the old one takes writes"

        def has_arrived() -> bool:
            idle.set("where", "there, too")
            return new.client().get("where") == b"there, too"

        wait_until(has_arrived, what="what is written arrives at the new primary", every=0.1)


def test_sentinels_that_name_nobody_for_a_moment_are_asked_again_soon() -> None:
    """Between a primary's silence and its successor they name none: a connection that works may be to the old one."""
    questions = 0

    class Named:
        ask_at = 0.0

        def get_master_address(self) -> None:
            nonlocal questions
            questions += 1
            raise MasterNotFoundError

    named, began = Named(), time.monotonic()
    following._ask(named, following.ASK_S)
    following._ask(named, following.ASK_S)
    assert questions == 1
    assert named.ask_at - time.monotonic() <= following.ASK_S + following.REST * (time.monotonic() - began)


def test_clients_of_sentinels_try_once_and_check_certificates() -> None:
    """redis-py would try a Sentinel that is down four times, with seconds between."""
    url = "redis+sentinel://user:p%40w@a,b:1/svc/3?ssl=true&sentinel_password=x%40y&ssl_check_hostname=false"
    address = parse_redis_url(url)
    pool = connect(url).connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    assert (connection.db, connection.cert_reqs.name, connection.check_hostname) == (3, "CERT_REQUIRED", False)
    assert connection.credential_provider is None
    assert (connection.username, connection.password) == ("user", "p@w")
    hosts = [one.connection_pool.connection_kwargs for one in sentinels(address).sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in hosts] == [("a", 26379, "x@y"), ("b", 1, "x@y")]
    kinds = {one.connection_pool.connection_class.__name__ for one in sentinels(address).sentinels}
    assert kinds == {"SSLConnection"}
    broker = celery_broker(url)
    theirs = broker.options["sentinel_kwargs"]
    assert (theirs["password"], theirs["ssl"], theirs["ssl_cert_reqs"]) == ("x@y", True, "required")
    assert {one["retry"].get_retries() for one in (*hosts, theirs)} == {0}
    assert connection.retry.get_retries() == 0
