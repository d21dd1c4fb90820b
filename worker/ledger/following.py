"""Connections to the primary that the Sentinels name: they end where another one is named, also while they wait.

A primary that was replaced may go on for many seconds before it learns of it. It takes writes, all of which are lost;
or it was paused for the failover and answers nothing. So whoever uses or waits on a connection asks the Sentinels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redis import exceptions

ASK_S = 1.0  # how long an answer of the Sentinels is believed, and that of the primary waited for, without a question
ASK_WAITING_S = 0.25  # by who has waited longer than that; nothing that works takes so long
REST = 3  # times as long as they took, where none of them named a primary: who asks may have to wait for each


class _Following:
    connection_pool: Any  # redis-py's proxy of the pool: whom the Sentinels named last
    _sock: Any
    host: str
    port: int
    socket_timeout: float | None
    can_read: Callable[[float], bool]
    disconnect: Callable[[], None]

    def connect(self) -> None:
        """A pool calls it before each use, too."""
        self.leave_replaced()
        super().connect()  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        if "timeout" not in options and self._sock is not None:
            self._wait(self.socket_timeout)
        return super().read_response(*args, **options)  # type: ignore[misc]

    def _wait(self, timeout_s: float | None) -> None:
        """Until there is something to read."""
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            slice_s = ASK_S
            while not self.can_read(slice_s):
                slice_s = ASK_WAITING_S
                if self.leave_replaced(believe_s=slice_s):
                    raise exceptions.ConnectionError("the Sentinels name another primary")
                if give_up is not None and time.monotonic() >= give_up:
                    raise exceptions.TimeoutError(f"no answer within {timeout_s:g} s")
        except BaseException:  # the answer to come would be taken for that of the next command
            self.disconnect()
            raise

    def leave_replaced(self, *, believe_s: float = ASK_S) -> bool:
        """Disconnect if the Sentinels name another server; returns whether they do."""
        if self._sock is None:
            return False
        _ask(self.connection_pool, believe_s)
        named = self.connection_pool.master_address
        replaced = named is not None and named != (self.host, self.port)
        if replaced:
            self.disconnect()
        return replaced


def _ask(named: Any, believe_s: float) -> None:
    """Ask the Sentinels, unless somebody did less than so many seconds ago. What they said stays with the proxy."""
    began = time.monotonic()
    if began < vars(named).get("ask_at", 0.0) - ASK_S + believe_s:
        return
    named.ask_at = began + ASK_S
    try:
        named.get_master_address()
    except exceptions.RedisError:  # the connection may be as good as ever
        now = time.monotonic()
        named.ask_at = now + max(ASK_S, REST * (now - began))


def following(connection_class: type) -> type:
    """The same class of a Sentinel's connections."""
    return type(connection_class.__name__, (_Following, connection_class), {})
