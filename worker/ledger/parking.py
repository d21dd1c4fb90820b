"""Messages that could not be recorded, put aside where people see them: none is dropped.

What becomes of one depends on why it is here, its kind. A group is a kind and what it is about: a project or a task.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import redis

from worker.ledger import scripts
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis
from worker.ledger.script_runner import BATCH
from worker.model.shares import batches

LENT_S = 60.0  # to the worker that tries it again; then it died on the way
MOST_KEPT = 1000  # of those whose contents are not kept; all are counted
_STRANGE = re.compile(r"[^0-9A-Za-z._-]+")


class ParkedKind(StrEnum):
    """Why a message could not be recorded."""

    REFUSED = "refused"  # by a rule or a setting of the worker that took it; another one may know better
    FAULT = "fault"  # of ours
    FOREIGN = "foreign"  # no task of ours: kept whole, for its owner
    BAD = "bad"  # a task of ours that nobody can carry out: why is told, its contents are not kept


@dataclass(frozen=True, slots=True)
class Parked:
    """One message. `raw` is all of it, so that it can go back to the broker; None: it is gone."""

    id: str
    task: str
    why: str
    at: float  # ms since 1970, the clock of the worker that parked it
    project: str | None = None
    job: str | None = None
    times: int = 1  # that it was parked
    raw: dict[str, Any] | None = None

    def line(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"), default=str)

    @classmethod
    def read(cls, line: bytes) -> Parked:
        """What `line` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Group:
    """The messages of one kind about one thing. Times in ms since 1970."""

    kind: ParkedKind
    what: str  # a project where it was refused, else the name of the task
    count: int  # that are kept
    ever: int  # that were parked since the group came to be
    since: float
    last: float
    why: str  # of the latest

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.what}"


def group_name(kind: ParkedKind, what: str) -> str:
    """The name under which people find it; what anybody may have sent is made harmless."""
    return f"{kind}:{_STRANGE.sub('_', what)[:64] or '-'}"


class Parking:
    """What is parked. Raises `Unreachable` when Redis does not answer, or takes no writes now."""

    def __init__(self, client: redis.Redis, keys: Keys = OURS, *, clock: str | None = None) -> None:
        self._client = client
        self._p = keys.parked
        self._clock = clock

    def park(self, kind: ParkedKind, what: str, message: Parked, *, wait_s: float = 0.0) -> str | None:
        """Put one aside. wait_s: until it may be tried again, if its kind ever is. Returns the group's name if this is
        its first message for a minute: one that is tried again is none.
        """
        most = 0 if message.raw is not None else MOST_KEPT
        found = self._run(
            "park", group_name(kind, what), message.line(), message.why, str(wait_s * 1000), most, message.times
        )
        return found.decode() if found else None

    def lend(self, group: str, most: int = BATCH) -> list[tuple[bytes, Parked]]:
        """Messages whose time has come, to nobody else for a minute."""
        return [(line, Parked.read(line)) for line in self._run("lend", group, most, str(LENT_S * 1000))]

    def unpark(self, group: str, lines: Sequence[bytes]) -> int:
        """Forget these. Returns how many were there."""
        return sum(self._run("unpark", group, *batch) for batch in batches(lines, BATCH))

    def groups(self) -> list[Group]:
        """Every group, the latest first."""
        found: dict[bytes, bytes] = read_redis(self._client.hgetall, f"{self._p}groups")
        pipe = self._client.pipeline(transaction=False)
        for name in found:
            pipe.zcard(f"{self._p}in:{name.decode()}")
        counts = read_redis(pipe.execute) if found else []
        made = [
            self._group(name.decode(), json.loads(text), n)
            for (name, text), n in zip(found.items(), counts, strict=True)
        ]
        return sorted((group for group in made if group.count), key=lambda group: -group.last)

    def each(self, group: str) -> Iterator[tuple[bytes, Parked]]:
        """Every message of a group."""
        for line in read_redis(self._client.zrange, f"{self._p}in:{group}", 0, -1):
            yield line, Parked.read(line)

    def try_to_write(self) -> None:
        """Whether Redis takes writes now, by one that changes nothing. Raises `Unreachable`."""
        read_redis(self._client.zrem, f"{self._p}in:-", "-")

    def _group(self, name: str, fields: dict[str, Any], count: int) -> Group:
        kind, _, what = name.partition(":")
        return Group(ParkedKind(kind), what, count, fields["n"], fields["since"], fields["last"], fields["why"])

    def _run(self, move: str, *args: Any) -> Any:
        return read_redis(scripts.load(move, clock=self._clock).run, self._client, self._p, *args)
