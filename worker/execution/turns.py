"""An executor's turns at the ledger: each settles what it has done and brings what it does next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from worker.config.clock import elapsed
from worker.execution.prefetch import Prefetch, Result, Slot
from worker.execution.settlement_log import log_settled
from worker.ledger.deletions import Ledger
from worker.ledger.types import TakeResult, Tried
from worker.model.errors import EraserError, Unreachable
from worker.retention.revalidation import Revalidation


@dataclass(frozen=True, slots=True)
class Turns:
    """Those of one executor; the fields are as in `worker.execution.executor.Executor`."""

    ledger: Ledger
    worker: str
    key: Callable[[], str]
    stopping: threading.Event
    still_meant: Revalidation
    related: str
    prefetch: Prefetch

    def next(
        self, key: str, done: Result | None, *, want: bool, wakeup: str | None = None, tried: Tried | None = None
    ) -> tuple[TakeResult, Slot | None]:
        """What follows: a lease that another executor took, or a take. The result of the last call goes with a take."""
        # whoever is alone and has no more time calls for what it took before: the slots are nobody else's
        use = (want or not (self.stopping.is_set() or self.prefetch.shared)) and not (wakeup or tried)
        slot = self.prefetch.next(done) if use else None
        if slot:
            return TakeResult(), slot
        # whoever has something to record waits for ever; others leave their threads to accounts whose ledger is there
        if not self.prefetch.turn.acquire(timeout=-1 if done else self.ledger.patience_s):
            raise Unreachable("another executor of this account waits for the ledger")
        try:
            slot = self.prefetch.next(done) if use else None  # whoever was before may have brought one
            if slot:
                return TakeResult(), slot
            result = self._take(key, done, want=want, wakeup=wakeup, tried=tried)
            return result, self._slot_of(result)
        finally:
            self.prefetch.turn.release()

    def _slot_of(self, result: TakeResult) -> Slot | None:
        """This executor's; the others of this process find theirs in `prefetch`."""
        now = elapsed()
        # Redis's clock was read between our question and its answer, rather late where this machine is busy: who leaves
        # before its slot is refused, and who leaves after it says so
        slots = [Slot(one, (one.taken + 3 * now) / 4 + one.ahead_s) for one in (result.lease, *result.ahead) if one]
        self.prefetch.add(slots[1:])
        return slots[0] if slots else None

    def _take(
        self, key: str, done: Result | None, *, want: bool, wakeup: str | None = None, tried: Tried | None = None
    ) -> TakeResult:
        """Settle and lease. After anything but a success what others were to call goes back before it is sent."""
        troubled = self.stopping.is_set() or (done is not None and not done.can_wait)
        settlement = done.settlement if done else None
        with self.prefetch.collect(give_back=troubled or not (want or self.prefetch.shared)) as earlier:
            result = self.ledger.take(
                worker=self.worker,
                key=key,
                settlement=settlement,
                want=want,
                wakeup=wakeup,
                policy_text=self.still_meant.policy_text() if want else None,
                tried=tried,
                related=self.related,
                earlier=[one.settlement for one in earlier],
                ahead=self.prefetch.room(settlement.ms) if want and settlement and not troubled else 0,
                until_recorded=lambda: True,
            )
        log_settled(self.ledger.account, [*earlier, done] if done else earlier, [*result.earlier, result.settled])
        return result

    def key_after(self, done: Result | None) -> str:
        """The fingerprint of the key in use. The last answer is recorded even if there is no key any more."""
        try:
            return self.key()
        except EraserError:
            if done:
                self._take("", done, want=False)
            raise
