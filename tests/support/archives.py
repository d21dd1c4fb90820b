"""The archive of receipts, and what leaves Redis for it."""

from __future__ import annotations

from pathlib import Path

from tests.support.dead_letters import Undertaker
from worker.ledger.receipts import DAY_MS, Receipts
from worker.receipts.archiving import archive_day
from worker.receipts.leaving import let_records_leave


def leave(undertaker: Undertaker, directory: Path, number: int) -> None:
    """Tomorrow comes: what ended today is archived and leaves."""
    tomorrow = undertaker.ledger.now_ms() + DAY_MS
    while archive_day(undertaker.ledger, directory, now_ms=tomorrow):
        pass
    until = Receipts(undertaker.redis, undertaker.account).progress().archived.n
    assert let_records_leave(undertaker.ledger, directory, until=until) == number
