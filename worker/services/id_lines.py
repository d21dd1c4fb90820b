"""Reads many job ids from a file or a pipe, one id per line, in bounded memory."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import fstat
from pathlib import Path
from typing import IO

from worker.config.files import UTF8_MARK, UTF16_MARKS
from worker.model.errors import UsageError

LONGEST_LINE = 1024  # bytes of a line that are read; no id is that long, so a longer line is an invalid id
IN_MEMORY = 1_000_000  # bytes of a pipe that are kept in memory; the rest goes to a temporary file


class Lines:
    """The ids in a stream that can be rewound. Blank lines and lines that start with # do not count."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def count(self) -> int:
        """The number of ids, before anything is recorded."""
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        self._stream.seek(0)
        first = True
        while line := self._stream.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                self._skip_rest()
            if first and line.startswith(UTF16_MARKS):
                raise UsageError(f"{self._name} is UTF-16: save it as UTF-8, one job id a line")
            text = (line.removeprefix(UTF8_MARK) if first else line).decode(errors="replace").strip()
            first = False
            if text and not text.startswith("#"):
                yield text

    def _skip_rest(self) -> None:
        while (more := self._stream.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
            pass


@contextmanager
def opened(where: str, stdin: IO[bytes]) -> Iterator[Lines]:
    """The ids of a file, or of standard input for `-`. Raises `UsageError` if it cannot be read."""
    if where == "-":
        with _spooled(stdin, "standard input") as lines:
            yield lines
        return
    try:
        file = Path(where).open("rb")  # noqa: SIM115 - closed below; only the opening may fail
    except OSError as error:
        raise UsageError(f"--from-file: cannot read {where}: {error.strerror}") from None
    with file:
        if stat.S_ISREG(fstat(file.fileno()).st_mode):
            yield Lines(file, where)
        else:
            with _spooled(file, where) as lines:
                yield lines


@contextmanager
def _spooled(pipe: IO[bytes], name: str) -> Iterator[Lines]:
    """A pipe can be read only once, and the cap is checked before anything is recorded: so it is spooled and read
    again.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as kept:
        while chunk := pipe.read(65536):
            kept.write(chunk)
        yield Lines(kept, name)
