"""A Redis Cluster as one client: by three real primaries, each with a third of the slots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import redis

from tests.support.command import Command
from tests.support.ledgers import POLICY
from tests.support.redis_servers import ClusterSet, Server
from tests.support.waiting import wait_until
from worker.config.redis_urls import parse_redis_url
from worker.ledger.cluster import ASK_S, SILENT_S, Cluster
from worker.ledger.confirmation import Confirmation
from worker.ledger.connection import connect, server_of, servers_of
from worker.ledger.deletions import Ledger
from worker.ledger.due_heads import due_heads
from worker.ledger.keys import OURS
from worker.ledger.queries import Queries
from worker.ledger.reachable import reachable
from worker.ledger.types import DeletionRequest
from worker.model.errors import NotConfirmed, Unreachable
from worker.model.states import State
from worker.model.target import Target
from worker.services.doctor import topology_checks
from worker.services.doctor.check import Level
from worker.services.doctor.topology_checks import pinged, servers

JOB = Target("p", "job-1")
EVERY = [f"account-{n}" for n in range(8)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSet]:
    with ClusterSet() as every:
        yield every


@pytest.fixture
def client(cluster: ClusterSet) -> Iterator[Cluster]:
    for server in cluster.servers:
        server.client().flushall()
    with connect(cluster.url) as one:
        assert isinstance(one, Cluster)
        yield one


def ledger(client: redis.Redis, account: str, **settings: object) -> Ledger:
    return Ledger(client, account, POLICY, patience_s=0.2, **settings)  # type: ignore[arg-type]


def apart(cluster: ClusterSet) -> tuple[str, str, Server]:
    """Two accounts that lie on different servers, and the server of the first."""
    one, *others = EVERY
    where = cluster.owner(OURS.account(one))
    return one, next(other for other in others if cluster.owner(OURS.account(other)) is not where), where


@contextmanager
def killed(cluster: ClusterSet, server: Server) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()
        cluster.wait_until_complete()


def test_each_command_goes_to_whoever_has_its_key(cluster: ClusterSet, client: Cluster) -> None:
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for account in EVERY:
        pipe.incr(OURS.account(account))
    assert pipe.execute()[1:] == [1] * len(EVERY)
    for account in EVERY:
        key = OURS.account(account)
        assert cluster.owner(key).client().get(key) == b"1"
        assert server_of(client, key).get(key) == b"1"
    assert len(servers_of(client)) == 3
    assert len({cluster.owner(OURS.account(account)) for account in EVERY}) == 3


def test_what_no_key_leads_anywhere_is_refused(client: Cluster) -> None:
    for ask in (client.time, client.info, client.scan, client.config_get):
        with pytest.raises(ValueError, match="no key that says which server"):
            ask()
    with pytest.raises(ValueError, match="of one slot"):
        client.pipeline(transaction=True).get("{a}").get("{b}").execute()
    assert client.pipeline(transaction=True).incr("{a}1").incr("{a}2").execute() == [1, 1]


def test_a_server_that_is_away_is_an_outage_of_its_own_accounts_only(cluster: ClusterSet, client: Cluster) -> None:
    one, other, where = apart(cluster)
    for account in EVERY:
        ledger(client, account).request([JOB], DeletionRequest())
    assert reachable(client, EVERY) == set(EVERY)
    with killed(cluster, where):
        with pytest.raises(Unreachable):
            ledger(client, one).request([JOB], DeletionRequest())
        ledger(client, other).request([Target("p", "job-2")], DeletionRequest())
        there = reachable(client, EVERY)
        assert there == {name for name in EVERY if cluster.owner(OURS.account(name)) is not where} - {one}
        assert due_heads(client, there).keys() == there
        with connect(cluster.url) as late:
            assert late.get(OURS.account(other)) is None, "one that comes now goes by what the others know"
        lines = {line.name: line for line in servers(client, parse_redis_url(cluster.url), pinged(client))}
        assert (lines["redis Cluster"].verdict, f":{where.port} wait" in lines["redis Cluster"].found) == (
            Level.WRONG,
            True,
        )
    wait_until(lambda: len(reachable(client, EVERY)) == len(EVERY), what="it is back")
    (again,) = ledger(client, one).request([JOB], DeletionRequest())
    assert again.deduplicated, "what was recorded before is there"


def test_a_replica_that_takes_over_is_followed_whether_its_primary_is_there_or_not() -> None:
    with ClusterSet(replicas=1) as servers, connect(servers.url) as client:
        account = ledger(client, "one")
        account.request([JOB], DeletionRequest())
        for planned in (True, False):
            old = servers.owner(account.prefix)
            wait_until(lambda: old.client().wait(1, 100) == 1, what="its replica has it")  # noqa: B023
            wait_until(lambda: len(followers(old, servers)) == 1, what="and is known to it")  # noqa: B023
            ids = {servers.command(server, "MYID"): server for server in servers.servers}
            (replica,) = [ids[line.split()[0]] for line in followers(old, servers)]
            if planned:
                servers.command(replica, "FAILOVER")
            else:
                old.kill()
            wait_until(lambda: servers.owner(account.prefix) is replica, what="it takes over")  # noqa: B023
            wait_until(lambda: bool(reachable(client, ["one"])), what="it is followed")
            (again,) = account.request([JOB], DeletionRequest())
            assert again.deduplicated
            if planned:
                wait_until(lambda: old.info().get("master_link_status") == "up", what="the old one follows")  # noqa: B023


def followers(primary: Server, servers: ClusterSet) -> list[str]:
    """The lines of its replicas in CLUSTER NODES."""
    with primary.client() as client:
        client.response_callbacks.clear()
        found = client.execute_command("CLUSTER REPLICAS", servers.command(primary, "MYID"))
    return [line.decode() for line in found]


class OneOfTwo:
    """A server that knows who has all slots. The one that has hung answers nothing, and nobody is refused."""

    now, owner, hung = 0.0, 1, 1

    def __init__(self, _host: str, port: int) -> None:
        self.port = port
        self.connection_pool = SimpleNamespace(connection_kwargs={"host": "127.0.0.1"})

    def execute_command(self, name: str, *_: str, **__: object) -> object:
        if self.port == OneOfTwo.hung:
            raise redis.TimeoutError("Timeout reading from socket")
        return (
            [[0, 16383, [b"127.0.0.1", OneOfTwo.owner, b""]]][: OneOfTwo.owner]
            if name == "CLUSTER SLOTS"
            else b"by %d" % self.port
        )

    def close(self) -> None:
        pass


def test_who_takes_over_from_a_server_that_hangs_is_followed_as_soon_as_the_others_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: OneOfTwo.now)
    monkeypatch.setattr(OneOfTwo, "now", 100.0)
    with Cluster([("127.0.0.1", 2), ("127.0.0.1", 1)], OneOfTwo) as client:
        for passed in (0.0, 0.1, ASK_S):
            monkeypatch.setattr(OneOfTwo, "now", OneOfTwo.now + passed)
            with pytest.raises(redis.TimeoutError):
                client.get("a")
        monkeypatch.setattr(OneOfTwo, "owner", 2)
        monkeypatch.setattr(OneOfTwo, "now", OneOfTwo.now + ASK_S)
        assert OneOfTwo.now < 100.0 + SILENT_S
        assert client.get("a") == b"by 2"


def test_a_slot_that_no_server_had_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: OneOfTwo.now)
    monkeypatch.setattr(OneOfTwo, "owner", 0)
    with Cluster([("127.0.0.1", 2)], OneOfTwo) as client:
        for _ in range(2):
            with pytest.raises(redis.exceptions.ClusterDownError):
                client.get("a")
        monkeypatch.setattr(OneOfTwo, "owner", 2)
        monkeypatch.setattr(OneOfTwo, "now", OneOfTwo.now + ASK_S)
        assert client.get("a") == b"by 2"


def test_while_a_slot_moves_every_move_is_refused_before_it_writes(cluster: ClusterSet, client: Cluster) -> None:
    one, other, source = apart(cluster)
    target = cluster.owner(OURS.account(other))
    moving, key = ledger(client, one), OURS.account(one)
    moving.request([Target("p", f"job-{n}") for n in range(30)], DeletionRequest())

    def keys_of(server: Server) -> set[bytes]:
        return {*server.client().scan_iter(match=f"{key.replace('[', '')}*")}

    before = keys_of(source)
    with cluster.moving(key, target) as carry:
        for carried in (0, 10):
            if carried:
                assert carry(carried) == carried
            with pytest.raises(Unreachable, match="moves this account's slot"):
                moving.request([Target("p", "late")], DeletionRequest())
            assert reachable(client, [one, other]) == {other}
            assert ledger(client, other).request([JOB], DeletionRequest())
            assert len(keys_of(target)) == carried
            assert keys_of(source) | keys_of(target) == before, "nothing was written anywhere"
        with source.client() as plain:
            with pytest.raises(redis.exceptions.AskError):
                plain.eval("return redis.call('SET', KEYS[1] .. 'x', 1)", 1, key)
            there, gone = sorted(keys_of(source))[0], sorted(keys_of(target))[0]
            with pytest.raises(redis.exceptions.TryAgainError):
                plain.eval("return 1", 2, there, gone)
        (line,) = [
            line for line in servers(client, parse_redis_url(cluster.url), pinged(client)) if line.name == "redis slots"
        ]
        assert f"127.0.0.1:{source.port} is being moved" in line.found
    assert keys_of(source) == set()
    wait_until(lambda: one in reachable(client, [one]), what="it is followed")
    (first,) = moving.request([Target("p", "job-0")], DeletionRequest())
    assert first.deduplicated
    found = Queries(client, one, rate=10.0).show(Target("p", "job-29"))
    assert found is not None
    assert Queries(client, one, rate=10.0).show(Target("p", "late")) is None


def test_while_a_slot_moves_atomically_nothing_is_refused(cluster: ClusterSet, client: Cluster) -> None:
    if not cluster.is_valkey_9():
        pytest.skip("these servers move slots key by key only")
    one, other, source = apart(cluster)
    target, moving = cluster.owner(OURS.account(other)), ledger(client, one)
    jobs = [Target("p", f"moving-{n}") for n in range(200)]
    with ThreadPoolExecutor(1) as beside:
        moved = beside.submit(cluster.move, OURS.account(one), target)
        for job in jobs:
            assert [line.deduplicated for line in moving.request([job], DeletionRequest())] == [False]
        moved.result()
        assert [line.deduplicated for line in moving.request([JOB], DeletionRequest())] == [False]
    assert list(source.client().scan_iter(match=f"*{{{one}}}*")) == []
    assert Queries(client, one, rate=10.0).status().states[State.PENDING] == len({*jobs, JOB})


def test_replicas_confirm_on_the_connection_that_wrote(
    cluster: ClusterSet, client: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in EVERY[:3]:
        with pytest.raises(NotConfirmed, match="appendfsync is everysec"):
            ledger(client, account, confirmation=Confirmation(0)).request([JOB], DeletionRequest())
    for server in cluster.servers:
        server.client().config_set("appendfsync", "always")
    for account in EVERY[:3]:
        ledger(client, account, confirmation=Confirmation(0)).request([JOB], DeletionRequest())
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 50)
    for account in EVERY[:3]:
        with pytest.raises(NotConfirmed, match="0 of 1 replicas have it"):
            ledger(client, account, confirmation=Confirmation(1)).request([JOB], DeletionRequest())


def test_the_command_line_goes_on_in_a_cluster(
    cluster: ClusterSet, client: Cluster, command: Command, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has no key that leads to a server would be refused."""
    assert client.ping()
    command.environ |= {"ERASER_REDIS_URL": cluster.url, "ERASER_BROKER_URL": redis_url}
    for words in (
        ("request", "job-1", "job-2", "--reason", "T-1"),
        ("hold", "add", "job-3", "--reason", "CASE-1", "--by", "legal-3"),
        ("hold", "list"),
        ("cancel", "job-2", "--reason", "T-2"),
        ("pause", "--reason", "T-3"),
        ("resume", "--reason", "T-4"),
        ("show", "job-1"),
        ("status",),
        ("metrics",),
        ("audit",),
        ("dead", "groups"),
        ("replay", "list"),
        ("parked", "list"),
        ("accounts", "list"),
        ("receipts", "export"),
    ):
        ended = command(*words)
        assert ended.code == 0, (words, ended.all)
    pings, answers = list[redis.Redis](), topology_checks._answers

    def counted(server: redis.Redis) -> bool:
        pings.append(server)
        return answers(server)

    monkeypatch.setattr(topology_checks, "_answers", counted)
    found = {line["check"]: line["verdict"] for line in command("doctor", "--offline", "--json").json}
    assert len(pings) == len(set(pings)) == 3, "one that hangs is waited for once"
    assert found["redis Cluster"] == found["redis cluster-require-full-coverage"] == found["redis commands"] == "ok"
    assert found["redis slots"] == "ok"
    for server in cluster.servers:
        here = f"127.0.0.1:{server.port}"
        assert [found[f"{name} {here}"] for name in ("redis AOF", "redis version", "clock of Redis")] == ["ok"] * 3
