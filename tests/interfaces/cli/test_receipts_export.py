"""`eraser receipts export`: of a time, a run or a job; what is not erased; and no file is overwritten unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.model.target import Target
from worker.receipts import trailer
from worker.receipts.chain import sealed
from worker.receipts.serialization import Form, read, written
from worker.services.times import rfc3339


def ids(ended: Any) -> list[str | None]:
    return [line.get("job_id") for line in ended.json[:-1]]


def wait_a_ms(undertaker: Undertaker) -> str:
    """A moment after everything so far, and before everything to come."""
    now = undertaker.redis.time()
    while (later := undertaker.redis.time()) < (now[0], now[1] + 2_000):
        pass
    return str(rfc3339(int(later[0]) * 1000 + int(later[1]) // 1000))


# -- a time ------------------------------------------------------------------------------------------------------------


def test_until_leaves_out_what_ended_later_and_the_next_file_continues_there(
    command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    undertaker.end("a", "b", to="deleted")
    noon = wait_a_ms(undertaker)
    undertaker.end("c", "d", to="deleted")
    first, second = tmp_path / "first", tmp_path / "second"
    assert command("receipts", "export", "--until", noon, "--to", str(first)).code == 0
    assert command("receipts", "export", "--since", noon, "--to", str(second)).code == 0
    assert command("receipts", "export", "--since", noon, "--until", noon).json[0]["count"] == 0
    verified = command("receipts", "verify", str(first), str(second), "--json")
    assert (verified.code, [line["receipts"] for line in verified.json]) == (0, [2, 2]), verified.all
    assert ids(command("receipts", "export", "--until", noon)) == ["a", "b"]
    assert command("receipts", "export", "--until", "yesterday").code == 2


# -- a selection -------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(undertaker: Undertaker) -> Undertaker:
    """Of run-1: a, c, and d, which somebody else requested before; b is of nobody, x and y wait and are dead."""
    for job, run in {"a": "run-1", "b": None, "c": "run-1"}.items():
        undertaker.end(job, to="deleted", claim={"run": run, "why": "T-1"})
    undertaker.request("d")
    undertaker.end("d", to="deleted", claim={"run": "run-1"})
    undertaker.end("y", claim={"run": "run-1"})
    undertaker.request("x", run="run-1")
    return undertaker


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_run_and_a_job_are_selections_that_verify(
    command: Command, runs: Undertaker, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "selection"
    done = command("receipts", "export", "--run", "run-1", "-o", form, "--to", str(file))
    assert "Receipts of account default, run run-1, written to" in done.out
    assert "Not ended by now, of run run-1: 1 waits, 0 on hold, 1 dead letter." in done.out
    verified = command("receipts", "verify", str(file))
    assert (verified.code, "3 receipts of account default" in verified.out) == (0, True), verified.all
    assert "It is a selection (run run-1): whether it has every receipt of that, it cannot prove." in verified.out
    assert ids(command("receipts", "export", "--run", "run-1")) == ["a", "c", "d"]
    assert ids(command("receipts", "export", "--job", "b")) == ["b"]
    assert ids(command("receipts", "export", "--job", "b", "--run", "run-1")) == []
    end = command("receipts", "export", "--job", "b").json[-1]
    assert (end["selection"], end["count"]) == (f"job {PROJECT}/b", 1)
    assert command("receipts", "export", "--job", "..").code == 2
    assert command("receipts", "export", "--run", "a person").code == 2


def test_a_line_that_was_taken_out_of_a_selection_is_missed(command: Command, runs: Undertaker, tmp_path: Path) -> None:
    lines = command("receipts", "export", "--run", "run-1").out.splitlines(keepends=True)
    end = read(Form.JSONL, lines[-1].rstrip("\n"))
    for lie in ({}, {"count": 2}, {"count": 2, "selection": None}):
        file = tmp_path / "forged"
        file.write_text("".join([lines[0], lines[2], written(Form.JSONL, sealed(end | lie)) + "\n"]))
        assert command("receipts", "verify", str(file)).code == 1, lie
    moved = tmp_path / "moved"
    moved.write_text("".join([lines[1], lines[0], *lines[2:]]))
    assert "moved" in command("receipts", "verify", str(moved)).out


def test_no_selection_goes_for_a_part_of_the_chain(command: Command, runs: Undertaker, tmp_path: Path) -> None:
    folder = tmp_path / "default"
    folder.mkdir()
    day = folder / "2026-11-21.jsonl"
    day.write_text(command("receipts", "export", "--run", "run-1").out)
    end = json.loads(day.read_text().splitlines()[-1])
    assert trailer.statement(end)
    chain = f"{runs.ledger.prefix}receipts:chain"
    newest = runs.redis.xrevrange(f"{runs.ledger.prefix}receipts", count=1)[0][0]  # type: ignore[index]
    runs.redis.hset(chain, mapping={"archived_id": newest, "archived_n": end["last_n"], "archived_head": end["head"]})
    done = command("receipts", "export", ERASER_RECEIPTS_DIR=str(tmp_path))
    assert (done.code, "it is a selection (run run-1), and not a whole day" in done.err) == (1, True), done.all


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_overwritten_only_if_asked(
    command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    undertaker.end("a", to="deleted")
    file = tmp_path / "receipts.jsonl"
    file.write_text("the receipts of last year")
    refused = command("receipts", "export", "--to", str(file))
    assert (refused.code, file.read_text()) == (2, "the receipts of last year")
    assert "exists already, so nothing was written" in refused.err
    assert "--overwrite" in refused.err
    done = command("receipts", "export", "--to", str(file), "--overwrite")
    assert (done.code, "in the place of the file that was there" in done.out) == (0, True)
    assert command("receipts", "verify", str(file)).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["receipts.jsonl"]


# -- what is not erased ------------------------------------------------------------------------------------------------


def test_the_summary_says_what_is_not_erased(command: Command, undertaker: Undertaker, tmp_path: Path) -> None:
    undertaker.end("whole", to="deleted")
    undertaker.end("with-asset", to="deleted", fields={"asset": "as-1"})
    undertaker.end("given-up", "restored", "dead")
    undertaker.ledger.discard([Target(PROJECT, job) for job in ("given-up", "restored")], why="T-1")
    undertaker.ledger.restore([Target(PROJECT, "restored")], why="T-2")
    undertaker.request("held", "waits")
    assert command("hold", "add", "job:held", "--reason", "CASE-1", "--by", "legal").code == 0
    file = tmp_path / "receipts.jsonl"
    done = command("receipts", "export", "--to", str(file))
    for words in (
        "        2  deleted: confirmed by MetaStudio",
        "        1  dead again: restored",
        "Not erased: 2 jobs of this file.",
        "Of 1 deleted or gone job: whether they left an avatar or a voice was not checked.",
        "Not ended by now, of account default: 1 waits, 1 on hold, 2 dead letters.",
    ):
        assert words in done.out, done.out
    (found,) = command("receipts", "export", "--to", str(tmp_path / "again"), "--json").json
    assert {name: found[name] for name in ("deleted", "discarded", "dead", "not_erased", "related_left", "open")} == {
        **{"deleted": 2, "discarded": 1, "dead": 1, "not_erased": 2, "related_left": {"not_checked": 1}},
        "open": {"pending": 1, "running": 0, "held": 1, "dead": 2},
    }
    offline = command("receipts", "verify", str(file))
    assert "Not erased: 2 jobs of this file." in offline.out


def test_where_nothing_is_left_it_says_so(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted")
    done = command("receipts", "export")
    assert "Every job of this file is deleted or gone." in done.err
    assert "Nothing of account default waits, is on hold or is a dead letter now." in done.err
