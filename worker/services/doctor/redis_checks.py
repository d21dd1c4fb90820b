"""Checks of Redis: version, durability, eviction and memory. Managed servers may forbid CONFIG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from worker.ledger.keys import OURS
from worker.ledger.redis_errors import is_forbidden
from worker.ledger.redis_read import info as redis_info
from worker.ledger.scripts import commands_of_scripts
from worker.local.redis_server import COMPACT_VALUE, OLDEST

MEMORY_MOST = 0.85  # above it requests are refused, so that waiting work can still finish
MEMORY_WARN = 0.70

# Commands sent besides those of the ledger's scripts. INFO and CONFIG GET are optional, so they are not listed.
SENT = frozenset(
    {
        *("DEL", "EVAL", "EVALSHA", "EXISTS", "GET", "HDEL", "HGET", "HGETALL", "HLEN", "HMGET", "HSCAN", "HSET"),
        *(
            "INCR",
            "LLEN",
            "LPUSH",
            "LRANGE",
            "LREM",
            "PING",
            "SADD",
            "SCAN",
            "SELECT",
            "SET",
            "SISMEMBER",
            "SMEMBERS",
            "TIME",
        ),
        *("TTL", "UNLINK", "XLEN", "XRANGE", "XREVRANGE", "ZADD", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREM"),
        *("ZREVRANGE", "ZREVRANGEBYSCORE", "ZSCAN", "ZSCORE", "MULTI", "EXEC"),
    }
)
# Redis 7 and Valkey report it for their own users; no key is touched.
_MAY = """
local refused = {}
for _, name in ipairs(ARGV) do
  if not redis.acl_check_cmd(name, KEYS[1], '1', KEYS[1], KEYS[1]) then refused[#refused + 1] = name end
end
return refused
"""

Row = tuple[str, str, str, str]  # name, verdict, what was found, what to do


def look(client: redis.Redis) -> Iterator[Row]:
    """Run every check. Raises redis-py's errors."""
    info = redis_info(client)
    yield _version(info)
    if info.get("role") == "slave":
        yield "redis role", "wrong", "a replica: it takes no writes", "point ERASER_REDIS_URL at the primary"
    yield _aof(info)
    yield _fsync(_config(client, "appendfsync"), info)
    yield _policy(info.get("maxmemory_policy") or _config(client, "maxmemory-policy"))
    yield _memory(info)
    yield from _compact(_config(client, "hash-max-listpack-value"))
    yield from _commands(client)


def needed() -> list[str]:
    """The commands that a user of Redis must be allowed to run for the ledger."""
    return sorted(SENT | commands_of_scripts())


def _commands(client: redis.Redis) -> Iterator[Row]:
    """Whether this user may run all needed commands. No check on servers that cannot say: older and managed ones."""
    commands = needed()
    try:
        response: Any = client.eval(_MAY, 1, OURS.workers, *commands)
    except redis.exceptions.ResponseError as error:
        if is_forbidden(error):
            yield (
                "redis commands",
                "wrong",
                "EVAL is refused",
                f"allow: {' '.join(f'+{each.lower()}' for each in commands)}",
            )
        return
    if not response:
        yield "redis commands", "ok", f"all {len(commands)} that are needed are allowed", ""
        return
    refused = [name.decode() for name in response]
    todo = f"allow: {' '.join(f'+{each.lower()}' for each in refused)}"
    yield "redis commands", "wrong", f"refused: {', '.join(refused)}", todo


def _config(client: redis.Redis, name: str) -> str | None:
    """One setting of the server, or None if it does not tell."""
    try:
        response: Any = client.config_get(name)
    except (redis.exceptions.ResponseError, redis.exceptions.NoPermissionError):
        return None
    value: str | None = response.get(name)
    return value


def _version(info: Any) -> Row:
    name, oldest = "redis version", ".".join(map(str, OLDEST))
    version = str(info.get("redis_version", ""))
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return name, "warning", f"unknown ({version[:20]!r})", f"make sure that it is {oldest} or newer"
    if numbers < OLDEST:
        return name, "wrong", version, f"{oldest} or newer is needed"
    kind = f" ({info['server_name']} {info.get('valkey_version', '')})" if "server_name" in info else ""
    return name, "ok", version + kind, ""


def _aof(info: Any) -> Row:
    name, todo = "redis AOF", "appendonly yes, appendfsync everysec (or always): otherwise a restart forgets requests"
    enabled = info.get("aof_enabled")
    if enabled is None:
        return name, "warning", "unknown: Redis does not say", "make sure that it has an append-only file"
    if not int(enabled):
        return name, "wrong", "off", f"set {todo}"
    if info.get("aof_last_write_status", "ok") != "ok":
        return name, "wrong", "on, but the last write failed", "see Redis's log: is the disk full?"
    return name, "ok", "on", ""


def _fsync(value: str | None, info: Any) -> Row:
    name = "redis appendfsync"
    match value:
        case "always":
            return name, "ok", "always: accepted requests survive even a power cut", ""
        case "everysec":
            return name, "ok", "everysec: a power cut may cost the last second", ""
        case "no":
            return (
                name,
                "wrong",
                "no: the operating system decides when to write",
                "set appendfsync everysec, or always",
            )
        case _ if not int(info.get("aof_enabled") or 0):
            return name, "warning", "does not matter while AOF is off", "set appendfsync everysec, or always"
        case _:
            return (
                name,
                "warning",
                "unknown: CONFIG is forbidden here",
                "ask your provider; everysec or always is needed",
            )


def _policy(value: str | None) -> Row:
    name = "redis maxmemory-policy"
    if value is None:
        return name, "warning", "unknown: CONFIG is forbidden here", "ask your provider; noeviction is needed"
    if value != "noeviction":
        todo = "set maxmemory-policy noeviction: any other evicts records when memory runs out"
        return name, "wrong", str(value), todo
    return name, "ok", "noeviction", ""


def _compact(value: str | None) -> Iterator[Row]:
    """Whether a record with its history stays in Redis's compact encoding: 370 bytes per finished record, else 580."""
    if value is not None and value.isdecimal() and int(value) < COMPACT_VALUE:
        todo = f"set hash-max-listpack-value {COMPACT_VALUE}: a finished record then takes a third less"
        yield "redis hash encoding", "warning", f"hash-max-listpack-value {value}", todo


def _memory(info: Any) -> Row:
    name = "redis memory"
    used, most = int(info.get("used_memory") or 0), int(info.get("maxmemory") or 0)
    if not most:
        return name, "ok", f"{megabytes(used)} used, no limit set", ""
    found = f"{megabytes(used)} of {megabytes(most)} used ({used / most:.0%})"
    if used > most * MEMORY_MOST:
        return name, "wrong", found, "give Redis more maxmemory, or let work finish: above 85 % requests are refused"
    if used > most * MEMORY_WARN:
        return name, "warning", found, "plan for more maxmemory: 85 % is the limit"
    return name, "ok", found, ""


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1_048_576:,.0f} MB" if size >= 1_048_576 else f"{size / 1024:,.0f} kB"
