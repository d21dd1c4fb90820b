"""Checks by itself, every ERASER_RECHECK, that what is deleted or gone is still gone.

A round goes through the records of an account in the order in which they ended, a batch at a time: one worker has the
lease, looks each job up at the pace of lookups, and records what it found together with how far it came. While a person
waits for a deletion that is due, or the gate is closed, nothing is looked up. A crash repeats a batch at most.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import redis

from worker.ledger import rechecks
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.keys import Keys
from worker.ledger.rechecks import Rechecks, RecheckTurn
from worker.model.errors import EraserError
from worker.receipts.periodic import Periodic
from worker.receipts.recheck import Recheck, RecheckContext, Rechecked, RecheckResult

log = logging.getLogger(__name__)

BATCH = 25
SETTLED_S = 3600.0  # of what ended later than that before the round began, the next one looks: lists may be late
SOON_S = 1.0  # while people's work goes first
EVERY_S = 60.0  # at least so often: another worker may have gone


class RecheckerContext(RecheckContext, Protocol):
    """The same, and Redis."""

    @property
    def redis(self) -> redis.Redis: ...

    @property
    def keys(self) -> Keys: ...

    def bulk_queries(self, account: str, /) -> BulkQueries: ...


class Rechecker(Periodic):
    """A thread in every worker."""

    def __init__(self, app: RecheckerContext, accounts: Iterable[str], every_s: float) -> None:
        super().__init__("rechecker")
        self._app = app
        self._accounts = list(accounts)
        self._every_s = every_s

    def turn(self) -> float:
        return min((self._guarded(account) for account in self._accounts), default=EVERY_S)

    def _guarded(self, account: str) -> float:
        """One step; what cannot be done now is done later."""
        try:
            return self.step(account)
        except (EraserError, redis.RedisError) as error:
            log.warning("receipts.recheck_waits", extra={"account": account, "error": str(error)})
        except Exception:  # the thread must survive any internal error
            log.exception("receipts.recheck_waits", extra={"account": account})
        return EVERY_S

    def step(self, account: str) -> float:
        """One batch of an account. Returns the seconds to wait before the next."""
        ledger, app = self._app.ledger(account), self._app
        status = app.queries(account).status()
        if status.due["user"] or not status.gate.is_open:
            return SOON_S if status.due["user"] else EVERY_S
        turn = rechecks.turn(ledger, key=app.client(account)[1](), worker=app.worker, every_s=self._every_s)
        if not isinstance(turn, RecheckTurn):
            return min(EVERY_S, max(SOON_S, (turn - ledger.now_ms()) / 1000))
        found = Rechecks(app.redis, account, app.keys)
        refs, cursor = found.after(turn.cursor, turn.started - SETTLED_S * 1000, BATCH)
        looked = list(Recheck(app, account).each(refs))
        results = {one.ref: one.now.value for one in looked}
        looks = [one.response.request_id for one in looked]
        moved = (turn.cursor, cursor)
        if rechecks.record(ledger, turn.id, results, looks=looks, over=not refs, moved=moved):
            self._tell(account, looked)
        return 0.0 if refs else SOON_S

    def _tell(self, account: str, looked: Iterable[Rechecked]) -> None:
        for one in looked:
            if one.now is RecheckResult.BACK:
                log.warning("deletion.came_back", extra={"account": account, **one.ref.for_log()})
