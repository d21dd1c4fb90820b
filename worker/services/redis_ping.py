"""Is Redis reachable? Checked once, before anything else, so that the error comes within a few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import redis

from worker.config.urls import masked
from worker.ledger.connection import connect
from worker.ledger.redis_errors import is_away, why_away
from worker.model.errors import Unreachable

T = TypeVar("T")

PATIENCE_S = 3.5  # together with the start of the program less than the promised 5 s
_NEXT = "check that it runs and that ERASER_REDIS_URL is right (`eraser doctor` has details); nothing was done"


def require_redis(url: str, *, patience_s: float | None = None) -> None:
    """Raise `Unreachable` unless Redis answers. In a thread, because name lookups have no timeout.

    patience_s: `PATIENCE_S` unless it says otherwise.
    """
    patience_s = PATIENCE_S if patience_s is None else patience_s

    def ping() -> None:
        with connect(url, timeout_s=patience_s) as client:
            client.ping()

    try:
        in_time(ping, patience_s)
    except Exception as error:
        raise Unreachable(f"Redis at {masked(url)} {_why(error)}: {_NEXT}") from None


def no_writes(client: redis.Redis, key: str) -> str:
    """Why Redis answers reads but accepts no writes now; empty: it accepts them. Tested with a write that changes
    nothing.

    key: any of our sorted sets. Raises `Unreachable` if Redis does not answer at all.
    """
    try:
        client.zrem(key, "-")
    except redis.exceptions.NoPermissionError:  # this user may only read: what others may is not known
        return ""
    except redis.exceptions.ResponseError as error:
        return str(error) if is_away(error) else ""
    except redis.RedisError as error:
        raise Unreachable(why_away(error)) from None
    return ""


def in_time(work: Callable[[], T], patience_s: float) -> T:
    """What `work` returns or raises; `TimeoutError` if it does not end in time: then it is left running."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(patience_s)


def _why(error: Exception) -> str:
    if isinstance(error, redis.exceptions.AuthenticationError):
        return "refuses the user or the password"
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return "is still loading its data; try again in a moment"
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return "gives no answer"
    if isinstance(error, redis.exceptions.ConnectionError):
        return "cannot be reached"
    return f"answers with an error ({type(error).__name__})"
