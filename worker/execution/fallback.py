"""Fallback executors: while no wake-up can be sent, a few threads of the dispatching worker do the
work.

A full Redis accepts no message (measured: every LPUSH of kombu is refused) while the moves that drain still run, and a
separate broker may be unreachable while the ledger works. In both cases pending deletions continue, with fewer threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from worker.model.errors import EraserError

log = logging.getLogger(__name__)

MOST = 4  # at the same time in one process: the pool's threads are for executors that a wake-up started


class FallbackExecutors:
    """`work(account, wakeup)` works like an executor that the wake-up started, until nothing is due or its time is
    over.
    """

    def __init__(self, work: Callable[[str, str], None], *, most: int = MOST) -> None:
        self._work = work
        self._most = most
        self._free = threading.BoundedSemaphore(most)

    def response(self, account: str, wakeup: str) -> bool:
        """Handle a wake-up that could not be sent. False: all threads are busy, and the next tick tries again."""
        free = self._free.acquire(blocking=False)
        if free:
            threading.Thread(target=self._run, args=(account, wakeup), name=f"fallback {account}", daemon=True).start()
        return free

    def wait(self, timeout_s: float) -> bool:
        """Wait for the calls in progress; none is started once the worker stops. Returns whether all have ended."""
        ends = time.monotonic() + timeout_s
        ended = [self._free.acquire(timeout=max(0.0, ends - time.monotonic())) for _ in range(self._most)]
        for _ in filter(None, ended):
            self._free.release()
        return all(ended)

    def _run(self, account: str, wakeup: str) -> None:
        try:
            self._work(account, wakeup)
        except EraserError as error:  # Redis is unreachable, too: the dispatcher reports it
            log.warning("fallback.ended", extra={"account": account, "error": str(error)})
        except Exception:
            log.exception("fallback.fault", extra={"account": account})
        finally:
            self._free.release()
