"""Receipts of an account go to one directory: whichever lacks what has left Redis gets nothing, and that is told."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.receipts.test_archiving import STREAM, archive, everything, settle
from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.execution.live_workers import LiveWorkers
from worker.ledger.deletions import Ledger
from worker.ledger.keys import Keys
from worker.model.target import Target
from worker.receipts import dayfiles
from worker.receipts.archiving import Archivist, archive_day
from worker.receipts.dayfiles import DAY_MS, DayFileWrong, ReceiptsElsewhere

DAY = int(time.time() * 1000) // DAY_MS - 5
RELOCATE = ("receipts", "relocate", "--reason", "TICKET-1", "--by", "ops-1")


@pytest.fixture
def days(undertaker: Undertaker) -> list[str]:
    """Four days with receipts."""
    return [job for day in range(DAY, DAY + 4) for job in settle(undertaker, day, 2)]


def next_day(undertaker: Undertaker, directory: Path, day: int) -> int | None:
    """Archive as of the day after."""
    return archive_day(undertaker.ledger, directory, now_ms=(day + 1) * DAY_MS + 5)


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in (directory / "default").iterdir())


def test_a_second_directory_gets_nothing_and_the_first_one_goes_on(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    ours, other = tmp_path / "a", tmp_path / "b"
    assert next_day(undertaker, ours, DAY) == 2
    for day in (DAY + 1, DAY + 2):
        with pytest.raises(
            ReceiptsElsewhere, match=r"has none of the receipts 1 to \d+ that have left Redis"
        ) as refused:
            next_day(undertaker, other, day)
        assert "eraser receipts relocate --account default --reason R" in str(refused.value)
        assert next_day(undertaker, ours, day) == 2
    assert next_day(undertaker, ours, DAY + 3) == 2
    assert not other.exists()
    assert len(names(ours)) == 4
    assert everything(command, ours) == days


def test_a_directory_that_lacks_something_says_so_before_there_is_anything_to_write(
    undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    assert next_day(undertaker, tmp_path / "a", DAY) == 2
    assert next_day(undertaker, tmp_path / "a", DAY) is None
    with pytest.raises(ReceiptsElsewhere):
        next_day(undertaker, tmp_path / "b", DAY)


def test_whoever_comes_second_to_the_first_day_has_a_copy_that_is_as_good(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = dayfiles.write_file

    def first(path: Path, *args: object, **more: object) -> object:
        monkeypatch.setattr(dayfiles, "write_file", write)
        end = write(path, *args, **more)  # type: ignore[arg-type]
        assert next_day(undertaker, tmp_path / "a", DAY) == 2
        return end

    monkeypatch.setattr(dayfiles, "write_file", first)
    assert next_day(undertaker, tmp_path / "b", DAY) == 0
    assert next_day(undertaker, tmp_path / "b", DAY + 1) == 2
    with pytest.raises(ReceiptsElsewhere, match="ends with receipt 2, and receipts up to 4 have left Redis"):
        next_day(undertaker, tmp_path / "a", DAY + 2)
    assert archive(undertaker, tmp_path / "b", (DAY + 4) * DAY_MS + 5) == [2, 2, None]
    assert everything(command, tmp_path / "b") == days


def test_a_directory_that_moved_with_its_files_goes_on_and_one_restored_from_an_older_backup_does_not(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    old, new, backup = tmp_path / "old", tmp_path / "new", tmp_path / "backup"
    assert next_day(undertaker, old, DAY) == 2
    shutil.copytree(old, backup)
    assert next_day(undertaker, old, DAY + 1) == 2
    shutil.move(old, new)
    assert next_day(undertaker, new, DAY + 2) == 2
    with pytest.raises(ReceiptsElsewhere, match="ends with receipt 2, and receipts up to 6"):
        next_day(undertaker, backup, DAY + 3)
    for file in (new / "default").iterdir():
        shutil.copy2(file, backup / "default")
    assert next_day(undertaker, backup, DAY + 3) == 2
    assert everything(command, backup) == days


def test_receipts_that_have_left_for_a_directory_that_is_lost_go_on_elsewhere_only_when_a_person_says_so(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    lost, new = tmp_path / "lost", tmp_path / "new"
    assert "Nothing of account default has left Redis" in command(*RELOCATE).out
    assert next_day(undertaker, lost, DAY) == 2
    planned = command(*RELOCATE)
    assert (planned.code, "PLAN" in planned.out) == (3, True)
    assert "eraser receipts relocate --reason TICKET-1 --by ops-1 --yes" in planned.err
    with pytest.raises(ReceiptsElsewhere):
        next_day(undertaker, new, DAY + 1)
    done = command(*RELOCATE, "--yes", "--json")
    assert (done.code, done.json) == (0, [{"account": "default", "archived_n": 2, "relocated": True}])
    (action,) = command("audit", "--json", "--act", "receipts.relocated").json
    assert (action["act"], action["by"], action["reason"]) == ("receipts.relocated", "ops-1", "TICKET-1")
    assert archive(undertaker, new, (DAY + 3) * DAY_MS + 5) == [2, 2, None]
    with pytest.raises(ReceiptsElsewhere):
        next_day(undertaker, tmp_path / "third", DAY + 3)  # what was said holds for one day's file
    with pytest.raises(ReceiptsElsewhere, match="ends with receipt 2"):
        next_day(undertaker, lost, DAY + 3)
    both = command("receipts", "verify", str(lost / "default"), str(new / "default"), "--json")
    assert (both.code, [(line["first_n"], line["last_n"]) for line in both.json]) == (0, [(1, 2), (3, 4), (5, 6)])


def test_relocating_what_is_archived_meanwhile_says_so(undertaker: Undertaker, days: list[str], tmp_path: Path) -> None:
    assert next_day(undertaker, tmp_path, DAY) == 2
    assert not undertaker.ledger.run_script("relocate", {"head": "of before", "act": None})["relocated"]
    assert undertaker.redis.hget(f"{STREAM}:chain", "relocated") is None


def test_a_chain_that_was_split_is_verified_from_all_its_directories(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive(undertaker, tmp_path, (DAY + 4) * DAY_MS + 5)
    folder, other = tmp_path / "default", tmp_path / "b" / "default"
    other.mkdir(parents=True)
    first, second, third, fourth = sorted(folder.iterdir())
    shutil.move(second, other)
    shutil.move(fourth, other)
    shutil.copy2(third, other)  # of a race for that day
    assert command("receipts", "verify", str(folder), str(other), "--json").json[-1]["last_n"] == 8
    assert command("receipts", "verify", str(folder), "--json").code == 1
    assert command("receipts", "verify", str(first), str(other / second.name), str(third)).code == 0
    (tmp_path / "empty").mkdir()
    empty = command("receipts", "verify", str(tmp_path / "empty"))
    assert (empty.code, "no file of a day is in" in empty.err) == (2, True)
    accounts = command("receipts", "verify", str(tmp_path))
    assert (accounts.code, f"eraser receipts verify {folder}" in accounts.err) == (2, True)


def test_accounts_share_a_directory_and_installations_do_not(
    undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    assert next_day(undertaker, tmp_path, DAY) == 2
    staging, studio = Undertaker(undertaker.url), Undertaker(undertaker.url, "studio-b")
    staging.ledger = Ledger(undertaker.redis, "default", undertaker.ledger.policy, keys=Keys("staging"))
    for one in (staging, studio):
        one.request("job-1")
        one.ledger.cancel([Target(PROJECT, "job-1")], why="T-1")
    later = int(time.time() * 1000) + 2 * DAY_MS
    assert archive_day(studio.ledger, tmp_path, now_ms=later) == 1
    with pytest.raises(DayFileWrong, match=r"another chain.*ERASER_NAMESPACE"):
        archive_day(staging.ledger, tmp_path, now_ms=later)


# -- it shows ----------------------------------------------------------------------------------------------------------


def shown(command: Command, app: AppContext, directory: Path) -> tuple[str, str, dict[str, str]]:
    """What status and doctor say once the worker has looked and spoken: as text, and the doctor's row."""
    Archivist(app.ledger, directory, app.settings, app.not_archived).archive("default")
    LiveWorkers(app).beat()
    (found,) = command("status", "--json").json
    assert found["workers"][0]["not_archived"] == app.not_archived
    rows = {row["check"]: row for row in command("doctor", "--offline", "--json").json}
    return command("status").out, json.dumps(app.not_archived), rows["receipts of default"]


