"""A file that is read again when it changes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from worker.config.watched_file import MAX_BYTES, WatchedFile
from worker.model.errors import SettingsError

REFUSE = partial(SettingsError, "ERASER_X")


def number(text: str) -> int:
    if not text.strip().isdecimal():
        raise REFUSE("not a number")
    return int(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "number"
    write(file, "1")
    return file


def write(path: Path, text: str) -> None:
    """A new version, whose time differs however coarse the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(0, before + 1_000_000_000))


def test_a_change_counts_at_once_and_an_unchanged_file_is_read_once(path: Path) -> None:
    read: list[str] = []
    file = WatchedFile(path, lambda text: read.append(text) or number(text), REFUSE)
    assert [file.current(), file.current()] == [1, 1]
    write(path, "2")
    assert file.current() == 2
    assert read == ["1", "2"]
    assert file.written_at == path.stat().st_mtime


def test_a_replaced_file_counts_although_time_and_size_are_the_same(path: Path) -> None:
    file = WatchedFile(path, number, REFUSE)
    assert file.current() == 1
    other = path.with_name("other")
    other.write_text("2", encoding="utf-8")
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)
    assert file.current() == 2


def test_a_bad_version_is_refused_at_every_use_until_it_is_corrected(path: Path) -> None:
    file = WatchedFile(path, number, REFUSE)
    assert file.current() == 1
    write(path, "x")
    for _ in range(2):
        with pytest.raises(SettingsError, match="ERASER_X: not a number"):
            file.current()
    path.unlink()
    with pytest.raises(SettingsError, match=f"cannot read {path}"):
        file.current()
    write(path, "3")
    assert file.current() == 3


def test_the_last_good_version_stays_in_use_and_the_bad_one_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = WatchedFile(path, number, REFUSE, keep=True)
    assert file.current() == 1
    write(path, "x")
    assert [file.current(), file.current()] == [1, 1]
    assert [record.message for record in caplog.records] == ["config.kept"]
    write(path, "2")
    assert file.current() == 2
    path.unlink()
    assert file.current() == 2
    assert len(caplog.records) == 2, "it was good in between: another failure is another line"


def test_without_a_good_version_there_is_nothing_to_keep(path: Path) -> None:
    write(path, "x")
    with pytest.raises(SettingsError, match="not a number"):
        WatchedFile(path, number, REFUSE, keep=True).current()


def test_no_file_may_have_a_value_too(path: Path) -> None:
    path.unlink()
    assert WatchedFile(path, number, REFUSE, absent=7).current() == 7


def test_it_is_looked_at_only_so_often(path: Path) -> None:
    now = [0.0]
    file = WatchedFile(path, number, REFUSE, every_s=1.0, clock=lambda: now[0])
    assert file.current() == 1
    write(path, "2")
    now[0] = 0.9
    assert file.current() == 1
    now[0] = 1.0
    assert file.current() == 2


def test_a_huge_file_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SettingsError, match="that is not a settings file"):
        WatchedFile(path, number, REFUSE).current()
