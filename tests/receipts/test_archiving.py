"""A day that is over goes to its file, then leaves Redis; killed at any line, nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.crashes import crash_at
from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.deletions import Ledger, connect
from worker.ledger.receipts import Receipts
from worker.ledger.schema.states import VERSION
from worker.model.errors import Unreachable
from worker.model.target import Target
from worker.receipts.archiving import Archivist, archive_day
from worker.receipts.chain import sealed
from worker.receipts.dayfiles import DAY_MS, DayFileWrong
from worker.receipts.notes import Note, checkpoint
from worker.receipts.sealing import Broken, seal_all
from worker.receipts.serialization import Form, written
from worker.receipts.signature import Signer, Verifier
from worker.services.receipts import CursorTooOld, settled_since

STREAM = "eraser:{default}:receipts"
DAY = 20_778  # 2026-11-21
NEXT = (DAY + 3) * DAY_MS + 5
FILES = ("archiving.py", "dayfiles.py", "script_runner.py")


def settle(undertaker: Undertaker, day: int, number: int) -> list[str]:
    """Let some deletions end on that day, as Redis's clock would have it."""
    jobs = [f"job-{day}-{n}" for n in range(number)]
    undertaker.request(*jobs)
    undertaker.ledger.cancel([Target(undertaker.project, job) for job in jobs], why="T-1")
    entries: Any = undertaker.redis.xrange(STREAM)
    undertaker.redis.delete(STREAM)
    for k, (id, fields) in enumerate(entries[:-number] + entries[-number:]):
        at = day * DAY_MS + 1000 + k
        moved = k >= len(entries) - number
        fields |= {b"t": str(at).encode()} if moved else {}
        undertaker.redis.xadd(STREAM, fields, id=f"{at}-0" if moved else id)
    return jobs


@pytest.fixture
def days(undertaker: Undertaker) -> list[str]:
    """Three days with receipts, and one between them without."""
    return [job for day, number in ((DAY, 5), (DAY + 1, 3), (DAY + 3, 2)) for job in settle(undertaker, day, number)]


def archive(undertaker: Undertaker, directory: Path, now_ms: float = NEXT) -> list[int | None]:
    counts: list[int | None] = []
    while not counts or counts[-1] is not None:
        counts.append(archive_day(undertaker.ledger, directory, now_ms=now_ms))
    return counts


def jobs_of(text: str) -> list[str]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [line["job_id"] for line in lines if "job_id" in line]


def everything(command: Command, directory: Path) -> list[str]:
    """The jobs of an export: of the files and of Redis, as one chain that verifies."""
    done = command("receipts", "export", ERASER_RECEIPTS_DIR=str(directory))
    assert done.code == 0, done.err
    return jobs_of(done.out)


