"""Notices a Redis that is older than the archive of its receipts, and goes on behind it.

After a restored backup, or a failover that lost writes, the files of days have receipts that Redis does not. It would
give their numbers again, and delete what was put on hold or cancelled since then. So, each step safe to repeat:

    1  the account is paused, until a person resumes it
    2  holds come back from their record beside the receipts (see `worker.receipts.hold_record`)
    3  what the lost receipts call cancelled or discarded is cancelled or discarded again
    4  a new segment of the chain begins where the files end (see `lua/begin_segment.lua`)

A Redis that has all receipts may have lost holds all the same: the number of their record tells, and 1 and 2 are done.
Without a receipt that both have, the files may be of another installation: then 3 and 4 are left out, and nothing is
archived. docs/restore.md is the drill.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.ledger.audit_actions import AuditAction
from worker.ledger.deletions import Ledger
from worker.ledger.receipts import Checkpoint, Receipts
from worker.model.target import Target
from worker.receipts.chain import linked
from worker.receipts.dayfiles import DayFiles, end_of
from worker.receipts.hold_record import HoldRecord
from worker.receipts.receipt import target_of
from worker.receipts.sealing import expanded, head_of

log = logging.getLogger(__name__)

BY = "archivist"
_WITHDRAWN = ("cancelled", "discarded")
_LOOKS = ("verified", "came_back", "gone_again")  # receipts of what was found, which change no state


@dataclass(frozen=True, slots=True)
class Behind:
    """How far Redis is behind. known: the last receipt that both have, None without one; n, head: the files' last."""

    archived: Checkpoint
    known: Checkpoint | None
    n: int
    head: str


def behind(receipts: Receipts, files: DayFiles) -> Behind | None:
    """None: Redis has all that the files have, or had it. Raises `DayFileWrong`, `Unreadable` and `Unreachable`."""
    archived, paths = receipts.progress().archived, files.paths()
    end = end_of(paths[-1]) if paths else {}
    last_n, head = int(end.get("last_n") or 0), head_of(receipts.account, archived)
    if last_n <= archived.n or end["head"] == head:
        return None
    known, here = Checkpoint(archived.n, archived.id, head), receipts.each(archived.id)
    for line in files.after(archived.n):
        if known.n == archived.n and (line["n"], line["prev"]) != (archived.n + 1, head):
            known = Checkpoint()
            break
        entry = next(here, None)
        if entry is None or linked(expanded(receipts.account, entry), str(known.head))["hash"] != line["hash"]:
            break
        known = Checkpoint(entry.n, entry.id, line["hash"])
    if known.n == last_n or receipts.progress().archived != archived:
        return None  # a worker archives them at this moment, or did not come to say so
    return Behind(archived, known if known.n else None, last_n, end["head"])


def catch_up(ledger: Ledger, files: DayFiles, found: Behind) -> None:
    """Go on behind the files. Raises `DayFileWrong`, `HoldRecordWrong`, `OSError` and `Unreachable`."""
    n = found.known.n if found.known else 0
    log.error("receipts.behind", extra={"account": ledger.account, "n": n, "last_n": found.n})
    action = AuditAction(of=f"Redis goes back to receipt {n:,} of {found.n:,}")
    because = f"Redis is older than its archive: it has receipts up to {n:,} of {found.n:,}"
    _pause_and_hold(ledger, files, because, action)
    if not found.known:
        return
    withdrawn = _withdrawn(files.after(n))
    discarded = [ref for ref, state in withdrawn.items() if state == "discarded"]
    for refs, withdraw in ((withdrawn, ledger.cancel), (discarded, ledger.discard)):
        withdraw(refs, why="withdrawn before Redis was restored, as its receipt says", by=BY, action=action)
    day = files.next_day()
    fields = {"was": found.archived.id, "known_n": n, "known_id": found.known.id, "day": day}
    begun = ledger.run_script("begin_segment", fields | {"n": found.n, "head": found.head})["begun"]
    if begun:
        log.warning("receipts.segment_begun", extra={"account": ledger.account, "n": found.n, "head": found.head})


def hold_again(ledger: Ledger, files: DayFiles) -> None:
    """Redis has all receipts, and is older than the record of holds all the same: where it lost some, they come back.
    Raises `HoldRecordWrong`, `OSError` and `Unreachable`."""
    if not HoldRecord(files.holds).is_ahead(ledger):
        return
    log.error("holds.behind", extra={"account": ledger.account})
    action = AuditAction(of="Redis goes back to earlier holds")
    _pause_and_hold(ledger, files, "Redis is older than its record of holds", action)


def _pause_and_hold(ledger: Ledger, files: DayFiles, because: str, action: AuditAction) -> None:
    ledger.pause(why=f"{because}. See docs/restore.md", by=BY, action=action)
    left = HoldRecord(files.holds).put_back(ledger, action)
    if left:
        why = f"{because}. Holds of app users that have to be entered again: {left:,}. See docs/restore.md"
        ledger.pause(why=why, by=BY, action=action)


def _withdrawn(lines: Iterator[dict[str, Any]]) -> dict[Target, str]:
    """What was cancelled or discarded at the end of these receipts."""
    found: dict[Target, str] = {}
    for line in lines:
        if line.get("event") in _LOOKS:
            continue
        ref = target_of(line)
        found.pop(ref, None)
        if line["state"] in _WITHDRAWN and line.get("event") is None:
            found[ref] = line["state"]
    return found
