"""Reading from Redis: what cannot be read is said in words."""

from __future__ import annotations

from typing import Any

import redis

from worker.errors import Unreachable


def ask(read: Any, *args: Any, **options: Any) -> Any:
    """Call one of redis-py's reading methods. Raises `Unreachable` when Redis does not answer."""
    try:
        return read(*args, **options)
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        raise Unreachable(
            f"Redis does not answer ({type(error).__name__}); check that it runs and that ERASER_REDIS_URL is right"
        ) from None
