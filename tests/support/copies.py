"""Redis as it was, and back: a backup, or a replica that was promoted before it had the last writes."""

from __future__ import annotations

from typing import Any

import redis


class Copies:
    """The whole of Redis as it was, and back."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._values: dict[bytes, Any] = {}

    def make(self) -> None:
        keys: Any = self._redis.keys("*")
        self._values = {key: self._redis.dump(key) for key in keys}

    def put_back(self) -> None:
        self._redis.flushall()
        for key, value in self._values.items():
            self._redis.restore(key, 0, value)
