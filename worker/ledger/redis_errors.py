"""What an error of Redis's means: "not now", which passes and is waited for, or a fault of ours, which is raised.

Redis refuses for many reasons: it restarts, loads, follows another primary, misses its replicas, is busy, full, or
was replaced by a server with other users. All of them are one thing to us: an outage. So the faults are listed here,
and every other code counts as "not now", also one that a later version or a proxy invents.
"""

from __future__ import annotations

import re
from typing import Any

import redis
from redis import exceptions
from redis.sentinel import MasterNotFoundError

# Codes of replies that say that the command itself was wrong: it would be as wrong later.
_FAULTS = {"ERR", "WRONGTYPE", "NOSCRIPT", "EXECABORT", "CROSSSLOT", "BUSYGROUP", "NOGROUP", "BUSYKEY", "INVALIDOBJ"}
# redis-py cuts these codes off the message and gives the error a class instead.
_NOT_NOW = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.AskError,
    exceptions.MovedError,
    exceptions.NoPermissionError,
)
# The code of a reply; Redis 6.2 puts that of a command in a script behind "Error running script (call to …): … -".
_CODE = re.compile(r"(?:^|-)([A-Z]{3,}) ")
# Refusals without a code: of a script's command, and of a command that this server does not have, or not yet.
_REFUSED = re.compile(
    r"ACL failure in script|user executing the script can't|unknown (?:redis )?command", re.IGNORECASE
)
# Waiting a few seconds will not help: a person has to know at once.
FOR_A_PERSON = (exceptions.OutOfMemoryError, exceptions.AuthenticationError, exceptions.NoPermissionError)


def is_forbidden(error: redis.RedisError) -> bool:
    """Whether this server lets this user not run the command, or does not have it."""
    return isinstance(error, exceptions.NoPermissionError) or _REFUSED.search(str(error)) is not None


def is_away(error: redis.RedisError) -> bool:
    """Whether Redis may well do the same thing later."""
    if not isinstance(error, exceptions.ResponseError):
        return isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | exceptions.InvalidResponse)
    if isinstance(error, _NOT_NOW):
        return True
    text = str(error)
    code = _CODE.search(text)
    return bool(code and code[1] not in _FAULTS) or _REFUSED.search(text) is not None


def why_away(error: redis.RedisError) -> str:
    """What is wrong and what to do, for people."""
    match error:
        case exceptions.AuthenticationError():
            return "Redis refuses the password; check ERASER_REDIS_URL"
        case MasterNotFoundError():
            return (
                "the Sentinels name no primary that is up: if it fails over, try again in a moment; otherwise check "
                "the Sentinels, and the service and sentinel_password in ERASER_REDIS_URL"
            )
        case exceptions.AskError() | exceptions.TryAgainError():
            return "the cluster moves this account's slot to another server: nothing was done; try again in a moment"
        case exceptions.ClusterDownError():
            return "no server of the cluster has this account's slot now: start it, or a replica in its place"
        case exceptions.ResponseError() if is_forbidden(error):
            return f"the Redis user lacks permissions ({str(error)[:80]}); `eraser doctor` lists what to allow"
        case exceptions.OutOfMemoryError():
            return "Redis is full (maxmemory): nothing was recorded; give it memory or let work finish, then try again"
        case exceptions.ResponseError():
            return f"Redis takes no writes now ({str(error)[:80]}); check its disk and its role, then try again"
    return (
        f"Redis does not answer ({type(error).__name__}); check that it runs and that ERASER_REDIS_URL is right, "
        "then try again"
    )


class _Leaving:
    """A connection that is not used again once its server said "not now": it may follow another primary by now, and
    the address that we know lead elsewhere."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except exceptions.ResponseError as error:
            if is_away(error) and not isinstance(error, exceptions.OutOfMemoryError | exceptions.NoPermissionError):
                self.mark_for_reconnect()  # type: ignore[attr-defined]
            raise


def leaving(connection_class: type) -> type:
    """The same class of connections; a server that refuses is left at the end of the command."""
    if issubclass(connection_class, _Leaving):
        return connection_class
    return type(connection_class.__name__, (_Leaving, connection_class), {})
