"""Checks of Redis: version, durability, eviction and memory. Managed servers may forbid CONFIG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from worker.ledger import rights, scripts
from worker.ledger.redis_read import info as redis_info
from worker.local.redis_server import COMPACT_VALUE, OLDEST
from worker.services.doctor.check import Check, ok, warning, wrong

MEMORY_MOST = 0.85  # above it requests are refused, so that waiting work can still finish
MEMORY_WARN = 0.70

# Commands sent besides those of the ledger's scripts. INFO and CONFIG GET are optional, so they are not listed.
SENT = frozenset(
    {
        *("EVAL", "EVALSHA", "EXEC", "MULTI", "PING", "SCAN", "SELECT", "TIME"),
        *("DEL", "EXISTS", "GET", "INCR", "SET", "TTL", "UNLINK"),
        *("HDEL", "HGET", "HGETALL", "HLEN", "HMGET", "HSCAN", "HSET"),
        *("LLEN", "LPUSH", "LRANGE", "LREM", "SADD", "SISMEMBER", "SMEMBERS"),
        *("XLEN", "XRANGE", "XREVRANGE"),
        *("BZPOPMIN", "ZADD", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREVRANGE", "ZSCAN", "ZSCORE"),
    }
)


def look(client: redis.Redis) -> Iterator[Check]:
    """Run every check of one server. Raises redis-py's errors."""
    info = redis_info(client)
    yield _version(info)
    if info.get("role") == "slave":
        yield wrong("redis role", "a replica: it takes no writes", "point ERASER_REDIS_URL at the primary")
    yield _aof(info)
    yield _fsync(setting(client, "appendfsync"), info)
    yield _policy(info.get("maxmemory_policy") or setting(client, "maxmemory-policy"))
    yield _memory(info)
    yield from _compact(setting(client, "hash-max-listpack-value"))


def needed() -> list[str]:
    """The commands that a user of Redis must be allowed to run for the ledger."""
    return sorted(SENT | scripts.commands_of_scripts())


def commands(client: redis.Redis, key: str) -> Iterator[Check]:
    """Whether this user may run all needed commands. No check on servers that cannot say: older and managed ones."""
    every = needed()
    try:
        refused = rights.refused(client, key, every)
    except redis.exceptions.NoPermissionError as error:
        yield wrong("redis commands", str(error), f"allow: {rights.rule(every)}")
        return
    if refused:
        yield wrong("redis commands", f"refused: {', '.join(refused)}", f"allow: {rights.rule(refused)}")
    elif refused is not None:
        yield ok("redis commands", f"all {len(every)} that are needed are allowed")


def setting(client: redis.Redis, name: str) -> str | None:
    """One setting of the server, or None if it does not tell."""
    try:
        response: Any = client.config_get(name)
    except (redis.exceptions.ResponseError, redis.exceptions.NoPermissionError):
        return None
    value: str | None = response.get(name)
    return value


def _version(info: Any) -> Check:
    name, oldest = "redis version", ".".join(map(str, OLDEST))
    version = str(info.get("redis_version", ""))
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return warning(name, f"unknown ({version[:20]!r})", f"make sure that it is {oldest} or newer")
    if numbers < OLDEST:
        return wrong(name, version, f"{oldest} or newer is needed")
    kind = f" ({info['server_name']} {info.get('valkey_version', '')})" if "server_name" in info else ""
    return ok(name, version + kind)


def _aof(info: Any) -> Check:
    name, todo = "redis AOF", "appendonly yes, appendfsync everysec (or always): otherwise a restart forgets requests"
    enabled = info.get("aof_enabled")
    if enabled is None:
        return warning(name, "unknown: Redis does not say", "make sure that it has an append-only file")
    if not int(enabled):
        return wrong(name, "off", f"set {todo}")
    if info.get("aof_last_write_status", "ok") != "ok":
        return wrong(name, "on, but the last write failed", "see Redis's log: is the disk full?")
    return ok(name, "on")


def _fsync(value: str | None, info: Any) -> Check:
    name = "redis appendfsync"
    match value:
        case "always":
            return ok(name, "always: accepted requests survive even a power cut")
        case "everysec":
            return ok(name, "everysec: a power cut may cost the last second")
        case "no":
            todo = "set appendfsync everysec, or always"
            return wrong(name, "no: the operating system decides when to write", todo)
        case _ if not int(info.get("aof_enabled") or 0):
            return warning(name, "does not matter while AOF is off", "set appendfsync everysec, or always")
        case _:
            return warning(name, "unknown: CONFIG is forbidden here", "ask your provider; everysec or always is needed")


def _policy(value: str | None) -> Check:
    name = "redis maxmemory-policy"
    if value is None:
        return warning(name, "unknown: CONFIG is forbidden here", "ask your provider; noeviction is needed")
    if value != "noeviction":
        todo = "set maxmemory-policy noeviction: any other evicts records when memory runs out"
        return wrong(name, str(value), todo)
    return ok(name, "noeviction")


def _compact(value: str | None) -> Iterator[Check]:
    """Whether a record with its history stays in Redis's compact encoding: 370 bytes per finished record, else 580."""
    if value is not None and value.isdecimal() and int(value) < COMPACT_VALUE:
        todo = f"set hash-max-listpack-value {COMPACT_VALUE}: a finished record then takes a third less"
        yield warning("redis hash encoding", f"hash-max-listpack-value {value}", todo)


def _memory(info: Any) -> Check:
    name = "redis memory"
    used, most = int(info.get("used_memory") or 0), int(info.get("maxmemory") or 0)
    if not most:
        return ok(name, f"{megabytes(used)} used, no limit set")
    found = f"{megabytes(used)} of {megabytes(most)} used ({used / most:.0%})"
    if used > most * MEMORY_MOST:
        return wrong(name, found, "give Redis more maxmemory, or let work finish: above 85 % requests are refused")
    if used > most * MEMORY_WARN:
        return warning(name, found, "plan for more maxmemory: 85 % is the limit")
    return ok(name, found)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1_048_576:,.0f} MB" if size >= 1_048_576 else f"{size / 1024:,.0f} kB"
