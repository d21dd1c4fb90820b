"""Deletions that have ended and left Redis: what stays of each is a mark (see `lua/_archived.lua`), read here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from worker.ledger import values
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.model.states import State
from worker.model.target import Target

BUCKETS: Final = 1021  # of a project; also in `lua/_archived.lua`
_FORM: Final = re.compile(r"([dgc])([l-])([u-])([ynp])([wav-]) (\d+) (\d+) (\d+) (\d+)(?: ([^ @]+))?(?: @([^ @]+))?")
_STATES: Final = {"d": State.DELETED, "g": State.GONE, "c": State.CANCELLED}
_VERDICTS: Final = {"w": "whole", "a": "whole_by_acknowledgement", "v": "unverifiable"}
_SENT: Final = {"y": "yes", "n": "no", "p": "perhaps"}


@dataclass(frozen=True, slots=True)
class Archived:
    """What Redis still knows of a deletion that was archived. Times in ms since 1970."""

    state: State
    requested_at: float
    finished_at: float
    receipt: int  # the number of the receipt that has the rest
    round: int
    sent: str  # whether a DELETE was ever sent: yes, no or perhaps
    verdict: str | None
    account: str | None  # whose receipt it is; None: this account's
    line: dict[str, Any] | None = None  # that receipt, once it was found; the file where; or why it was not found
    file: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Leaving:
    """A receipt that is archived, and the deletion that may leave for it. `finished_at` in ms since 1970."""

    ref: Target
    n: int
    state: str
    finished_at: int
    verdict: str | None


def key_of(prefix: str, ref: Target) -> tuple[str, str]:
    """The bucket that a target's mark stands in, and its name there."""
    name = str(ref).partition("/")[2]
    return f"{prefix}{Key.ARCHIVED_MARKS}{ref.project_id}/{bucket_of(name)}", name


def bucket_of(name: str, bucket: int = 0) -> int:
    """The number of the bucket, as in `lua/_archived.lua`. bucket: that of what stands before."""
    for byte in name.encode():
        bucket = (bucket * 33 + byte) % BUCKETS
    return bucket


def read_mark(text: str) -> Archived | None:
    """None: it makes no sense."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    state, _, _, sent, verdict, at, took, n, round_, _, account = match.groups()
    began, ended = float(int(at) - int(took)), float(at)
    return Archived(_STATES[state], began, ended, int(n), int(round_), _SENT[sent], _VERDICTS.get(verdict), account)


class ArchivedRecords(AccountReader):
    """Reads one account's marks. Raises `Unreachable` when Redis does not answer."""

    def of(self, ref: Target) -> Archived | None:
        """What is left of a deletion; None: it was not archived, or is damaged."""
        text: Any = read_redis(self._client.hget, *key_of(self._p, ref))
        return read_mark(text.decode(errors="replace")) if text else None

    def counts(self) -> dict[str, Counter[State]]:
        """How many there are in each state, by project."""
        return counts(read_redis(self._client.hgetall, self._p + Key.ARCHIVED))

    def each(self, project: str, bucket: int = 0, name: str = "") -> Iterator[tuple[int, Target, Archived | None]]:
        """Every one of a project behind a name in a bucket, with its bucket; one that comes or goes meanwhile may be
        missing."""
        for number in range(bucket, BUCKETS):
            marks: Any = read_redis(self._client.hgetall, f"{self._p}{Key.ARCHIVED_MARKS}{project}/{number}")
            for found, text in sorted(values.texts(marks).items()):
                if number > bucket or found > name:
                    yield number, Target.parse(f"{project}/{found}"), read_mark(text)


def counts(raw: dict[bytes, bytes]) -> dict[str, Counter[State]]:
    """What the hash `archived` says, by project."""
    found: dict[str, Counter[State]] = {}
    for field, many in values.texts(raw).items():
        project, _, word = field.partition(" ")
        if (state := values.state(word)) is not None:
            found.setdefault(project, Counter())[state] = max(0, values.whole(many))
    return found
