"""Redis as it runs in production, on loopback: a primary with replicas under three Sentinels, and a cluster.

    with SentinelSet() as redis_set:        # a primary, a replica and three Sentinels, in about two seconds
        redis_set.url                       # redis+sentinel://:PASSWORD@127.0.0.1:…,…/eraser
        redis_set.primary()                 # the `Server` that the Sentinels name; .url, .client(), .kill(), .start()
        redis_set.fail_over()               # a planned failover; returns the new primary once the Sentinels agree on it
        redis_set.cut_off(server)           # replicas and Sentinels no longer reach it, clients do; `reconnect` ends it
        redis_set.wait_until_complete()     # every server is a primary or a replica that is up, whatever happened
    with OneAddress() as pair:              # a primary and a replica; .url leads to it; .fail_over() is FAILOVER
    with ClusterSet() as cluster:           # three primaries with a third of the slots each; replicas=1: one more each
        cluster.url                         # redis+cluster://:PASSWORD@127.0.0.1:…,…
        cluster.owner(key)                  # the `Server` that has the key's slot
        with cluster.moving(key, to) as carry:  # its slot is on its way to another server; carry(): some of its keys
        cluster.move(key, to)               # the same atomically, by servers that can

Every server is a process of its own with a directory of its own, is started from the binary that the tests use anyway
(`worker.local.redis_server`), keeps its port when it is started again, and ends with its set. Clients have a password;
servers and Sentinels have a user of their own among each other, so that they alone can be cut off.
"""

from __future__ import annotations

import atexit
import contextlib
import random
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.support import scratch
from tests.support.between import Between
from tests.support.waiting import wait_until
from worker.local.redis_server import find_server

HOST = "127.0.0.1"
SERVICE = "eraser"
PASSWORD = "open-sesame"
PEER, PEER_PASSWORD = "peer", "among-peers"
_PORTS = range(12_000, 22_000)  # below those of outgoing connections, as is the bus of a cluster, 10,000 above
_SLOTS = 16_384
_ANSWER_S = 5.0
_GIVE_UP_MS = 1000
_AGREE_MS = 10_000  # Sentinels coordinate nothing that they would give up within a second
FAILOVER_S = 240.0  # a machine that stands still interrupts it, and it begins anew


