"""Rechecks of one account: whether what is deleted or gone is still gone. Who looked, when, by which key, and what
came of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from worker.ledger import values
from worker.ledger.archived import ArchivedRecords
from worker.ledger.deletions import Ledger
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.types import lean
from worker.ledger.values import Shape
from worker.model.states import State
from worker.model.target import Target

LEASE_S = 120.0  # of the worker that has the scheduled recheck: longer than a batch takes
_NEXT = {Key.DELETED.value: "gone 0 -", Key.GONE.value: f"{Key.ARCHIVED} 0 -"}  # where what follows an index begins
_OVER = (State.DELETED, State.GONE)


@dataclass(frozen=True, slots=True)
class RecheckRun:
    """One recheck. Times in ms since 1970, Redis's clock."""

    id: str
    account: str
    at: float
    last: float
    ended: float | None  # None: it goes on, or was interrupted
    by: str | None  # None: the schedule
    key: str  # the fingerprint of the credential
    since: float | None  # only what finished since then
    results: dict[str, int]  # gone, back, unknown


@dataclass(frozen=True, slots=True)
class RecheckTurn:
    """The scheduled recheck goes on here: everything up to the cursor was looked up."""

    id: str
    cursor: str
    started: float


_RUN = Shape(RecheckRun, results=None)


class Rechecks(AccountReader):
    """Reads them, and what is to be looked up. Raises `Unreachable` when Redis does not answer."""

    def newest(self) -> list[RecheckRun]:
        """Every run that is kept, the newest first."""
        ids: Any = read_redis(partial(self._client.zrange, self._p + Key.RECHECKS, 0, -1, desc=True))
        return [
            _RUN.read(fields, id=name, account=self.account, results=_results(fields))
            for name, fields in self._hashes(Key.RECHECK_RUN, values.names(ids))
        ]

    def after(self, cursor: str, until_ms: float, limit: int) -> tuple[list[Target], str]:
        """What follows a cursor and finished until then, and the next cursor; none follows: empty."""
        index, score, last = cursor.split(" ", 2)
        if index == Key.ARCHIVED:
            return self._archived(int(score), last, until_ms, limit)
        at, start = float(score), 0
        found: list[tuple[float, str]] = []
        while not found:
            page: Any = read_redis(
                partial(self._client.zrangebyscore, self._p + index, at, until_ms, start=start, num=limit + 1),
                withscores=True,
            )
            found = [(score, name.decode(errors="replace")) for name, score in page]
            found = [one for one in found if one > (at, last)][:limit]
            start += limit + 1
            if len(page) <= limit:
                break
        if not found:
            return self.after(_NEXT[index], until_ms, limit)
        return [Target.parse(name) for _, name in found], f"{index} {found[-1][0]!r} {found[-1][1]}"

    def _archived(self, bucket: int, last: str, until_ms: float, limit: int) -> tuple[list[Target], str]:
        """The same of those whose records have left Redis."""
        marks, (at, _, name) = ArchivedRecords(self._client, self.account, self._keys), last.partition("/")
        found: list[tuple[int, Target]] = []
        for project in sorted(project for project in marks.counts() if project >= at):
            place = (bucket, name) if project == at else (0, "")
            for number, ref, mark in marks.each(project, *place):
                if mark and mark.state in _OVER and mark.finished_at <= until_ms:
                    found.append((number, ref))
                if len(found) == limit:
                    return [ref for _, ref in found], f"{Key.ARCHIVED} {number} {ref}"
        return [ref for _, ref in found], f"{Key.ARCHIVED} {found[-1][0]} {found[-1][1]}" if found else ""


def begin(ledger: Ledger, *, key: str, by: str, since_ms: float | None) -> str:
    """A person's recheck begins. Returns its id."""
    options = lean({"id": secrets.token_hex(6), "key": key, "by": by, "since": since_ms})
    return str(ledger.run_script("begin_recheck", options)["id"])


def turn(ledger: Ledger, *, key: str, worker: str, every_s: float) -> RecheckTurn | float:
    """The scheduled recheck goes on in this worker; or when (ms) to ask again."""
    options: dict[str, Any] = {"id": secrets.token_hex(6), "key": key, "worker": worker}
    options |= {"lease": LEASE_S * 1000, "every": every_s * 1000}
    response = ledger.run_script("begin_recheck", options)
    if "next" in response:
        return float(response["next"])
    return RecheckTurn(response["id"], response["cursor"], float(response["started"]))


def record(
    ledger: Ledger,
    id: str | None,
    found: Mapping[Target, str],
    *,
    looks: Sequence[str | None],
    over: bool = False,
    moved: tuple[str, str] | None = None,
) -> bool:
    """Record at most 500 results, each with the X-Request-Id of its answer. moved: the cursor before and after.

    Returns False if another worker recorded these.
    """
    was, cursor = moved or (None, None)
    options = lean({"id": id, "over": over or None, "was": was, "cursor": cursor})
    options |= {"results": list(found.values()), "looks": [look or False for look in looks]}
    return bool(ledger.run_script("record_recheck", options, list(found))["recorded"])


def _results(fields: Mapping[str, str]) -> dict[str, int]:
    return {name: values.whole(fields.get(f"n:{name}")) for name in ("gone", "back", "unknown")}