def test_days_that_are_over_leave_redis_for_their_files(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    assert archive(undertaker, tmp_path) == [5, 3, None]
    files = sorted((tmp_path / "default").iterdir())
    assert [file.name for file in files] == ["2026-11-21.jsonl", "2026-11-22.jsonl"]
    assert [jobs_of(file.read_text()) for file in files] == [days[:5], days[5:8]]
    assert undertaker.redis.xlen(STREAM) == 2
    assert everything(command, tmp_path) == days
    assert command("receipts", "verify", *map(str, files)).code == 0
    assert command("receipts", "verify", *map(str, reversed(files))).code == 1
    assert archive(undertaker, tmp_path, NEXT + DAY_MS) == [2, None]
    assert everything(command, tmp_path) == days


def test_a_large_day_leaves_redis_in_steps_none_of_which_is_large(undertaker: Undertaker) -> None:
    pipe, last = undertaker.redis.pipeline(transaction=False), 25_050
    for n in range(1, last + 51):
        pipe.xadd(STREAM, {"n": n}, id=f"{n}-0")
    pipe.zadd(f"{STREAM}:seals", {f"{n}-0 head": n for n in range(100, last, 100)})
    pipe.hset(f"{STREAM}:chain", mapping={"archived_id": f"{last}-0", "archived_n": last})
    pipe.execute()
    fields = {"id": f"{last}-0", "keep": f"{last}-1"}
    steps = []
    while trimmed := undertaker.ledger.run_script("trim", fields)["trimmed"]:
        steps.append(trimmed)
    assert (sum(steps), max(steps) <= 10_000) == (last, True), steps
    assert undertaker.redis.xlen(STREAM) == 50
    assert not undertaker.redis.exists(f"{STREAM}:seals")
    undertaker.redis.hset(f"{STREAM}:chain", "archived_id", "1-0")
    assert undertaker.ledger.run_script("trim", fields | {"keep": "99999-0"})["trimmed"] == 0, (
        "another mark: nothing goes"
    )


def test_a_day_that_is_not_over_stays(undertaker: Undertaker, days: list[str], tmp_path: Path) -> None:
    assert archive(undertaker, tmp_path, (DAY + 1) * DAY_MS - 1) == [None]
    assert not list(tmp_path.iterdir())
    assert undertaker.redis.xlen(STREAM) == len(days)


def test_since_reads_only_what_it_needs(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive(undertaker, tmp_path)
    there = {"ERASER_RECEIPTS_DIR": str(tmp_path)}
    assert jobs_of(command("receipts", "export", "--since", "2026-11-22", **there).out) == days[5:]
    assert jobs_of(command("receipts", "export", "--since", "2026-11-24").out) == days[8:]
    refused = command("receipts", "export", "--since", "2026-11-22")
    assert refused.code == 2
    assert "set ERASER_RECEIPTS_DIR to the same directory" in refused.err


def test_who_follows_along_is_told_when_it_is_too_late(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    app = AppContext.load(command.environ)
    first = settled_since(app, PROJECT, None, 2)
    archive(undertaker, tmp_path)
    with pytest.raises(CursorTooOld):
        settled_since(app, PROJECT, first.cursor)
    assert [item["job_id"] for item in settled_since(app, PROJECT, None).items] == days[8:]


def test_day_files_are_signed_where_there_is_a_key(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    key, public = tmp_path / "k", tmp_path / "k.pub"
    os.system(f"openssl genpkey -algorithm ed25519 -out {key}; openssl pkey -in {key} -pubout -out {public}")
    archive_day(undertaker.ledger, tmp_path, now_ms=NEXT, signer=Signer.load(key))
    file = tmp_path / "default" / "2026-11-21.jsonl"
    assert command("receipts", "verify", str(file), "--key", str(public)).code == 0
    end = json.loads(file.read_text().splitlines()[-1])
    note = Note.read(end["checkpoint"])
    note.signed_by("avatar-eraser/default/2026-11-21", Verifier.load(public))
    assert checkpoint(note.text) == ("avatar-eraser/default/2026-11-21", 5, bytes.fromhex(end["root"]))


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def archive_anew(undertaker: Undertaker, directory: Path) -> None:
    """As a process does that has just started."""
    ledger = Ledger(connect(undertaker.url), "default", undertaker.ledger.policy)
    archive_day(ledger, directory, now_ms=NEXT)


def test_killed_at_any_line_nothing_is_lost_and_nothing_doubled(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    seal_all(undertaker.ledger)
    before = undertaker.redis.dump(STREAM), undertaker.redis.hgetall(f"{STREAM}:chain")
    lines = 0
    while crash_at(lines + 1, FILES, partial(archive_anew, undertaker, tmp_path / str(lines))):
        here = tmp_path / str(lines)
        lines += 1
        assert everything(command, here) == days, f"after a crash at line {lines}"
        archive(undertaker, here)
        assert everything(command, here) == days, f"after line {lines} and another round"
        assert undertaker.redis.xlen(STREAM) == 2, f"what a crash at line {lines} left has gone"
        assert len([f for f in (here / "default").iterdir() if not f.name.startswith(".")]) == 2
        undertaker.redis.restore(STREAM, 0, before[0], replace=True)  # type: ignore[arg-type]
        undertaker.redis.delete(f"{STREAM}:chain", f"{STREAM}:seals")
        undertaker.redis.hset(f"{STREAM}:chain", mapping=before[1])  # type: ignore[arg-type]
    assert lines > 60, "the trace saw nothing"


def test_a_file_that_somebody_changed_is_left_and_redis_keeps_its_receipts(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    file = tmp_path / "default" / "2026-11-21.jsonl"
    file.write_text(file.read_text().replace("job-", "jub-", 1))
    with pytest.raises(DayFileWrong, match="line 1: altered"):
        archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    assert undertaker.redis.xlen(STREAM) == 5
    done = command("receipts", "export", ERASER_RECEIPTS_DIR=str(tmp_path))
    assert done.code == 1
    assert "2026-11-21.jsonl: line 1: altered" in done.err


def test_a_file_of_the_next_version_is_continued_and_one_of_a_later_version_is_left(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    file = tmp_path / "default" / "2026-11-21.jsonl"
    *lines, last = file.read_text().splitlines()
    end = json.loads(last)

    def written_by(version: int) -> None:
        file.write_text("\n".join([*lines, written(Form.JSONL, sealed(end | {"v": version}))]) + "\n")

    written_by(VERSION + 2)
    with pytest.raises(DayFileWrong, match=f"a program of schema version {VERSION + 2} wrote it; .*docs/upgrading.md"):
        archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    assert undertaker.redis.xlen(STREAM) == 5
    written_by(VERSION + 1)
    assert archive(undertaker, tmp_path) == [3, None]
    assert everything(command, tmp_path) == days


def test_a_missing_file_is_told(command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path) -> None:
    archive(undertaker, tmp_path)
    (tmp_path / "default" / "2026-11-22.jsonl").unlink()
    done = command("receipts", "export", ERASER_RECEIPTS_DIR=str(tmp_path))
    assert done.code == 1
    assert "do not end there: find the missing files" in done.err


@pytest.mark.parametrize("since", [None, "2026-11-20", "2026-11-21", "2026-11-22"])
def test_a_missing_first_file_is_told_where_the_receipts_that_were_meant_may_be_in_it(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path, since: str | None
) -> None:
    archive(undertaker, tmp_path)
    (tmp_path / "default" / "2026-11-21.jsonl").unlink()
    words = ["--since", since] if since else []
    done = command("receipts", "export", *words, ERASER_RECEIPTS_DIR=str(tmp_path))
    if since == "2026-11-22":
        assert (done.code, jobs_of(done.out)) == (0, days[5:])
    else:
        assert (done.code, done.out) == (1, "")
        assert "receipts 1 to 5 are in none of the files" in done.err
        assert "--since 2026-11-22" in done.err


@pytest.mark.parametrize("since", ["2026-11-22", "2026-11-23", "0001-01-01"])
def test_since_a_day_without_receipts_begins_after_it(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path, since: str
) -> None:
    archive(undertaker, tmp_path, NEXT + DAY_MS)
    done = command("receipts", "export", "--since", since, ERASER_RECEIPTS_DIR=str(tmp_path))
    assert (done.code, jobs_of(done.out)) == (0, days[{"2026-11-22": 5, "2026-11-23": 8}.get(since, 0) :])
    (tmp_path / "default" / "2026-11-22.jsonl").unlink()
    done = command("receipts", "export", "--since", since, ERASER_RECEIPTS_DIR=str(tmp_path))
    assert (done.code, done.out) == (1, ""), "one between is missing, and the day's may have been in it"


def test_another_redis_does_not_mix_its_receipts_with_these(
    undertaker: Undertaker, days: list[str], tmp_path: Path
) -> None:
    archive(undertaker, tmp_path)
    undertaker.redis.flushall()
    settle(undertaker, DAY + 2, 2)
    with pytest.raises(DayFileWrong, match="another chain"):
        archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    assert undertaker.redis.xlen(STREAM) == 2


def test_what_was_altered_in_redis_is_not_archived(undertaker: Undertaker, days: list[str], tmp_path: Path) -> None:
    seal_all(undertaker.ledger)
    undertaker.redis.xdel(STREAM, Receipts(undertaker.redis, "default").read_page()[2].id)
    with pytest.raises(Broken):
        archive_day(undertaker.ledger, tmp_path, now_ms=NEXT)
    assert list((tmp_path / "default").iterdir()) == []


def test_two_archive_at_once(command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path) -> None:
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ledger = Ledger(connect(undertaker.url), "default", undertaker.ledger.policy)
                while archive_day(ledger, tmp_path, now_ms=NEXT) is not None:
                    pass
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert everything(command, tmp_path) == days
    assert len(list((tmp_path / "default").iterdir())) == 2


def test_a_redis_that_is_away_is_told_once_until_it_is_back(
    command: Command, undertaker: Undertaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = AppContext.load(command.environ)
    away, full = Unreachable("Redis does not answer"), OSError("the disk is full")
    now: Exception | None = None

    def ledger(account: str) -> Ledger:
        if now is not None:
            raise now
        return app.ledger(account)

    archivist = Archivist(ledger, tmp_path, app.settings, {})
    for now, times in ((away, 3), (None, 1), (away, 3), (full, 1), (away, 3)):  # noqa: B007 - `ledger` reads it
        for _ in range(times):
            archivist.archive("default")
    levels = [record.levelname for record in caplog.records if record.getMessage() == "receipts.not_archived"]
    assert levels == ["WARNING", "WARNING", "ERROR", "WARNING"]


def test_the_archivist_goes_through_every_day_and_tells_what_goes_wrong(
    command: Command, undertaker: Undertaker, days: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = AppContext.load(command.environ)
    with caplog.at_level("INFO"):
        Archivist(app.ledger, tmp_path, app.settings, {}).archive("default")
        logged = [record.getMessage() for record in caplog.records]
        assert set(logged) <= {"receipts.archived"}
    (tmp_path / "file").touch()
    undertaker.redis.flushall()
    settle(undertaker, DAY, 1)
    Archivist(app.ledger, tmp_path / "file", app.settings, {}).archive("default")
    assert "receipts.not_archived" in [record.getMessage() for record in caplog.records]
