"""Sends wake-ups and wakes the dispatcher in its own thread, so that a slow broker delays no answer.

Best effort, as everywhere: the dispatcher finds by itself whatever is lost here.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_FULL = 100  # wake-ups that wait; one more would change nothing


class WakeupSender:
    """`sender(account, wakeup)` starts an executor, `sender.wake(account)` wakes the dispatcher. Thread-safe, and
    returns at once.
    """

    def __init__(self, notify: Callable[[str, str], None], wake: Callable[[str], None]) -> None:
        self._notify, self._wake = notify, wake
        self._queue: queue.Queue[tuple[str, str | None]] = queue.Queue(_FULL)
        self._to_wake: set[str] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, account: str, wakeup: str) -> None:
        self._put(account, wakeup)

    def wake(self, account: str) -> None:
        """Wake once for all requests since the last time."""
        if account not in self._to_wake:
            self._to_wake.add(account)
            self._put(account, None)

    def _put(self, account: str, wakeup: str | None) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="wakeups", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait((account, wakeup))
        except queue.Full:
            self._to_wake.discard(account)

    def _work(self) -> None:
        while True:
            account, wakeup = self._queue.get()
            if wakeup is not None:
                self._notify(account, wakeup)
            else:
                self._to_wake.discard(account)  # before the call: requests recorded from now on need another one
                self._wake(account)
