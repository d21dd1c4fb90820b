"""Seals new receipts in the stream of an account, and reads sealed ones while checking the chain.

The chain is a function of the entries alone. So every read computes it again, and detects what was altered or
dropped inside Redis after it was sealed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from worker.ledger.deletions import Ledger
from worker.ledger.keys import OURS, Keys
from worker.ledger.receipts import PAGE, Checkpoint, ReceiptEntry, Receipts, unsealed
from worker.ledger.schema.states import VERSION as SCHEMA
from worker.model.errors import EraserError, OtherSchema
from worker.receipts.chain import genesis, linked
from worker.receipts.receipt import sealable

log = logging.getLogger(__name__)

SEAL_S = 1.0  # how long a receipt may be unsealed
LATELY_S = 5.0  # how long an account is checked each second after it was active


class Broken(EraserError):
    """Receipts in Redis were changed after they were sealed.

    `first` and `last`: numbers between which the break is. `until`: the next seal, from where the chain continues.
    """

    def __init__(self, account: str, first: int, last: int, why: str, *, until: Checkpoint) -> None:
        which = f"receipt {first:,}" if first == last else f"a receipt from {first:,} to {last:,}"
        super().__init__(f"account {account}: {which} in Redis was changed after it was sealed: {why}")
        self.first = first
        self.last = last
        self.until = until


class Unreadable(EraserError):
    """An entry of the stream is not a receipt: another program wrote into it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A receipt with `prev` and `hash`, and its place in the stream."""

    checkpoint: Checkpoint
    settled_ms: int
    values: dict[str, Any]


def seal(ledger: Ledger, *, most: int = PAGE) -> bool:
    """Seal at most so many. Returns whether there are more. If two seal at once, the second changes nothing."""
    receipts = Receipts(ledger.client, ledger.account, ledger.keys)
    was = receipts.progress().sealed
    entries = receipts.read_page(was.id, limit=most)
    if not entries:
        return False
    head = head_of(ledger.account, was)
    for entry in entries:
        head = str(linked(expanded(ledger.account, entry), head)["hash"])
    ledger.run_script("seal", {"was": was.id, "n": entries[-1].n, "id": entries[-1].id, "head": head})
    return len(entries) == most


def seal_all(ledger: Ledger) -> None:
    """Seal all receipts that are there now."""
    while seal(ledger):
        pass


@dataclass
class Sealer:
    """Seals receipts while this worker dispatches: each second for active accounts."""

    ledger: Callable[[str], Ledger]
    keys: Keys = OURS
    clock: Callable[[], float] = time.monotonic
    _lately: dict[str, float] = field(default_factory=dict)
    _next: float = field(default=float("-inf"))

    def tick(self, client: redis.Redis, at_work: Collection[str], also: Collection[str] = ()) -> None:
        """Seal a page of each account with new receipts: active ones each second, others from time to time.

        An internal error here must not stop the dispatcher. Raises redis-py's errors and `Unreachable`.
        """
        now = self.clock()
        self._lately |= dict.fromkeys(at_work, now + LATELY_S)
        accounts = {*(self._lately if now >= self._next else ()), *also}
        if not accounts:
            return
        self._next = now + SEAL_S
        for account in unsealed(client, accounts, self.keys):
            try:
                if seal(self.ledger(account)):
                    self._lately[account] = now + LATELY_S
                    self._next = now
            except Unreadable as error:
                log.error("receipts.unreadable", extra={"account": account, "error": str(error)})
        self._lately = {account: until for account, until in self._lately.items() if until > now}


def head_of(account: str, checkpoint: Checkpoint) -> str:
    """The chain's head at a place."""
    return checkpoint.head or genesis(account)


def sealed_lines(receipts: Receipts, after: Checkpoint, until: Checkpoint) -> Iterator[Line]:
    """Every line after a place, up to another one; each is compared with the next seal before it is returned.

    Raises `Broken`.
    """
    for seal_ in receipts.seals(after, until) if until.n > after.n else ():
        yield from _between(receipts, after, seal_)
        after = seal_


def _between(receipts: Receipts, after: Checkpoint, until: Checkpoint) -> list[Line]:
    head, lines = head_of(receipts.account, after), []
    for entry in receipts.each(after.id, until=until.id):
        values = linked(expanded(receipts.account, entry), head)
        head = values["hash"]
        lines.append(Line(Checkpoint(entry.n, entry.id, head), entry.settled_ms, values))
    if head != until.head:
        raise _broken(receipts.account, after.n, until, [line.checkpoint.n for line in lines])
    return lines


def expanded(account: str, entry: ReceiptEntry) -> dict[str, Any]:
    """The entry as it enters the chain. Raises `Unreadable` and `OtherSchema`."""
    try:
        if entry.version > SCHEMA + 1:
            raise OtherSchema(f"receipt {entry.n:,} of account {account}", stored=entry.version, ours=SCHEMA)
        return sealable(account, entry)
    except (KeyError, ValueError):
        raise Unreadable(
            f"account {account}: entry {entry.id} of the receipt stream is not a receipt; nothing after it is sealed. "
            "Another program wrote it; remove it with XDEL"
        ) from None


def _broken(account: str, after: int, until: Checkpoint, numbers: list[int]) -> Broken:
    there = set(numbers)
    missing = [n for n in range(after + 1, until.n + 1) if n not in there]
    if missing:
        return Broken(account, missing[0], missing[0], "it is missing", until=until)
    return Broken(account, after + 1, until.n, "it was altered", until=until)
