"""Who else has what Redis has, who may take over, and what that could cost. Managed servers may say only a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from worker.config.redis_urls import RedisAddress, Topology
from worker.ledger.cluster import Cluster
from worker.ledger.connection import sentinels, servers_of
from worker.ledger.redis_read import info as redis_info
from worker.services.doctor.check import Check, ok, warning, wrong
from worker.services.doctor.redis_checks import setting
from worker.services.labels import count

MAX_LAG_S = "10"  # min-replicas-max-lag, as Redis has it where nobody sets it
_CLOSED = (
    "set ERASER_REDIS_REPLICAS={replicas} for whoever requests (then what is confirmed is there too), or "
    "min-replicas-to-write 1 with at least two replicas; see docs/redis.md"
)


@dataclass(frozen=True, slots=True)
class Standby:
    """What could take over from one primary, and what keeps it from being ahead."""

    replicas: tuple[dict[str, Any], ...]  # those that are up, as INFO has them
    needed: int | None  # min-replicas-to-write; None: the server does not say
    max_lag_s: str
    confirmed: int | None  # ERASER_REDIS_REPLICAS of this process


def pinged(client: redis.Redis) -> dict[redis.Redis, bool]:
    """Every server, and whether it answers. Those of a cluster are pinged, once: each that hangs costs a timeout."""
    return {server: not isinstance(client, Cluster) or _answers(server) for server in servers_of(client)}


def servers(client: redis.Redis, address: RedisAddress, answers: Mapping[redis.Redis, bool]) -> Iterator[Check]:
    """Who names the primaries. `answers`: see `pinged`. Raises redis-py's errors."""
    if address.topology is Topology.SENTINEL:
        yield from _sentinels(address)
    if isinstance(client, Cluster):
        yield from _cluster(client, answers)


def each(client: redis.Redis, answers: Mapping[redis.Redis, bool]) -> Iterator[tuple[str, redis.Redis]]:
    """Every server that answers, and what its lines end with: nothing where there is one."""
    for server in _there(answers):
        yield f" {_where(server)}" if isinstance(client, Cluster) else "", server


def primary(client: redis.Redis, confirmed: int | None) -> Iterator[Check]:
    """One primary and its replicas. `confirmed`: ERASER_REDIS_REPLICAS. Raises redis-py's errors."""
    info = redis_info(client, "replication")
    if info.get("role") not in ("master", None):
        return  # said by the check of its role
    replicas = [found for name, found in info.items() if name.startswith("slave") and isinstance(found, dict)]
    standby = Standby(tuple(found for found in replicas if found.get("state") == "online"), *_needed(client), confirmed)
    yield _replicas("redis replicas", len(replicas), standby, info)
    yield _min_replicas("redis min-replicas-to-write", standby)
    yield failover("redis failover", standby)
    how = setting(client, "appendfsync")
    if confirmed == 0 and how != "always":
        found = f"ERASER_REDIS_REPLICAS=0, with appendfsync {how or 'unknown'}: nothing is confirmed"
        todo = "set appendfsync always, or ERASER_REDIS_REPLICAS to a number of replicas"
        yield wrong("redis own disk", found, todo)


def _needed(client: redis.Redis) -> tuple[int | None, str]:
    """min-replicas-to-write and min-replicas-max-lag."""
    needed = setting(client, "min-replicas-to-write")
    return int(needed) if needed else None, setting(client, "min-replicas-max-lag") or MAX_LAG_S


def _replicas(name: str, known: int, standby: Standby, info: dict[str, Any]) -> Check:
    end = int(info.get("master_repl_offset") or 0)
    found = ", ".join(
        f"{one['ip']}:{one['port']} ({_behind(end - int(one['offset']))}, heard of {one.get('lag', 0)} s ago)"
        for one in standby.replicas
    )
    if known > len(standby.replicas):
        why = f"{count(known - len(standby.replicas), 'replica')} not up" + (f"; up: {found}" if found else "")
        return warning(name, why, "see its log: until it has everything it must not take over")
    return ok(name, found or "none is known to this server")


def _behind(size: int) -> str:
    return f"{size:,} bytes behind" if size > 0 else "has everything"


def _min_replicas(name: str, standby: Standby) -> Check:
    if standby.needed is None:
        return ok(name, "unknown: CONFIG is forbidden here")
    if standby.needed > len(standby.replicas):
        found = f"{standby.needed}, with {_up(len(standby.replicas))}: it takes no writes"
        return wrong(name, found, "start its replicas")
    if standby.needed == len(standby.replicas) == 1:
        return warning(name, "1, with one replica: if either server fails, writes stop", "add a second replica")
    return ok(name, f"{standby.needed}" + (f", max-lag {standby.max_lag_s} s" if standby.needed else ""))


def _up(number: int) -> str:
    return f"{count(number, 'replica') if number else 'no replica'} up"


def failover(name: str, standby: Standby) -> Check:
    """In words: which accepted requests a failover could lose, and what setting closes that."""
    confirmed, up = standby.confirmed, len(standby.replicas)
    if confirmed and confirmed > up:
        found = f"ERASER_REDIS_REPLICAS={confirmed}, with {_up(up)}: each request is answered not_confirmed"
        return wrong(name, found, "start the replicas, or lower ERASER_REDIS_REPLICAS")
    if not up:
        return ok(name, "nothing takes over: while this server is down work waits, and its append-only file is all")
    if confirmed and confirmed >= up:
        return ok(name, f"costs nothing that was confirmed: ERASER_REDIS_REPLICAS={confirmed}, so each replica has it")
    if confirmed:
        found = f"may cost what was confirmed: {confirmed} of {up} replicas have it, and another one may take over"
        return warning(name, found, f"set ERASER_REDIS_REPLICAS={up}")
    crash = "may cost what was accepted in its last moment (milliseconds; the replicas' lag) if the primary dies"
    if standby.needed:
        window = f"and the last {standby.max_lag_s} s (min-replicas-max-lag) if it is cut off from them"
    else:
        window = "and all that it accepts until it learns of its successor if it is cut off from them"
    own = "; ERASER_REDIS_REPLICAS=0 is about this server's disk only" if confirmed == 0 else ""
    return warning(name, f"{crash}, {window}{own}", _CLOSED.format(replicas=up))


