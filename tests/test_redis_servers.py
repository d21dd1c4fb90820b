"""The sets of real Redis servers that other tests use do what they say."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_servers import SERVICE, ClusterSet, SentinelSet
from tests.support.waiting import wait_until


def test_the_sentinels_follow_a_kill_a_plan_and_a_partition_and_nothing_is_left_behind() -> None:
    with SentinelSet() as servers:
        first = servers.primary()
        first.client().set("a", 1)
        wait_until(lambda: servers.replicas()[0].client().get("a") == b"1", what="the replica has it")
        first.kill()
        second = servers.wait_for_another(first)
        assert second.client().get("a") == b"1"
        first.start()
        servers.wait_until_complete()
        assert first.client().get("a") == b"1"
        assert servers.fail_over() in servers.servers
        servers.wait_until_complete()
        if servers.is_valkey_9():
            assert servers.fail_over("COORDINATED") in servers.servers
            servers.wait_until_complete()

        old = servers.primary()
        servers.cut_off(old)
        new = servers.wait_for_another(old)
        old.client().set("b", "accepted by the old primary")
        assert new.client().get("b") is None
        servers.reconnect(old)
        servers.wait_until_complete()
        assert (old.client().get("a"), old.client().get("b")) == (b"1", None)
        pids, directory = [server.pid for server in (*servers.servers, *servers.sentinels)], servers.directory
        assert None not in pids
    assert [server.pid for server in (*servers.servers, *servers.sentinels)] == [None] * 5
    assert not directory.exists()
    assert SERVICE in servers.url


def test_a_cluster_has_every_slot_and_a_replica_takes_over() -> None:
    with ClusterSet(replicas=1) as cluster:
        owner = cluster.owner("{a}")
        owner.client().set("{a}", 1)
        others = [server for server in cluster.primaries if server is not owner]
        with pytest.raises(redis.exceptions.MovedError):
            others[0].client().set("{a}", 2)
        wait_until(lambda: owner.client().wait(1, 100) == 1, what="a replica has it")
        owner.kill()
        wait_until(lambda: cluster.owner("{a}") is not owner, what="a replica takes over")
        assert cluster.owner("{a}") in cluster.replicas
