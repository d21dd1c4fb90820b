"""Output that ends does not end what a command does: whoever reads it may go away, or the disk be full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.interfaces.cli.output import FULL
from worker.ledger.queries import Queries
from worker.model.states import State

MANY = 4_000  # far more than a pipe holds, and than one script may touch
MAIN = [sys.executable, "-c", "from worker.interfaces.cli import main; main()"]


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    file = tmp_path / "ids"
    file.write_text("".join(f"job-{n:05d}\n" for n in range(MANY)))
    return file


def start(command: Command, *words: str, stdout: int | IO[bytes], both: bool = False) -> subprocess.Popen[bytes]:
    environ = {"PATH": os.environ["PATH"], **command.environ}
    stderr = subprocess.STDOUT if both else subprocess.PIPE
    return subprocess.Popen([*MAIN, *words], env=environ, stdout=stdout, stderr=stderr)


def head(command: Command, *words: str) -> tuple[int, str]:
    """`eraser … | head -1`: the exit code and what stands on stderr."""
    with start(command, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read().decode()
        return process.wait(240), stderr


def test_all_is_recorded_although_nobody_reads_on(command: Command, undertaker: Undertaker, ids: Path) -> None:
    code, stderr = head(command, "request", "--from-file", str(ids), "--max", str(MANY), "--json")
    assert undertaker.recorded() == MANY
    assert code == 0
    assert f"Accepted {MANY:,} deletions in project {PROJECT}: {MANY:,} new." in stderr
    assert "Traceback" not in stderr


def test_what_people_would_have_read_is_told_beside(command: Command, undertaker: Undertaker, ids: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(command, "request", "--from-file", str(ids), "--max", str(MANY), stdout=writing)
    os.close(writing)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0
    assert f"Accepted {MANY:,} deletions".encode() in stderr
    assert undertaker.recorded() == MANY


def test_neither_output_has_a_reader_and_all_is_recorded(command: Command, undertaker: Undertaker, ids: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = ("request", "--from-file", str(ids), "--max", str(MANY), "--json")
    process = start(command, *words, stdout=writing, both=True)
    os.close(writing)
    assert process.wait(240) == 0
    assert undertaker.recorded() == MANY


def test_a_full_disk_is_told_and_all_is_recorded(command: Command, undertaker: Undertaker, ids: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(command, "request", "--from-file", str(ids), "--max", str(MANY), "--json", stdout=full)
    _, stderr = process.communicate(timeout=240)
    assert undertaker.recorded() == MANY
    assert process.returncode == 1, "the output is incomplete, and a script has to know"
    assert f"Accepted {MANY:,} deletions".encode() in stderr
    error = json.loads(stderr.splitlines()[-1])["error"]
    assert (FULL in error["message"], error["exit_code"]) == (True, 1)


def test_a_pipe_that_is_full_and_does_not_wait_is_waited_for(command: Command, ids: Path) -> None:
    """Some parents make our stdout a pipe that answers "try again" where it is full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = start(command, "request", "--from-file", str(ids), "--max", str(MANY), "--json", stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    _, stderr = process.communicate(timeout=240)
    assert (process.returncode, stderr, len(lines)) == (0, b"", MANY)


def test_a_hold_list_is_imported_to_its_end(command: Command, undertaker: Undertaker, ids: Path) -> None:
    code, stderr = head(command, "hold", "import", str(ids), "--reason", "CASE-1", "--by", "legal-3", "--json")
    assert (code, undertaker.redis.hlen("eraser:{default}:holds:jobs")) == (0, MANY)
    assert f"{MANY:,} jobs on hold." in stderr


def test_dead_letters_are_discarded_to_the_last_one(command: Command, undertaker: Undertaker) -> None:
    number = 1_000
    undertaker.end(*(f"job-{n:05d}" for n in range(number)))
    words = ("dead", "discard", "--all", "--reason", "T-1", "--max", str(number), "--yes", "--json")
    code, stderr = head(command, *words)
    queries = Queries(undertaker.redis, "default", rate=10)
    counts = queries.status().states
    assert (code, counts[State.DISCARDED], counts[State.DEAD]) == (0, number, 0)
    assert f"{number:,} dead letters discarded." in stderr


def test_what_was_asked_for_is_withdrawn_to_the_last_one(command: Command, undertaker: Undertaker, ids: Path) -> None:
    jobs = ids.read_text().split()[:3_000]
    undertaker.request(*jobs)
    code, stderr = head(command, "cancel", *jobs, "--reason", "T-1", "--json")
    assert code == 0
    assert "3,000 requests withdrawn." in stderr


def test_who_only_looks_stops_when_nobody_reads_on(command: Command) -> None:
    """It would go on for ever."""
    code, _ = head(command, "status", "--watch", "--json")
    assert code == 1


def test_an_export_that_was_cut_off_is_not_called_whole(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*(f"job-{n:05d}" for n in range(1_000)), to="deleted")
    code, stderr = head(command, "receipts", "export")
    assert code == 1
    assert "incomplete" in stderr


def test_a_command_without_stdout_does_what_it_is_told(command: Command, undertaker: Undertaker) -> None:
    words = [*MAIN, "request", "job-1"]
    environ = {"PATH": os.environ["PATH"], **command.environ}
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], env=environ, capture_output=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, b"")
    assert undertaker.recorded() == 1
