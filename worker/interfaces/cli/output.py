"""If output ends, the command still finishes.

The reader of stdout may leave (`| head -1`), a disk may be full, a terminal may be closed. A command that changes
something still finishes, and says on stderr what it did; one that only reads, a `Reading`, stops.
It is implemented here for all output: the last layer of stdout and stderr drops what nobody reads any more.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click

FULL = "the output is incomplete"


class Reading(click.Command):
    """A command that changes nothing: once nobody reads its output there is nothing left to do."""


class _Lasting(io.RawIOBase):
    """The last layer of a stream: output that cannot be written is dropped and counted."""

    def __init__(self, stream: TextIO, *, for_results: bool) -> None:
        self._stream = stream  # otherwise its descriptor would be closed and reused
        self._file = io.FileIO(stream.fileno(), "w", closefd=False)
        self._for_results = for_results
        self.ended: OSError | None = None

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        if self.ended is not None:
            return size
        try:
            while (written := self._file.write(data)) is None:  # a full pipe in non-blocking mode
                select.select([], [self._file], [])
        except OSError as error:
            self.ended = error
            context = click.get_current_context(silent=True)
            if self._for_results and context is not None and isinstance(context.command, Reading):
                raise
            return size
        return written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()


_results: _Lasting | None = None  # of the command that this process is


def ended() -> bool:
    """Whether nobody reads stdout any more."""
    if _results is None:
        return False
    sys.stdout.flush()
    return _results.ended is not None


@contextmanager
def lasting(report: Callable[[str], object]) -> Iterator[None]:
    """Inside, stdout and stderr never fail. At the end lost output is reported, and also in the exit code unless a
    reader left on purpose."""
    global _results
    _results, sys.stdout = _made(sys.stdout, for_results=True)
    _, sys.stderr = _made(sys.stderr, for_results=False)
    try:
        yield
        code: object = None
    except SystemExit as end:
        code = end.code
    if ended():
        code = _report_lost(_results.ended if _results else None, code, report)
    with suppress(OSError):
        sys.stderr.flush()
    if code:
        sys.exit(code)  # type: ignore[arg-type]


def _report_lost(why: OSError | None, code: object, report: Callable[[str], object]) -> object:
    left = why is None or why.errno == errno.EPIPE
    if left and not code:
        return code
    reason = "its reader closed it" if left else why.strerror if why else ""
    report(f"{FULL}: {reason}")
    return code or 1


def _made(stream: TextIO | None, *, for_results: bool) -> tuple[_Lasting | None, TextIO]:
    """The same stream with another last layer. A stream that was closed before the start becomes one that drops
    everything.
    """
    if stream is None:
        return None, open(os.devnull, "w", encoding="utf-8")
    try:
        raw = _Lasting(stream, for_results=for_results)
    except (OSError, ValueError):  # not a file of the system: a test replaced it
        return None, stream
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=raw.isatty() or not for_results,
        write_through=not for_results,
    )
    return raw, text
