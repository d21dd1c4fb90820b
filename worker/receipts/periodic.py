"""A thread of a worker that does something again and again, until the worker stops."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Periodic(ABC):
    """What stops it in the middle may lose nothing: the next worker does it again."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._next = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def turn(self) -> float:
        """Do it once; returns the seconds until the next time. Must not raise."""

    def start(self) -> None:
        self._thread.start()

    def soon(self) -> None:
        """The next time is now."""
        self._next.set()

    def stop(self) -> None:
        """End after the current turn; if that takes long it is left running."""
        self._stop.set()
        self._next.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._next.wait(self.turn())
            self._next.clear()
