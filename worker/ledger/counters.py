"""What ever happened to an account's deletions, as the ledger's own moves counted it (see `lua/_counters.lua`).

No process keeps a count of its own: nothing is lost with one, and nothing has to be added up over them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import redis

from worker.ledger import values
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key

BOUNDS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)  # as in lua/_counters.lua

_NOT_ADDED_UP = "n:"  # fields of the gate


@dataclass(frozen=True, slots=True)
class Calls:
    """DELETE calls of one outcome."""

    by_bound: dict[float, int]  # ms, not cumulated; infinity for what took longer than all bounds
    ms: int = 0  # of all together

    @property
    def number(self) -> int:
        return sum(self.by_bound.values())


@dataclass(frozen=True, slots=True)
class Counters:
    """All of them at one moment."""

    events: dict[tuple[str, str], int] = field(default_factory=dict)  # ("deletion.died", "refused"); "": no detail
    calls: dict[str, Calls] = field(default_factory=dict)  # by outcome
    wakeups: int = 0


def read(client: redis.Redis, prefix: str) -> Counters:
    """Raises `Unreachable` when Redis does not answer."""
    pipe = client.pipeline(transaction=True)
    pipe.hgetall(prefix + Key.COUNTERS)
    pipe.get(prefix + Key.WAKEUP_COUNT)
    pipe.hgetall(prefix + Key.GATE)
    raw, wakeups, gate = read_redis(pipe.execute)
    counted = Counter({name: values.whole(number) for name, number in values.texts(raw).items()})
    for name, number in values.texts(gate).items():  # what turns counted in the last second: see `lua/take.lua`
        if name.startswith(_NOT_ADDED_UP):
            counted[name.removeprefix(_NOT_ADDED_UP)] += values.whole(number)
    return _parsed(counted, values.whole(wakeups))


def _parsed(raw: Mapping[str, int], wakeups: int) -> Counters:
    found = Counters(wakeups=wakeups)
    calls: dict[str, dict[float, int]] = {}
    for name, value in raw.items():
        match name.split(" "):
            case ["call", outcome, bound]:
                calls.setdefault(outcome, {})[float(bound)] = value
            case ["ms", _]:
                continue
            case [event, *detail]:
                found.events[event, " ".join(detail)] = value
    for outcome, by_bound in calls.items():
        found.calls[outcome] = Calls(by_bound, raw.get(f"ms {outcome}", 0))
    return found
