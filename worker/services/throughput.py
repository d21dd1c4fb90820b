"""The last hour: how many deletions finished in each minute, counted by the ledger as they finished."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.execution.app_context import AppContext
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.values import texts, whole
from worker.model.states import State

MINUTES = 60
WELL = (State.DELETED, State.GONE)


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute; `at` in ms since 1970, Redis's clock."""

    at: float
    well: int = 0  # deleted or gone
    dead: int = 0

    @property
    def label(self) -> str:
        return f"{datetime.fromtimestamp(self.at / 1000, UTC):%H:%M}"


@dataclass(frozen=True, slots=True)
class Hour:
    """The last sixty minutes, the oldest first; the last one is not over."""

    minutes: tuple[Minute, ...]

    @property
    def well(self) -> int:
        return sum(minute.well for minute in self.minutes)

    @property
    def dead(self) -> int:
        return sum(minute.dead for minute in self.minutes)

    @property
    def last(self) -> Minute:
        """The last minute that is over."""
        return self.minutes[-2]

    @property
    def busiest(self) -> Minute:
        return max(self.minutes, key=lambda minute: minute.well + minute.dead)


def last_hour(app: AppContext, now: float) -> Hour:
    """The finished deletions of all accounts. Raises `Unreachable`."""
    last = int(now // 60_000)
    pipe = app.redis.pipeline(transaction=False)
    for account in app.settings.accounts:
        for hour in (last // 60 - 1, last // 60):
            pipe.hgetall(f"{app.keys.account(account)}{Key.ENDS}{hour}")  # see `lua/_counters.lua`
        pipe.hgetall(app.keys.account(account) + Key.GATE)  # `e:`: not there yet
    counted: Counter[str] = Counter()  # by minute and state: `29922070 deleted`
    for fields in read_redis(pipe.execute):
        for name, number in texts(fields).items():
            counted[name.removeprefix("e:")] += whole(number)
    return Hour(tuple(_minute(counted, number) for number in range(last - MINUTES + 1, last + 1)))


def _minute(counted: Counter[str], number: int) -> Minute:
    well = sum(counted[f"{number} {state}"] for state in WELL)
    return Minute(number * 60_000.0, well, counted[f"{number} {State.DEAD}"])
