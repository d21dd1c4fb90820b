"""The file by which a worker or beat shows that its event loop still runs; `worker.execution.health` reads it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import IO


class Beat:
    """A file that says when its process last took work. While the process runs it holds the file's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def touch(self) -> None:
        """Write the heartbeat now."""
        if self._file is None or self._is_gone(self._file):
            self._begin()
        now = time.time()
        os.utime(self._path, (now, now))

    def end(self) -> None:
        self._path.unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()

    def _begin(self) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        if self._file is not None:
            self._file.close()
        self._file = self._path.open("ab")
        with contextlib.suppress(BlockingIOError):  # a probe is checking it: it will be removed, and created again
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_gone(self, file: IO[bytes]) -> bool:
        """Whether it was removed, or taken for a dead worker's before it was locked."""
        try:
            return os.fstat(file.fileno()).st_ino != self._path.stat().st_ino
        except FileNotFoundError:
            return True
