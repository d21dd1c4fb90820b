"""The one way to Redis: a client of whichever server is the primary now, without hidden retries.

With Sentinels every new connection asks them which server that is, and so does once a second whoever uses one (see
`following`). A connection ends with the server's first refusal, so nobody stays with a primary that became a replica.
Of a cluster see `Cluster`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from worker.config.redis_urls import RedisAddress, Topology, parse_redis_url
from worker.ledger.cluster import Cluster
from worker.ledger.following import following
from worker.ledger.redis_errors import leaving

_parse: Callable[[str], dict[str, Any]] = parse_url  # redis-py 8.1 does not annotate these
_Sentinel: Callable[..., Sentinel] = Sentinel
TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3.0
SENTINEL_TIMEOUT_S = 1.0  # one that does not answer is passed over


def connect(url: str, *, timeout_s: float | None = None) -> redis.Redis:
    """A client without hidden retries: the ledger repeats an operation itself, under the same number.

    timeout_s: for an answer; `TIMEOUT_S` unless it says otherwise.
    """
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    address = parse_redis_url(url)
    if address.topology is Topology.SENTINEL:
        return _primary(address, timeout_s)
    if address.topology is Topology.CLUSTER:
        seeds = [(one["host"], one["port"]) for one in map(_parse, address.servers)]
        return Cluster(seeds, partial(_server, options_of(address.servers[0], timeout_s)))
    client = redis.Redis.from_url(url, **_patience(timeout_s))
    client.connection_pool.connection_class = leaving(client.connection_pool.connection_class)
    return client


def _server(options: dict[str, Any], host: str, port: int) -> redis.Redis:
    """A client of this very server."""
    client = redis.Redis(host=host, port=port, **options)
    client.connection_pool.connection_class = leaving(client.connection_pool.connection_class)
    return client


def server_of(client: redis.Redis, key: str) -> redis.Redis:
    """The server that has this key, for commands without one: INFO, CONFIG GET. Raises redis-py's errors."""
    return client.of(key) if isinstance(client, Cluster) else client


def servers_of(client: redis.Redis) -> list[redis.Redis]:
    """Every server that has keys. Raises redis-py's errors."""
    return client.primaries() if isinstance(client, Cluster) else [client]


def _primary(address: RedisAddress, timeout_s: float) -> redis.Redis:
    options = options_of(address.primary, timeout_s)
    kind = SentinelManagedSSLConnection if options.pop("ssl", False) else SentinelManagedConnection
    named: Any = sentinels(address, timeout_s)
    client: redis.Redis = named.master_for(address.service, connection_class=leaving(following(kind)), **options)
    return client


def sentinels(address: RedisAddress, timeout_s: float = TIMEOUT_S) -> Sentinel:
    """The Sentinels of an address, which name the primary. They are asked in turn until one does."""
    every = [_parse(server) for server in address.servers]
    options = options_of(address.servers[0], min(timeout_s, SENTINEL_TIMEOUT_S))
    return _Sentinel([(one["host"], one["port"]) for one in every], sentinel_kwargs=options)


def options_of(url: str, timeout_s: float) -> dict[str, Any]:
    """How to connect to one server and to log in there, as redis-py's clients take it; without its host and port."""
    options = {name: value for name, value in _parse(url).items() if name not in ("host", "port")}
    tls = options.pop("connection_class", None) is SSLConnection
    return options | _patience(timeout_s) | ({"ssl": True} if tls else {})


def _patience(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, CONNECT_TIMEOUT_S),
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
