"""Who may take over, and what that could cost, by real servers and their Sentinels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import Command
from tests.support.redis_servers import HOST, SERVICE, SentinelSet
from tests.support.waiting import wait_until
from worker.config.redis_urls import parse_redis_url
from worker.ledger.connection import connect
from worker.services.doctor.check import Check, Level
from worker.services.doctor.topology_checks import Standby, failover, how_slots_move, pinged, primary
from worker.services.doctor.topology_checks import servers as named_by


@pytest.fixture(scope="module")
def servers() -> Iterator[SentinelSet]:
    with SentinelSet() as every:
        yield every


def found(servers: SentinelSet, confirmed: int | None = None) -> dict[str, Check]:
    with connect(servers.url) as client:
        lines = (*named_by(client, parse_redis_url(servers.url), pinged(client)), *primary(client, confirmed))
        return {one.name: one for one in lines}


def test_the_sentinels_the_replicas_and_the_price_of_a_failover_are_named(servers: SentinelSet) -> None:
    (replica,), primary = servers.replicas(), servers.primary()
    lines = found(servers)
    assert lines["redis Sentinels"].verdict is Level.OK
    named = f"3 of 3 answer and name {HOST}:{primary.port} as primary of '{SERVICE}'; quorum 2 of 3"
    assert named in lines["redis Sentinels"].found
    assert f"{HOST}:{replica.port}" in lines["redis replicas"].found
    assert lines["redis min-replicas-to-write"].found == "0"
    price = lines["redis failover"]
    assert (price.verdict, "until it learns of its successor" in price.found) == (Level.WARNING, True)
    assert "ERASER_REDIS_REPLICAS=1" in price.todo
    assert "costs nothing that was confirmed" in found(servers, 1)["redis failover"].found
    assert found(servers, 2)["redis failover"].verdict is Level.WRONG

    with primary.client() as client:
        client.config_set("min-replicas-to-write", 1)
        client.config_set("min-replicas-max-lag", 7)
        try:
            lines = found(servers)
        finally:
            client.config_set("min-replicas-to-write", 0)
    assert "if either server fails, writes stop" in lines["redis min-replicas-to-write"].found
    assert "the last 7 s (min-replicas-max-lag)" in lines["redis failover"].found


def test_sentinels_that_are_too_few_and_replicas_that_are_not_up_are_named(servers: SentinelSet) -> None:
    first, second, _ = servers.sentinels
    first.kill()
    try:
        assert "2 of 3 answer" in found(servers)["redis Sentinels"].found
        second.kill()
        assert "so few cannot make one" in found(servers)["redis Sentinels"].found
    finally:
        first.start()
        second.start()
        servers.wait_until_complete()
    (replica,), primary = servers.replicas(), servers.primary()
    replica.kill()
    try:
        wait_until(lambda: primary.info()["connected_slaves"] == 0, what="the primary noticed")
        lines = found(servers)
        assert "none" in lines["redis replicas"].found
        assert "nothing takes over" in lines["redis failover"].found
        with primary.client() as client:
            client.config_set("min-replicas-to-write", 1)
            try:
                assert "takes no writes" in found(servers)["redis min-replicas-to-write"].found
            finally:
                client.config_set("min-replicas-to-write", 0)
    finally:
        replica.start()
        servers.wait_until_complete()


def test_a_service_that_no_sentinel_knows_is_wrong(servers: SentinelSet) -> None:
    address = parse_redis_url(servers.url.replace(f"/{SERVICE}", "/another"))
    with connect(servers.primary().url) as client:
        lines = {one.name: one for one in named_by(client, address, pinged(client))}
    assert lines["redis Sentinels"].verdict is Level.WRONG
    assert "'another'" in lines["redis Sentinels"].found


@pytest.mark.parametrize(
    ("up", "needed", "confirmed", "verdict", "says"),
    [
        (0, 0, None, Level.OK, "nothing takes over"),
        (0, 0, 0, Level.OK, "nothing takes over"),
        (0, 0, 1, Level.WRONG, "with no replica up: each request is answered not_confirmed"),
        (1, 0, 2, Level.WRONG, "with 1 replica up: "),
        (2, 0, None, Level.WARNING, "milliseconds"),
        (2, 0, 0, Level.WARNING, "this server's disk only"),
        (2, 0, 1, Level.WARNING, "1 of 2 replicas have it"),
        (2, 0, 2, Level.OK, "nothing that was confirmed"),
        (2, 1, None, Level.WARNING, "the last 10 s"),
        (2, None, None, Level.WARNING, "until it learns"),
    ],
)
def test_the_price_follows_from_the_replicas_and_the_settings(
    up: int, needed: int | None, confirmed: int | None, verdict: Level, says: str
) -> None:
    price = failover("redis failover", Standby(({},) * up, needed, "10", confirmed))
    assert (price.verdict, says in price.found) == (verdict, True)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ({"valkey_version": "9.0.0", "redis_version": "7.2.4"}, "CLUSTER MIGRATESLOTS"),
        ({"valkey_version": "8.1.1", "redis_version": "7.2.4"}, "key by key"),
        ({"redis_version": "8.4.0"}, "CLUSTER MIGRATION IMPORT"),
        ({"redis_version": "8.10.1"}, "CLUSTER MIGRATION IMPORT"),
        ({"redis_version": "8.2.3"}, "key by key"),
        ({}, "key by key"),
        ({"redis_version": "something"}, "key by key"),
    ],
)
def test_how_slots_are_moved_follows_from_the_servers_version(version: dict[str, str], says: str) -> None:
    assert says in how_slots_move(version)


def test_the_doctor_prints_it_for_one_server_too(command: Command) -> None:
    lines = {line["check"]: line for line in command("doctor", "--offline", "--json").json}
    assert lines["redis replicas"]["found"] == "none is known to this server"
    assert lines["ERASER_REDIS_REPLICAS"]["found"].startswith("not set")
    assert lines["redis failover"]["verdict"] == "ok"