# -- Sentinels ---------------------------------------------------------------------------------------------------------


def _sentinels(address: RedisAddress) -> Iterator[Check]:
    """What each of the Sentinels says, and whether they could make a failover."""
    name, service = "redis Sentinels", address.service
    every = sentinels(address).sentinels
    answers = [about for one in every if (about := _about(one, service)) is not None]
    if not answers:
        yield wrong(name, f"none of {len(every)} answers for {service!r}", "start them, or correct ERASER_REDIS_URL")
        return
    named = {f"{one['ip']}:{one['port']}" for one in answers}
    if len(named) > 1:
        found = f"they name different primaries of {service!r}: {', '.join(sorted(named))}"
        yield wrong(name, found, "a failover is under way, or they do not reach each other: run it again in a moment")
        return
    (where,), known = named, max(int(one["num-other-sentinels"]) for one in answers) + 1
    quorum, down_s = int(answers[0]["quorum"]), int(answers[0]["down-after-milliseconds"]) / 1000
    found = (
        f"{len(answers)} of {len(every)} answer and name {where} as primary of {service!r}; "
        f"quorum {quorum} of {known}, a failover begins after {down_s:g} s of silence"
    )
    if len(answers) < max(quorum, known // 2 + 1):
        yield warning(name, f"{found}, but so few cannot make one", "start the other Sentinels")
    elif known < 3:
        yield warning(
            name, f"{found}; {known} are too few to survive one's failure", "have three or more, on hosts apart"
        )
    elif len(answers) < len(every):
        yield warning(name, found, "start the other Sentinels, or correct ERASER_REDIS_URL")
    else:
        yield ok(name, found)


def _about(sentinel: Any, service: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = sentinel.sentinel_master(service)
    except redis.RedisError:
        return None
    return found


# -- Cluster -----------------------------------------------------------------------------------------------------------


def _cluster(client: Cluster, answers: Mapping[redis.Redis, bool]) -> Iterator[Check]:
    """Whether each slot has a server that answers and stays there, and whether the others go on without it."""
    name, there = "redis Cluster", _there(answers)
    found = f"{len(there)} of {len(answers)} primaries answer"
    if client.unserved:
        yield wrong(name, f"{found}; {client.unserved:,} slots have no server", "redis-cli --cluster fix HOST:PORT")
    elif len(there) < len(answers):
        away = ", ".join(_where(server) for server in answers if not answers[server])
        yield wrong(name, f"{found}; the accounts of {away} wait", "start it, or a replica in its place")
    else:
        yield ok(name, f"{found}, and have every slot")
    yield from (check for server in there[:1] for check in _coverage(server))
    moving = {slot: _where(server) for server in there for slot in _moving(server)}
    for slot, where in sorted(moving.items()):
        found = f"slot {slot} of {where} is being moved: its account waits, and nothing of it is written meanwhile"
        yield warning("redis slots", found, f"let it end; if it was broken off: redis-cli --cluster fix {where}")
    if there and not moving:
        yield ok("redis slots", f"none is being moved; how to: {how_slots_move(redis_info(there[0], 'server'))}")


def how_slots_move(info: Mapping[str, Any]) -> str:
    """What a server offers to whoever moves slots."""
    if _at_least(info.get("valkey_version"), (9, 0)):
        return "atomically, by CLUSTER MIGRATESLOTS at the server that has them"
    if "valkey_version" not in info and _at_least(info.get("redis_version"), (8, 4)):
        return "atomically, by CLUSTER MIGRATION IMPORT at the server that gets them"
    return "few at a time, since key by key: their accounts wait meanwhile (atomically from Valkey 9.0 or Redis 8.4)"


def _at_least(version: Any, least: tuple[int, int]) -> bool:
    numbers = str(version).split(".")[:2]
    return all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= least


def _coverage(server: redis.Redis) -> Iterator[Check]:
    name = "redis cluster-require-full-coverage"
    value = setting(server, "cluster-require-full-coverage")
    if value == "yes":
        todo = "set cluster-require-full-coverage no: the accounts of the others then lose no time"
        yield warning(name, "yes: one primary that is away stops every account", todo)
    elif value is not None:
        yield ok(name, "no: one primary that is away stops its own accounts only")


def _moving(server: Any) -> list[int]:
    """The slots that leave this server."""
    try:
        nodes = server.execute_command("CLUSTER NODES")
    except redis.exceptions.ResponseError:  # forbidden
        return []
    own = (node["migrations"] for node in nodes.values() if "myself" in node["flags"])
    return [int(one["slot"]) for one in next(own, ()) if one["state"] == "migrating"]


def _there(answers: Mapping[redis.Redis, bool]) -> list[redis.Redis]:
    return [server for server, there in answers.items() if there]


def _answers(server: redis.Redis) -> bool:
    try:
        return bool(server.ping())
    except redis.RedisError:
        return False


def _where(server: redis.Redis) -> str:
    at = server.connection_pool.connection_kwargs
    return f"{at['host']}:{at['port']}"
