"""Celery's broker on Redis. Every refusal by Redis counts as a lost connection: connect again, and continue.

Kombu 5.7 treats a dozen errors as temporary; all others, such as those of a failover (READONLY, UNBLOCKED,
MASTERDOWN, …), end the worker. And a connection that is never closed stays with the old primary forever.
"""

from __future__ import annotations

from typing import Any

import kombu.transport
from kombu.transport import redis as theirs
from redis.exceptions import RedisError

from worker.ledger.following import ASK_S, following
from worker.ledger.redis_errors import leaving


class Channel(theirs.Channel):
    """Kombu's channel, on connections that are closed when the server refuses a command."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**found, "connection_class": leaving(found["connection_class"])}


class SentinelChannel(theirs.SentinelChannel):
    """The same, with Sentinel naming the primary."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**found, "connection_class": leaving(following(found["connection_class"]))}

    def leave_replaced(self) -> None:
        """Disconnect where it waits for messages: kombu connects anew. All other connections look before each use."""
        for name in ("client", "subclient"):
            connection = getattr(vars(self).get(name), "connection", None)  # made when it is needed first
            if connection is not None:
                connection.leave_replaced()


class Transport(theirs.Transport):
    """Kombu's transport, which treats every error of Redis as temporary."""

    Channel: type = Channel
    connection_errors = (*theirs.Transport.connection_errors, RedisError)
    channel_errors = tuple(error for error in theirs.Transport.channel_errors if not issubclass(error, RedisError))


class SentinelTransport(Transport):
    """The same, with Sentinel naming the primary."""

    default_port = theirs.SentinelTransport.default_port
    Channel: type = SentinelChannel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        loop.call_repeatedly(ASK_S, self._leave_replaced)

    def _leave_replaced(self) -> None:
        for channel in self.cycle._channels:  # type: ignore[union-attr]
            channel.leave_replaced()


def use() -> None:
    """Register these classes under the names of kombu's transports."""
    ours = dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport") | {"sentinel": f"{__name__}:SentinelTransport"}
    kombu.transport.TRANSPORT_ALIASES.update(ours)
