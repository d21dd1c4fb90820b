"""Ids from files and pipes: read as often as needed, in bounded memory."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from worker.model.errors import UsageError
from worker.services.id_lines import LONGEST_LINE, opened


def read(data: bytes) -> list[str]:
    with opened("-", io.BytesIO(data)) as lines:
        found = list(lines)
        assert lines.count() == len(found)
        return found


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\n\r\n b \r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"\xef\xbb\xbf# c\na\n#b\n", ["a"]),
        (b"a b\n", ["a b"]),
    ],
)
def test_one_id_a_line(data: bytes, ids: list[str]) -> None:
    assert read(data) == ids


def test_a_line_without_end_is_one_bad_id() -> None:
    first, second = read(b"x" * 1_000_000 + b"\nb\n")
    assert len(first) <= LONGEST_LINE
    assert second == "b"


def test_a_file_is_read_twice_and_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_bytes(b"".join(b"job-%07d\n" % n for n in range(300_000)))
    tracemalloc.start()
    with opened(str(file), io.BytesIO()) as lines:
        assert lines.count() == 300_000
        assert sum(1 for _ in lines) == 300_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_a_named_pipe_is_read_as_well(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(b"a\nb\n"))
    thread.start()
    with opened(str(pipe), io.BytesIO()) as lines:
        assert (lines.count(), list(lines)) == (2, ["a", "b"])
    thread.join()


@pytest.mark.parametrize("name", ["/nonexistent/ids", "/tmp"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=name), opened(name, io.BytesIO()) as lines:
        lines.count()


def test_utf_16_is_refused() -> None:
    with pytest.raises(UsageError, match="save it as UTF-8"):
        read("a\n".encode("utf-16"))