def test_status_and_doctor_name_the_worker_whose_directory_is_another(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    app = AppContext.load(command.environ)
    assert next_day(undertaker, tmp_path / "a", DAY) == 2
    status, why, row = shown(command, app, tmp_path / "b")
    assert "receipts relocate" in why
    assert "cannot move receipts of default out of Redis" in " ".join(status.split())
    assert (row["verdict"], str(tmp_path / "b") in row["found"]) == ("wrong", True)
    status, why, row = shown(command, app, tmp_path / "a")
    assert (why, "cannot move receipts" in status, row["verdict"]) == ("{}", False, "ok")


def test_doctor_looks_at_the_directory_of_its_own_settings(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive(undertaker, tmp_path / "a", (DAY + 4) * DAY_MS + 5)
    for name, verdict in (("a", "ok"), ("b", "wrong")):
        done = command("doctor", "--offline", "--json", ERASER_RECEIPTS_DIR=str(tmp_path / name))
        rows = {row["check"]: row for row in done.json}
        assert rows["receipts of default"]["verdict"] == verdict
    assert "receipts relocate" in rows["receipts of default"]["found"]


def test_a_full_disk_shows_and_leaves_neither_a_file_nor_a_gap(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = AppContext.load(command.environ)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        _, why, row = shown(command, app, tmp_path)
    assert ("No space left" in why, row["verdict"]) == (True, "wrong")
    assert (names(tmp_path), undertaker.redis.xlen(STREAM)) == ([], len(days))
    _, why, row = shown(command, app, tmp_path)
    assert (why, row["verdict"], everything(command, tmp_path)) == ("{}", "ok", days)
