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
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def response(self, account: str, wakeup: str) -> bool:
        """Handle a wake-up that could not be sent. False: all threads are busy, and the next tick tries again."""
        with self._lock:
            if len(self._threads) >= self._most:
                return False
            thread = threading.Thread(target=self._run, args=(account, wakeup), name=f"fallback {account}", daemon=True)
            self._threads.add(thread)
        thread.start()
        return True

    def wait(self, timeout_s: float) -> None:
        """Wait for the calls in progress; none is started once the worker stops."""
        ends = time.monotonic() + timeout_s
        with self._lock:
            busy = list(self._threads)
        for thread in busy:
            thread.join(max(0.0, ends - time.monotonic()))

    def _run(self, account: str, wakeup: str) -> None:
        try:
            self._work(account, wakeup)
        except EraserError as error:  # Redis is unreachable, too: the dispatcher reports it
            log.warning("fallback.ended", extra={"account": account, "error": str(error)})
        except Exception:
            log.exception("fallback.fault", extra={"account": account})
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