class Server:
    """One process. `lines`: what its configuration says beside what all have."""

    def __init__(self, directory: Path, lines: Iterable[str] = (), *, password: str | None = PASSWORD) -> None:
        self.directory = directory
        self.password = password
        self.port = _free_port()
        self._lines = [*lines]
        self._arguments: list[str] = []
        self._popen: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen and self._popen.poll() is None else None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def client(self, **options: Any) -> redis.Redis:
        """A client of this very server, which tries everything once."""
        settings: dict[str, Any] = {"socket_timeout": _ANSWER_S, "retry": Retry(NoBackoff(), 0)}
        return redis.Redis(host=HOST, port=self.port, password=self.password, **settings | options)

    def start(self) -> None:
        """Start it, perhaps once more, and wait until it answers."""
        config = self.directory / "redis.conf"
        if not config.exists():
            config.write_text("\n".join(self._configuration()) + "\n", encoding="utf-8")
        with (self.directory / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                [find_server(), config, *self._arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what=f"the server on port {self.port} answers")

    def _configuration(self) -> list[str]:
        return [f"port {self.port}", f"bind {HOST}", f"dir {self.directory}", *self._lines]

    def _answers(self) -> bool:
        assert self.pid is not None, f"it ended at once:\n{self.log[-2000:]}"
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def freeze(self) -> None:
        assert self._popen is not None
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._popen is not None
        self._popen.send_signal(signal.SIGCONT)

    def info(self, section: str = "replication") -> dict[str, Any]:
        """What it says of itself; nothing where it does not answer."""
        with contextlib.suppress(redis.RedisError), self.client() as client:
            found: Any = client.info(section)
            return dict(found)
        return {}


class _Sentinel(Server):
    """Its periods are as short as it lets them be: what takes seconds in production takes tenths of a second here.

    usual: they are those that it has by itself.
    """

    def __init__(
        self, directory: Path, primary: Server, *, usual: bool, down_after_ms: int, password: str | None
    ) -> None:
        self._usual, self.give_up_ms = usual, _AGREE_MS if usual else _GIVE_UP_MS
        of_it = [
            f"monitor {SERVICE} {HOST} {primary.port} 2",
            f"down-after-milliseconds {SERVICE} {down_after_ms}",
            f"failover-timeout {SERVICE} {self.give_up_ms}",  # twice that until the next try, where votes were split
            f"auth-user {SERVICE} {PEER}",
            f"auth-pass {SERVICE} {PEER_PASSWORD}",
        ]
        lines = [f"sentinel {line}" for line in of_it] + ([f"requirepass {password}"] if password else [])
        super().__init__(directory, lines, password=password)
        self._arguments = ["--sentinel"]

    def start(self) -> None:
        super().start()
        if self._usual:
            return
        periods = {"info": 200, "ping": 100, "ask": 100, "publish": 200}
        periods["tilt"] = 500  # it stands still so long after it had no time: 30 s of a test on a busy machine else
        with self.client() as client, contextlib.suppress(redis.ResponseError):  # a server older than 7 waits longer
            words = [word for name, ms in periods.items() for word in (f"{name}-period", ms)]
            client.execute_command("SENTINEL", "DEBUG", *words)

    def ask(self, *words: str) -> Any:
        """The answer of `SENTINEL …`, as text; None where there is none."""
        with contextlib.suppress(redis.RedisError), self.client(decode_responses=True) as client:
            answer: Any = client.execute_command("SENTINEL", *words)
            return answer
        return None

    def names(self) -> int | None:
        """The port of the primary."""
        address = self.ask("GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(address[1]) if address else None

    def knows(self, sentinels: int, replicas: int) -> bool:
        """Whether it knows a primary that is well, so many other Sentinels, and so many replicas that are up."""
        primary, others = self.ask("MASTER", SERVICE) or {}, self.ask("REPLICAS", SERVICE) or []
        up = [one for one in map(_fields, others) if one.get("master-link-status") == "ok" and one["flags"] == "slave"]
        about = _fields(primary)
        return (about.get("flags"), about.get("num-other-sentinels"), len(up)) == ("master", str(sentinels), replicas)


class _Set(ABC):
    """Servers that come and go together."""

    def __init__(self) -> None:
        self.directory = scratch.directory("redis-")
        self.servers: list[Server] = []

    def __enter__(self) -> Self:
        atexit.register(self.stop)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start its servers, and wait until they know each other."""

    def _everything(self) -> list[Server]:
        return self.servers

    def is_valkey_9(self) -> bool:
        """Whether servers agree on a planned failover (`COORDINATED`) and move slots atomically (`move`)."""
        return int(self.servers[0].info("server").get("valkey_version", "0").partition(".")[0]) >= 9

    def stop(self) -> None:
        """Nothing of it is left behind, whatever state it was in."""
        atexit.unregister(self.stop)
        for server in self._everything():
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class SentinelSet(_Set):
    """A primary, its replicas, and Sentinels that agree on who is which.

    down_after_ms: silence after which a Sentinel calls the primary down. usual: see `_Sentinel`. lines: for the
    configuration of the servers.
    sentinel_password: what the Sentinels want of their clients.
    """

    def __init__(
        self,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        down_after_ms: int = 1_000,
        usual: bool = False,
        lines: Iterable[str] = (),
        sentinel_password: str | None = None,
    ) -> None:
        super().__init__()
        self.servers = [Server(self.directory / f"server-{n}", _durable(lines)) for n in range(replicas + 1)]
        self.sentinels = [
            _Sentinel(
                self.directory / f"sentinel-{n}",
                self.servers[0],
                usual=usual,
                down_after_ms=down_after_ms,
                password=sentinel_password,
            )
            for n in range(sentinels)
        ]

    @property
    def url(self) -> str:
        """As the settings have it."""
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}"

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for replica in self.servers[1:]:
            with replica.client() as client:
                client.replicaof(HOST, str(self.servers[0].port))
        for replica in self.servers[1:]:
            wait_until(lambda: replica.info().get("master_link_status") == "up", what="a replica is up")  # noqa: B023
        for sentinel in self.sentinels:
            sentinel.start()
        self.wait_until_complete()

    def _everything(self) -> list[Server]:
        return [*self.sentinels, *self.servers]

    def primary(self) -> Server:
        """The one that most of the Sentinels name."""
        named = [port for sentinel in self.sentinels if (port := sentinel.names())]
        port = max(named, key=named.count)
        return next(server for server in self.servers if server.port == port)

    def replicas(self) -> list[Server]:
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def wait_until_complete(self) -> None:
        """Every Sentinel knows the same primary, all replicas are up, and none is still failing over."""
        others, replicas = len(self.sentinels) - 1, len(self.servers) - 1
        wait_until(
            lambda: all(sentinel.knows(others, replicas) for sentinel in self.sentinels),  # type: ignore[attr-defined]
            what="the Sentinels know everything",
        )
        primary = self.primary()
        links = lambda: [server.info().get("master_link_status") for server in self.servers if server is not primary]  # noqa: E731
        wait_until(lambda: set(links()) <= {"up"}, what="every replica follows the primary, and has everything")
        wait_until(lambda: primary.info().get("connected_slaves") == replicas, what="the primary knows them")

    def wait_for_another(self, old: Server) -> Server:
        """The primary that the Sentinels agree on after `old`, once it takes writes."""

        def is_there() -> bool:
            new = self.primary()
            return new is not old and new.info().get("role") == "master"

        wait_until(is_there, FAILOVER_S, "the Sentinels name another primary, and it is one")
        return self.primary()

    def fail_over(self, *words: str) -> Server:
        """A planned failover: nothing is down. Returns the new primary, once it takes writes. words: COORDINATED."""
        old, planner = self.primary(), self.sentinels[0]
        if words:
            planner.ask("SET", SERVICE, "failover-timeout", str(_AGREE_MS))

        def is_over() -> bool:
            if planner.names() == old.port:
                planner.ask("FAILOVER", SERVICE, *words)  # once more where it gave up; refused while one is under way
                return False
            return self.primary() is not old and self.primary().info().get("role") == "master"

        wait_until(is_over, FAILOVER_S, "the Sentinels name another primary, and it is one", every=0.1)
        planner.ask("SET", SERVICE, "failover-timeout", str(planner.give_up_ms))
        return self.primary()

    def cut_off(self, server: Server) -> None:
        """Replicas and Sentinels no longer reach this server, and it goes on for its clients."""
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", PEER, "off")
            client.execute_command("CLIENT", "KILL", "USER", PEER)

    def reconnect(self, server: Server) -> None:
        """They reach it again, and if it is no longer the primary, what it wrote meanwhile goes."""
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", PEER, "on")
            # a Sentinel that came meanwhile was refused, and would not log in again on that connection
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class OneAddress(_Set):
    """A primary and its replica behind one address, which leads to whoever is the primary."""

    def __init__(self) -> None:
        super().__init__()
        self.servers = [Server(self.directory / f"server-{n}", _durable(())) for n in range(2)]
        self._way = Between(self.servers[0].port)

    @property
    def url(self) -> str:
        return self._way.url.replace("//", f"//:{PASSWORD}@")

    def start(self) -> None:
        self._way.__enter__()
        for server in self.servers:
            server.start()
        with self.servers[1].client() as client:
            client.replicaof(HOST, str(self.servers[0].port))
        self.wait_until_complete()

    def stop(self) -> None:
        self._way.__exit__()
        super().stop()

    def primary(self) -> Server:
        return next(server for server in self.servers if server.port == self._way.server)

    def wait_until_complete(self) -> None:
        links = lambda: [server.info().get("master_link_status", "up") for server in self.servers]  # noqa: E731
        wait_until(lambda: links() == ["up", "up"], what="the replica is up")

    def fail_over(self) -> Server:
        """They change places as `FAILOVER` does it, and the address follows. Returns the new primary."""
        old = self.primary()
        new = next(server for server in self.servers if server is not old)
        with old.client() as client:
            client.execute_command("FAILOVER", "TO", HOST, new.port, "TIMEOUT", _AGREE_MS)
        wait_until(lambda: new.info().get("role") == "master", what="it is the primary")
        self._way.server = new.port
        self._way.break_off()
        return new

    def wait_for_another(self, old: Server) -> Server:
        """It is there when `fail_over` returns."""
        return next(server for server in self.servers if server is not old)


class ClusterSet(_Set):
    """Three primaries (or more) that share the slots; `replicas` of each."""

    def __init__(self, *, primaries: int = 3, replicas: int = 0, lines: Iterable[str] = ()) -> None:
        super().__init__()
        own = ["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no"]
        lines = _durable([*own, "cluster-replica-validity-factor 0", *lines])
        self.servers = [Server(self.directory / f"server-{n}", lines) for n in range(primaries * (1 + replicas))]
        self.primaries, self.replicas = self.servers[:primaries], self.servers[primaries:]

    @property
    def url(self) -> str:
        """As the settings have it."""
        return f"redis+cluster://:{PASSWORD}@{','.join(f'{HOST}:{server.port}' for server in self.primaries)}"

    def start(self) -> None:
        count = len(self.primaries)
        bounds = [_SLOTS * n // count for n in range(count + 1)]
        for server in self.servers:
            server.start()
        for n, server in enumerate(self.primaries):
            self.command(server, "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
            self.command(server, "SET-CONFIG-EPOCH", n + 1)
        wait_until(self._met, what="every node knows every other", every=0.5)
        for n, replica in enumerate(self.replicas):
            self.command(replica, "REPLICATE", self.command(self.primaries[n % count], "MYID"))
        self.wait_until_complete()

    def command(self, server: Server, *words: Any) -> Any:
        """`CLUSTER …`, of one server."""
        with server.client(decode_responses=True) as client:
            return client.execute_command("CLUSTER " + str(words[0]), *words[1:])

    def _met(self) -> bool:
        """A node on a busy machine may forget whom it was to meet: it is told again."""
        if all(self._sees_all(server) for server in self.servers):
            return True
        for server in self.servers[1:]:
            self.command(server, "MEET", HOST, self.servers[0].port)
        return False

    def _sees_all(self, server: Server) -> bool:
        info = self.command(server, "INFO")
        found = info if isinstance(info, dict) else dict(line.split(":") for line in info.split())
        wanted = {"cluster_state": "ok", "cluster_known_nodes": str(len(self.servers)), "cluster_slots_ok": str(_SLOTS)}
        return wanted.items() <= {name: str(value) for name, value in found.items()}.items()

    def wait_until_complete(self) -> None:
        """Every slot is served, and every replica is up."""
        wait_until(lambda: all(self._sees_all(server) for server in self.servers), what="every slot is served")
        links = lambda: [server.info().get("master_link_status", "up") for server in self.servers]  # noqa: E731
        wait_until(lambda: set(links()) == {"up"}, what="every replica is up")

    def owner(self, key: str) -> Server:
        """The server that has the slot of this key, once there is one that is well."""
        slot, found = key_slot(key.encode()), list[Server]()
        wait_until(lambda: found.extend(self._owners(slot)) or found, what="the slot is served")  # type: ignore[func-returns-value]
        return found[0]

    @contextlib.contextmanager
    def moving(self, key: str, to: Server) -> Iterator[Callable[[int], int]]:
        """Inside, the slot is on its way; `carry(n)` takes so many of its keys there. At the end all of it is there."""
        slot, source = key_slot(key.encode()), self.owner(key)
        ids = {server: self.command(server, "MYID") for server in (source, to)}

        def carry(most: int) -> int:
            names = self.command(source, "GETKEYSINSLOT", slot, most)
            with source.client() as client:
                if names:
                    client.execute_command(
                        *("MIGRATE", HOST, to.port, "", 0, 5000, "AUTH2", PEER, PEER_PASSWORD, "KEYS", *names)
                    )
            return len(names)

        self.command(to, "SETSLOT", slot, "IMPORTING", ids[source])
        self.command(source, "SETSLOT", slot, "MIGRATING", ids[to])
        yield carry
        while carry(100):
            pass
        for server in (to, source):
            self.command(server, "SETSLOT", slot, "NODE", ids[to])

    def move(self, key: str, to: Server) -> None:
        """Its slot moves to another server atomically, and is there at the end."""
        slot, source = key_slot(key.encode()), self.owner(key)
        self.command(source, "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.command(to, "MYID"))
        wait_until(lambda: self.owner(key) is to, what="the slot is there")

    def _owners(self, slot: int) -> Iterator[Server]:
        """By what the first server that answers says."""
        answering = next(server for server in self.servers if server.info())
        with answering.client(decode_responses=True) as client:
            shards: Any = client.execute_command("CLUSTER SHARDS")
        for shard in map(_fields, shards):
            bounds, nodes = shard["slots"], [_fields(node) for node in shard["nodes"]]
            if any(low <= slot <= high for low, high in zip(bounds[::2], bounds[1::2], strict=True)):
                ports = [node["port"] for node in nodes if (node["role"], node["health"]) == ("master", "online")]
                yield from (server for server in self.servers if server.port in ports)


def _durable(lines: Iterable[str]) -> list[str]:
    """Of a server that holds data: durable as the documents ask for it, and quick to follow."""
    return [
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        f"requirepass {PASSWORD}",
        f"user {PEER} on >{PEER_PASSWORD} ~* &* +@all",
        f"masteruser {PEER}",
        f"masterauth {PEER_PASSWORD}",
        "repl-diskless-sync yes",
        "repl-diskless-sync-delay 0",
        "repl-ping-replica-period 1",
        *lines,
    ]


def _fields(answer: Any) -> dict[str, Any]:
    """Names and values in turn, however the client has it."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def _free_port() -> int:
    """Nobody listens on it, nor on that of its bus."""
    while True:
        port = random.choice(_PORTS)
        with (
            contextlib.suppress(OSError),
            socket.create_server((HOST, port)),
            socket.create_server((HOST, port + 10_000)),
        ):
            return port
