"""Celery's broker on Redis. Every refusal by Redis counts as a lost connection: connect again, and continue.

Kombu 5.7 treats a dozen errors as temporary; all others, such as those of a failover (READONLY, UNBLOCKED,
MASTERDOWN, …), end the worker. And a connection that is never closed stays with the old primary forever.
"""

from __future__ import annotations

from typing import Any

import kombu.transport
from kombu.transport import redis as theirs
from redis.exceptions import RedisError

from worker.ledger.redis_errors import leaving


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
