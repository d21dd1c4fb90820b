"""A walk through several indexes in one order: by score, then account, index and member, forwards or backwards.

It goes on behind a place, whatever left or entered the indexes meanwhile: what stayed is passed once and never skipped.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.ledger import scripts
from worker.ledger.redis_read import AccountReader, read_redis


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """An entry, by where it stands in the order. As text it is a cursor: opaque, and safe in an address."""

    score: float
    account: str
    index: str
    member: bytes

    def __str__(self) -> str:
        member = self.member.decode(errors="surrogateescape")  # another program may have written anything
        text = json.dumps([self.score, self.account, self.index, member], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Place:
        """Read what `str` wrote. Raises `ValueError` for anything else."""
        try:
            found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
            score, account, index, member = found
            place = cls(float(score), account, index, member.encode(errors="surrogateescape"))
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise ValueError("not a cursor") from None
        if str(place) != cursor or not math.isfinite(place.score):
            raise ValueError("not a cursor")
        return place


@dataclass(frozen=True, slots=True)
class Span:
    """Which entries: between two scores, from one end to the other, behind a place; of each index at most `count`."""

    newest_first: bool
    since: float | None
    until: float | None
    after: Place | None
    count: int

    def start(self, account: str, index: str) -> tuple[float, str, bytes]:
        """Where an index goes on: a score, "(" if that score is over there, and the member to go on behind."""
        bound, beginning = (self.until, math.inf) if self.newest_first else (self.since, -math.inf)
        first, after = beginning if bound is None else bound, self.after
        if after is None or (after.score > first if self.newest_first else after.score < first):
            return first, "", b""
        here, there = (account, index), (after.account, after.index)
        if here == there:
            return after.score, "", after.member
        return after.score, "(" if (here > there) == self.newest_first else "", b""

    def holds(self, score: float) -> bool:
        return (self.since is None or score >= self.since) and (self.until is None or score <= self.until)

    def in_order(self, places: Iterable[Place]) -> list[Place]:
        """The first ones. No more than one read has: behind that another index might come first."""
        return sorted(places, reverse=self.newest_first)[: self.count]


class IndexWalk(AccountReader):
    """Reads the indexes of one account. Raises `Unreachable` when Redis does not answer."""

    def read(self, indexes: Sequence[str], span: Span) -> tuple[int, list[Place]]:
        """How many entries the indexes have, and the next ones of each."""
        if not indexes:
            return 0, []
        way, bound, end = ("down", span.since, -math.inf) if span.newest_first else ("up", span.until, math.inf)
        args: list[str | int | bytes] = [way, _text(end if bound is None else bound), span.count]
        for index in indexes:
            score, over, member = span.start(self.account, index)
            args += [index, over + _text(score), member]
        response = read_redis(scripts.load("read_indexes").run, self._client, self._p, *args)
        found = [
            Place(float(score), self.account, index, member)
            for index, (_, *entries) in zip(indexes, response, strict=True)
            for member, score in zip(entries[::2], entries[1::2], strict=True)
        ]
        return sum(card for card, *_ in response), [place for place in found if span.holds(place.score)]


def _text(score: float) -> str:
    return repr(score) if math.isfinite(score) else "+inf" if score > 0 else "-inf"
