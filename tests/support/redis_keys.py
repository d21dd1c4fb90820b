"""Every key of ours in Redis: what it is, what ends it, and which of those that stand there nobody will ever take away.

The names of one account's keys are in `worker/ledger/schema/keys.py`, the others in `worker/ledger/keys.py`. A new one
needs a line there and one here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import redis

from tests.support.still import Still
from worker.ledger.connection import servers_of
from worker.ledger.schema.keys import Key

PAGE = 2000


@dataclass(frozen=True)
class Ends:
    """What ends a key, so that none stays for ever: `how` in words, and what can be seen of it.

    expires: Redis takes it away. of: the collection in which its `<…>` stands as long as it is needed, or several of
    them; `record` is that of the deletions. refs: its members are refs, each of which has a record. bounded: the most
    fields it may have.
    """

    how: str
    expires: bool = False
    of: str | None = None
    refs: bool = False
    bounded: int | None = None


INDEX = Ends("moves take refs in and out; forget.lua the last ones", refs=True)
ONE = Ends("nothing: it is a single one", bounded=500)
EXPIRES = Ends("Redis", expires=True)
ACCOUNT = {
    "d:<ref>": Ends("forget.lua, with its index", of="record"),
    "due:user": INDEX,
    "due:bulk": INDEX,
    "due:<lane>:<kind>": INDEX,
    "running": INDEX,
    "held": INDEX,
    "deleted": INDEX,
    "gone": INDEX,
    "dead": INDEX,
    "cancelled": INDEX,
    "discarded": INDEX,
    "discarded:users": Ends("forget.lua, restore.lua", refs=True),
    "erasure:<ref>": Ends("forget.lua, with the record", of="record"),
    "erasures": Ends("record_look.lua, with the last look", refs=True),
    "left": Ends("record_look.lua; forget.lua", refs=True),
    "verdicts": ONE,
    "parts": ONE,
    "assets": Ends("forget.lua, with the erasure"),
    "archived": ONE,
    "archived:<project>/<bucket>": Ends("forget.lua, bucket by bucket"),
    "counters": ONE,
    "ends:<hour>": EXPIRES,
    "groups": Ends("_groups.lua, with the last letter"),
    "letters:<group>": Ends("_groups.lua, with the last letter", of="groups"),
    "deadlines:<group>": Ends("_groups.lua, with the last letter", of="groups"),
    "gate": ONE,
    "failing:<family>": Ends("_breaker.lua, at the next sign of life"),
    "failing": Ends("_breaker.lua, at the next sign of life"),
    "forbidden": Ends("_breaker.lua, at the next DELETE of the project that is allowed"),
    "closures": Ends("_closures.lua, when it opens"),
    "probes": Ends("_closures.lua, when it opens"),
    "waiting": Ends("_wakeups.lua: who waits asks again or is forgotten"),
    "wakeups": Ends("_wakeups.lua: a wake-up arrives or counts as lost"),
    "wakeups:count": ONE,
    "texts": Ends("_policy_texts.lua: the oldest of a hundred"),
    "texts:used": Ends("_policy_texts.lua, an hour later"),
    "texts:wanted": Ends("forget.lua, after twenty minutes"),
    "receipts": Ends("trim.lua, once archived"),
    "receipts:chain": ONE,
    "receipts:redacted": Ends("trim.lua, once archived"),
    "receipts:seals": Ends("trim.lua, once archived"),
    "experiments": Ends("begin_experiment.lua, the oldest of more than ten"),
    "experiment:<job>": Ends("begin_experiment.lua, with its ref", of="experiments"),
    "recheck": ONE,
    "rechecks": Ends("forget.lua"),
    "recheck:<recheck>": Ends("forget.lua, with its id", of="rechecks"),
    "back": Ends("record_recheck.lua, when it is gone again; requested again it counts no more"),
    "audit": Ends("forget.lua"),
    "audit:<act>": Ends("forget.lua, with its id", of="audit"),
    "holds:jobs": Ends("release.lua"),
    "holds:users": Ends("release.lua"),
    "holds:ends": Ends("release.lua, forget.lua"),
    "holds:unknown": Ends("release.lua", refs=True),
    "users:projects": Ends("nothing: one a project"),
    "runs": Ends("forget.lua"),
    "run:<run>": Ends("forget.lua, with its id", of="runs"),
    "outcomes:<run>": Ends("forget.lua, with its id", of="runs"),
    "slots": Ends("nothing: one a policy", bounded=500),
    "replays": Ends("start.lua: the oldest of too many"),
    "replays:planned": Ends("start.lua; forget.lua what never begins"),
    "replays:feeding": Ends("_replays.lua, when it has ended"),
    "replay:<replay>": Ends("start.lua, with its id; forget.lua one that never began", of="replays replays:planned"),
    "replay-refs:<replay>": Ends("_replays.lua, when it has ended; forget.lua", of="replays replays:planned"),
    "deaths": ONE,
    "account": ONE,
    "projects": Ends("nothing: one a project", bounded=5000),
    "ops": Ends("forget.lua, after an hour"),
    "idem": Ends("forget.lua, after a day"),
    "clock": ONE,
    "outbox": Ends("fan_out.lua; forget.lua"),
    "webhooks": Ends("with its delivery"),
    "webhooks:ended": Ends("_deliveries.lua, the oldest of too many; forget.lua"),
    "webhooks:waiting:<endpoint>": Ends("_deliveries.lua, when it ends; forget.lua"),
    "webhook:<delivery>": Ends("with its name", of="webhooks"),
    "webhooks:due:<endpoint>": Ends("settle_delivery.lua; forget.lua"),
    "webhooks:dead:<endpoint>": Ends("replay_deliveries.lua; with its delivery"),
    "webhooks:counts": ONE,
    "damaged": Ends("a person: eraser damaged discard, or the deletion is asked for again"),
    "aside:<name>": Ends("undamage.lua and request.lua, with its name", of="damaged"),
}
INSTALLATION = {
    "workers": Ends("the dispatchers, an hour after the last beat"),
    "worker-info": Ends("the dispatchers, with `workers`", of=None),
    "wakeups": Ends("the dispatchers; one an account"),
    "now": Ends("the dispatchers, at once; one an account"),
    "dispatcher": EXPIRES,
    "schedule": ONE,
    "accounts": ONE,
    "projects": Ends("nothing: one a project", bounded=5000),
    "projects:past": Ends("nothing: one a project that moved", bounded=5000),
    "app-users:key": ONE,
    "replays": Ends("nothing: one an account and group", bounded=5000),
    "endpoints": Ends("a person: eraser webhooks remove", bounded=100),
    "console:session:<hash>": EXPIRES,
    "console:link:<hash>": EXPIRES,
    "console:tries:<hash>": EXPIRES,
    "{key:<hash>}": EXPIRES,
}
PARKED = {
    "groups": Ends("unpark.lua, with the last message", bounded=510),
    "in:<group>": Ends("unpark.lua, with its last message", of="groups"),
}
THEIRS = re.compile(r"_kombu\..*|unacked.*|.*\.reply\.celery\.pidbox|celery(ev)?(\..*)?|test:.*")  # Celery's


def described() -> set[str]:
    """The names that the schema knows."""
    return {key + (f"<{key.of}>" if key.of else "") for key in Key}


def pattern_of(name: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"<\w+>", "(.+)", re.escape(name).replace(r"\<", "<").replace(r"\>", ">")))


Table = dict[re.Pattern[str], tuple[str, Ends]]
OF_ACCOUNTS: Table = {pattern_of(name): (name, ends) for name, ends in reversed(ACCOUNT.items())}
OF_PARKING: Table = {pattern_of(name): (name, ends) for name, ends in PARKED.items()}
OF_INSTALLATIONS: Table = {pattern_of(name): (name, ends) for name, ends in INSTALLATION.items()}


def wrong_keys(client: redis.Redis | Still) -> list[str]:
    """What stands in Redis that nobody named, or that nobody will ever take away."""
    return sorted(_Look(client).wrong())


OWN = "(?:eraser|staging)"  # the namespaces of our tests
SHAPES = (
    (re.compile(rf"(?P<prefix>{OWN}:\{{[^}}]+\}}:)(?P<name>.+)", re.S), OF_ACCOUNTS),
    (re.compile(rf"(?P<prefix>\{{{OWN}:parked\}}:)(?P<name>.+)", re.S), OF_PARKING),
    (re.compile(rf"(?P<prefix>\{{?{OWN}:(wakeups\}}:)?)(?P<name>.+)", re.S), OF_INSTALLATIONS),
)
QUEUES = re.compile(rf"{OWN}(\.wakeups)?(\x06\x16\d)?")


@lru_cache(10_000)  # the same few names after each step of each schedule
def _named(key: str) -> tuple[str, str, Ends] | None:
    """Its prefix, what stands for `<…>` in its name, and what ends it."""
    for shape, table in SHAPES:
        if not (match := shape.fullmatch(key)):
            continue
        for pattern, (_, ends) in table.items():
            if inner := pattern.fullmatch(match["name"]):
                return match["prefix"], "/".join(inner.groups()), ends
        return None
    return None


class _Look:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._members: dict[str, set[str]] = {}

    def wrong(self) -> Iterator[str]:
        found: dict[tuple[str, Ends], list[tuple[str, str]]] = defaultdict(list)
        for key in (raw.decode() for one in servers_of(self._client) for raw in one.scan_iter(count=PAGE)):
            if THEIRS.fullmatch(key) or QUEUES.fullmatch(key):
                continue
            if (named := _named(key)) is None:
                yield (
                    f"{key}: no table names it: add it to tests/support/redis_keys.py and to schema/keys.py or "
                    f"worker/ledger/keys.py"
                )
                continue
            prefix, of, ends = named
            found[prefix, ends].append((key, of))
        for (prefix, ends), keys in found.items():
            yield from self._without_end(prefix, ends, keys)

    def _without_end(self, prefix: str, ends: Ends, keys: list[tuple[str, str]]) -> Iterator[str]:
        names = [key for key, _ in keys]
        if ends.expires:
            yield from (f"{key}: it has no expiry" for key, left in self._each(names, "pttl") if left == -1)
        if ends.of is not None and ends.of != "record":
            alive = {one for name in ends.of.split() for one in self._standing(prefix + name)}
            yield from (
                f"{key}: {of} is not in {ends.of}, so {ends.how} never comes to it"
                for key, of in keys
                if of not in alive and self._client.pttl(key) == -1
            )
        if ends.refs:
            for key in names:
                refs = sorted(self._standing(key))
                there = self._each([f"{prefix}d:{ref}" for ref in refs], "exists")
                yield from (f"{key}: {name} has no record" for name, found in there if not found)
        if ends.bounded is not None:
            sizes = ((key, self._client.hlen(key)) for key in names if self._client.type(key) == b"hash")
            yield from (f"{key}: {size} fields, and {ends.how}" for key, size in sizes if size > ends.bounded)

    def _each(self, keys: list[str], command: str) -> Iterator[tuple[str, Any]]:
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            pipe = self._client.pipeline(transaction=False)
            for key in page:
                getattr(pipe, command)(key)
            yield from zip(page, pipe.execute(), strict=True)

    def _standing(self, key: str) -> set[str]:
        if key not in self._members:
            kind: Any = self._client.type(key)
            read: dict[bytes, Callable[[], Iterable[bytes]]] = {
                b"zset": lambda: self._client.zrange(key, 0, -1),  # type: ignore[return-value]
                b"hash": lambda: self._client.hkeys(key),  # type: ignore[return-value]
                b"none": lambda: (),
            }
            self._members[key] = {member.decode() for member in read[kind]()}
        return self._members[key]
