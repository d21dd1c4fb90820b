"""Celery's broker on Redis. Every refusal by Redis counts as a lost connection: connect again, and continue.

Kombu 5.7 treats a dozen errors as temporary; all others, such as those of a failover (READONLY, UNBLOCKED,
MASTERDOWN, …), end the worker. And a connection that is never closed stays with the old primary forever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import kombu.transport
from kombu.transport import redis as theirs
from redis.exceptions import RedisError

from worker.config.redis_urls import parse_redis_url
from worker.config.urls import masked
from worker.ledger.connection import SENTINEL_TIMEOUT_S, options_of
from worker.ledger.redis_errors import leaving


@dataclass(frozen=True, slots=True)
class Broker:
    """A URL as Celery writes it, and the transport options that belong to it."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """For people, without passwords."""
        return ", ".join(map(masked, self.url.split(";")))


def celery_broker(url: str) -> Broker:
    """A checked URL of the settings as Celery takes it.

    Of Sentinels each is a URL, which says how to log in at the primary; the service and how to log in at the Sentinels
    are transport options.
    """
    if not url.startswith("redis+sentinel://"):
        return Broker(url)
    address = parse_redis_url(url, "ERASER_BROKER_URL")
    primary = urlsplit(address.primary)
    theirs = f"{primary.netloc.rpartition('@')[0]}@" if "@" in primary.netloc else ""
    tail = f"{primary.path}?{primary.query}" if primary.query else primary.path
    hosts = [urlsplit(sentinel).netloc.rpartition("@")[2] for sentinel in address.servers]
    return Broker(
        ";".join(f"sentinel://{theirs}{host}{tail}" for host in hosts),
        {"master_name": address.service, "sentinel_kwargs": options_of(address.servers[0], SENTINEL_TIMEOUT_S)},
    )


class _Leaving:
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**found, "connection_class": leaving(found["connection_class"])}


class Channel(_Leaving, theirs.Channel):
    """Kombu's channel, on connections that are closed when the server refuses a command."""


class SentinelChannel(_Leaving, theirs.SentinelChannel):
    """The same, with Sentinel naming the primary."""


class Transport(theirs.Transport):
    """Kombu's transport, which treats every error of Redis as temporary."""

    Channel: type = Channel
    connection_errors = (*theirs.Transport.connection_errors, RedisError)
    channel_errors = tuple(error for error in theirs.Transport.channel_errors if not issubclass(error, RedisError))


class SentinelTransport(Transport):
    """The same, with Sentinel naming the primary."""

    default_port = theirs.SentinelTransport.default_port
    Channel: type = SentinelChannel


def use() -> None:
    """Register these classes under the names of kombu's transports."""
    ours = dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport") | {"sentinel": f"{__name__}:SentinelTransport"}
    kombu.transport.TRANSPORT_ALIASES.update(ours)
