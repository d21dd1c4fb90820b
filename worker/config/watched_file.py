"""A small file that is read again whenever it changes, so that nothing needs a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from worker.config.files import read_file
from worker.model.errors import EraserError

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_BYTES: Final = 4 * 1024 * 1024  # a larger file is none of ours


@dataclass(slots=True)
class WatchedFile(Generic[T]):
    """The value of a file, read again when its time, size or inode changes. Thread-safe, and without a lock that a
    fork could leave taken: two threads may read the same change.

    parse: makes the value of the text, or raises `EraserError`. refuse: makes the error of a file that cannot be read.
    absent: the value while there is no file; without it that is an error. what: the kind of file, for errors.
    keep: a bad version, or none, leaves the last good value in use, and is logged once: a file that is being
    replaced may be missing or empty for a moment. Otherwise every use of a bad version raises.
    every_s: how often to look at most; looking costs a system call.
    """

    path: Path
    parse: Callable[[str], T]
    refuse: Callable[[str], EraserError]
    _: KW_ONLY
    absent: T | None = None
    keep: bool = False
    every_s: float = 0.0
    what: str = "settings file"
    clock: Callable[[], float] = time.monotonic
    written_at: float = 0.0  # Unix time of the version that was read last
    _looked_at: float = float("-inf")
    _version: tuple[tuple[int, ...], T] | None = None  # stamp and value of the last good one
    _logged: str = ""

    def current(self) -> T:
        """The value now. Raises what `refuse` makes and `parse` raises."""
        last, now = self._version, self.clock()
        if last is not None and now - self._looked_at < self.every_s:
            return last[1]
        try:
            value = self._read(last)
        except EraserError as error:
            if last is None or not self.keep:
                self._version = None
                raise
            value = last[1]
            if self._logged != str(error):
                self._logged = str(error)
                log.warning("config.kept", extra={"file": str(self.path), "error": str(error)})
        self._looked_at = now
        return value

    def _read(self, last: tuple[tuple[int, ...], T] | None) -> T:
        try:
            found = self.path.stat()
        except OSError as error:
            if self.absent is not None:
                return self.absent
            raise self.refuse(f"cannot read {self.path}: {error.strerror}") from None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if last is not None and last[0] == stamp:
            return last[1]
        if found.st_size > MAX_BYTES:
            raise self.refuse(f"{self.path} has {found.st_size} bytes; that is not a {self.what}")
        self.written_at = found.st_mtime
        value = self.parse(read_file(self.path, self.refuse))
        self._version, self._logged = (stamp, value), ""
        return value
