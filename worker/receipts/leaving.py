"""Lets the records of deletions leave Redis once their receipts are archived: what stays of each is a mark.

A record leaves only for a receipt that was read back from a file just now, with the hash that it must have, and only
up to the receipt that every worker's directory has (see `archiving.Archivist`): where it is not shared, records stay
whole.
How far this has come stands in Redis, so whoever stops in the middle loses nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from worker.ledger.archived import Leaving
from worker.ledger.deletions import Ledger
from worker.ledger.receipts import Receipts
from worker.model.moments import ms_of
from worker.model.states import State
from worker.receipts import lookup
from worker.receipts.dayfiles import DayFiles, DayFileWrong, end_of, named, raw_lines
from worker.receipts.receipt import target_of
from worker.receipts.serialization import is_trailer

BATCH = 200  # records in one script: a few ms of Redis
MOST = 500  # such scripts in one turn
_OVER = (State.DELETED, State.GONE, State.CANCELLED)

log = logging.getLogger(__name__)


def let_records_leave(
    ledger: Ledger, directory: Path, *, until: int, stopping: Callable[[], bool] = lambda: False
) -> int:
    """Let the records leave of receipts up to number `until`; returns how many did. After at most `MOST` scripts the
    rest waits for the next turn.

    Raises `DayFileWrong`, `OSError` and `Unreachable`: what is left to do then is done whole or not at all.
    """
    was = Receipts(ledger.client, ledger.account, ledger.keys).progress().records
    lines, count = _after(DayFiles(directory, ledger.account), was, until), 0
    for _ in range(MOST):
        batch = list(islice(lines, BATCH))
        if not batch or stopping():
            break
        began, upto = time.monotonic(), batch[-1]["n"]
        left = ledger.archive_records([_leaving(one) for one in batch if one["state"] in _OVER], was=was, upto=upto)
        if left is None:
            break  # another worker does it
        was, count = upto, count + left
        time.sleep(time.monotonic() - began)  # at most half of Redis's time
    if count:
        log.info("records.archived", extra={"account": ledger.account, "count": count, "n": was})
    return count


def _leaving(line: dict[str, Any]) -> Leaving:
    return Leaving(target_of(line), line["n"], line["state"], ms_of(line["finished_at"]), line.get("erasure"))


def _after(files: DayFiles, n: int, until: int) -> Iterator[dict[str, Any]]:
    """Every receipt after number n, of files that end no later than `until`. Raises `DayFileWrong` for one that was
    altered, or is not in its place."""
    for path in files.paths():
        end = end_of(path)
        if (end["last_n"] or 0) > until:
            return
        if (end["last_n"] or 0) > n:
            yield from _lines(path, n, end)


def _lines(path: Path, n: int, end: dict[str, Any]) -> Iterator[dict[str, Any]]:
    prev, follows = None, max(n + 1, end["first_n"])
    for number, raw in enumerate(raw_lines(path), 1):
        if (at := lookup.NUMBER.match(raw)) and int(at[1]) <= n:
            continue
        line = lookup.genuine(raw)
        if line and is_trailer(line):
            break
        if line is None or (line["n"], line["prev"]) != (follows, prev or line["prev"]):
            raise DayFileWrong(f"{named(path)}: line {number:,} was altered. See `eraser receipts verify`")
        prev, follows = line["hash"], follows + 1
        yield line
    if prev != end["head"]:
        raise DayFileWrong(f"{named(path)}: it was cut or altered. See `eraser receipts verify`")
