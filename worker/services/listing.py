"""Deletions in a state, page by page: never the whole index, however long it is.

A page continues where the last one ended, by time and not by position, so that changes in between shift
nothing. Several indexes (lanes, accounts) are merged; the place in each is part of the next page's address.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.records import Deletion
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes_of
from worker.model.errors import UsageError
from worker.model.states import State
from worker.model.target import Target

ROWS = 50
LOOKED_AT = 5_000  # the most ids that one page skips if few match the filter

_PLACE = re.compile(r"(-?inf|\d{1,16})\.(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deletions to list. Times in ms since 1970: when they finished, or are due."""

    state: State = State.DEAD
    group: str | None = None  # of dead letters
    project: str | None = None
    job: str = ""  # prefix of the job id
    since: float | None = None
    until: float | None = None

    @property
    def newest_first(self) -> bool:
        return self.state not in (State.PENDING, State.HELD, State.RUNNING)

    @property
    def head(self) -> int:
        """How many entries are read at once."""
        return 1_000 if self.job or self.project else ROWS + 1

    def passes(self, ref: Target) -> bool:
        return (self.project is None or ref.project_id == self.project) and ref.name.startswith(self.job)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page. `more`: the place where the next one starts, or None at the end."""

    rows: tuple[Deletion, ...]
    more: str | None
    total: int  # in the indexes, before the filters


@dataclass(frozen=True, slots=True)
class _Source:
    """One index and the place in it: a score, and how many entries with exactly that score were passed."""

    account: str
    key: str
    score: float  # infinite at the start
    passed: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    source: int
    ref: Target
    score: float


def page(app: AppContext, wanted: Wanted, place: str = "") -> Listed:
    """The page that starts at `place`: due ones soonest first, finished ones newest first. Raises `UsageError`."""
    sources = _sources(app, wanted, place)
    total = sum(int(read_redis(app.redis.zcard, source.key)) for source in sources)
    chosen: list[_Found] = []
    looked, more = 0, None
    while more is None and (heads := _heads(app, wanted, sources)):
        for found in heads:
            if len(chosen) == ROWS or looked >= LOOKED_AT:
                more = "_".join(map(_as_text, sources))
                break
            looked += 1
            sources[found.source] = _past(sources[found.source], found)
            if wanted.passes(found.ref):
                chosen.append(found)
    return Listed(tuple(_records(app, sources, chosen, wanted.state)), more, total)


def _heads(app: AppContext, wanted: Wanted, sources: Sequence[_Source]) -> list[_Found]:
    """The next entries of all sources in order. No longer than one read: beyond it another source might come first."""
    found = [one for number, source in enumerate(sources) for one in _read(app, wanted, source, number)]
    return sorted(found, key=lambda one: one.score, reverse=wanted.newest_first)[: wanted.head]


def _sources(app: AppContext, wanted: Wanted, place: str) -> list[_Source]:
    names: Sequence[str] = indexes_of(wanted.state)
    if wanted.group is not None:
        names = (Key.GROUP_LETTERS + wanted.group,)
    start, accounts = math.inf if wanted.newest_first else -math.inf, app.settings.accounts
    made = [_Source(account, app.keys.account(account) + name, start) for account in accounts for name in names]
    if not place:
        return made
    parts = place.split("_")
    if len(parts) != len(made):
        raise UsageError("the list has changed since this link was made: start again at the first page")
    return [_at(source, part) for source, part in zip(made, parts, strict=True)]


def _at(source: _Source, part: str) -> _Source:
    match = _PLACE.fullmatch(part)
    if match is None:
        raise UsageError("this link is not valid: start again at the first page")
    return replace(source, score=float(match[1]), passed=int(match[2]))


def _as_text(source: _Source) -> str:
    return f"{source.score:.0f}.{source.passed}"


def _read(app: AppContext, wanted: Wanted, source: _Source, number: int) -> list[_Found]:
    low = -math.inf if wanted.since is None else wanted.since
    high = math.inf if wanted.until is None else wanted.until
    ends = (min(high, source.score), low) if wanted.newest_first else (max(low, source.score), high)
    part: dict[str, Any] = {"offset": source.passed, "num": wanted.head, "desc": wanted.newest_first, "byscore": True}
    rows: Any = read_redis(partial(app.redis.zrange, source.key, *ends, withscores=True, **part))
    return [_Found(number, Target.parse(member.decode()), score) for member, score in rows]


def _past(source: _Source, found: _Found) -> _Source:
    return replace(source, score=found.score, passed=source.passed + 1 if source.score == found.score else 1)


def _records(app: AppContext, sources: Sequence[_Source], chosen: Iterable[_Found], state: State) -> Iterable[Deletion]:
    """Their records in the same order. A deletion that has changed its state in the meantime is left out."""
    due: dict[str, dict[Target, float]] = {}
    order = {}
    for number, found in enumerate(chosen):
        account = sources[found.source].account
        due.setdefault(account, {})[found.ref] = found.score
        order[account, found.ref] = number
    read = [d for account, some in due.items() for d in app.queries(account).rows(some)]
    return sorted((d for d in read if d.state is state), key=lambda d: order[d.account, d.ref])
