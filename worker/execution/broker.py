"""Celery's broker on Redis, for which every refusal of Redis's is a lost connection: connect again, and go on.

Theirs (kombu 5.7) knows a dozen errors that pass; all others, such as those of a failover (READONLY, UNBLOCKED,
MASTERDOWN, …), end the worker. And a connection that is never closed stays with the old primary for ever.
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
    """Theirs, on connections that leave a server that refuses."""


class SentinelChannel(_Leaving, theirs.SentinelChannel):
    """The same where Sentinel says who the primary is."""


class Transport(theirs.Transport):
    """Theirs, which takes every error of Redis's for one that passes."""

    Channel: type = Channel
    connection_errors = (*theirs.Transport.connection_errors, RedisError)
    channel_errors = tuple(error for error in theirs.Transport.channel_errors if not issubclass(error, RedisError))


class SentinelTransport(Transport):
    """The same where Sentinel says who the primary is."""

    default_port = theirs.SentinelTransport.default_port
    Channel: type = SentinelChannel


def use() -> None:
    """Let Celery find these under the names of theirs."""
    ours = dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport") | {"sentinel": f"{__name__}:SentinelTransport"}
    kombu.transport.TRANSPORT_ALIASES.update(ours)
