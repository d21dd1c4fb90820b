"""What has left Redis is shown from the archive; where that cannot be read, it is said, and nothing is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.archives import leave
from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.erasures import PARTS, erased
from worker.ledger.archived import key_of
from worker.model.erasure import Verdict
from worker.model.target import Target


@pytest.fixture
def archive(command: Command, undertaker: Undertaker, tmp_path: Path) -> Path:
    undertaker.end("one", to="deleted", claim={"by": "ann", "why": "T-1"})
    undertaker.end("two", to="deleted")
    erased(undertaker, "three", Verdict.WHOLE_BY_ACKNOWLEDGEMENT, [PARTS[2]])
    command.environ["ERASER_RECEIPTS_DIR"] = str(tmp_path)
    before = {job: json.loads(command("show", job, "--json").out) for job in ("one", "three")}
    leave(undertaker, tmp_path, 3)
    (tmp_path / "before.json").write_text(json.dumps(before))
    return tmp_path


def test_show_finds_the_rest_in_the_archive_and_says_what_is_not_there(command: Command, archive: Path) -> None:
    for job, before in json.loads((archive / "before.json").read_text()).items():
        after = json.loads(command("show", job, "--json").out)
        assert {name for name in before if before[name] != after[name]} == {"attempts", "deadline_at", "archived"}
        assert (after["attempts"], after["deadline_at"]) == ([], None)
        assert after["archived"]["problem"] is None
        assert (after["archived"]["attempts"], after["archived"]["status"]) == (1, 200)
        assert after["archived"]["request_id"] == "req-1"
    expected = command("show", "three").out
    assert "archived" in expected
    assert "not kept: its calls and looks one by one" in expected
    assert "whole_by_acknowledgement" in expected


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        ("no directory", "set ERASER_RECEIPTS_DIR to their directory"),
        ("lost", "is in none of the files"),
        ("altered", "has it no more"),
        ("another's", "another one's"),
        ("unreadable", "the files of receipts: Is a directory"),
    ],
)
def test_a_lost_or_damaged_archive_is_told_and_never_taken_for_never_known(
    command: Command, undertaker: Undertaker, archive: Path, harm: str, expected: str
) -> None:
    (file,) = (archive / "default").iterdir()
    match harm:
        case "no directory":
            del command.environ["ERASER_RECEIPTS_DIR"]
        case "lost":
            file.unlink()
        case "altered":
            file.write_text(file.read_text().replace("T-1", "T-2"))
        case "unreadable":
            file.unlink()
            file.mkdir()
        case _:
            undertaker.redis.hset(key_of(undertaker.ledger.prefix, Target(PROJECT, "one"))[0], "one", "d--y- 1 0 2 1")
    done = command("show", "one", "--json")
    assert done.code == 0
    one = json.loads(done.out)
    assert (one["state"], one["deadline_at"], one["requested_by"]) == ("deleted", None, None)
    assert one["requested_at"] is not None
    assert expected in one["archived"]["problem"]
    assert expected in " ".join(command("show", "one").out.split())
    assert str(archive) not in done.out, "where a server has its files is nobody's concern who may only read"


def test_it_counts_and_merges_as_before(command: Command, archive: Path) -> None:
    assert json.loads(command("status", "--json").out)["states"]["deleted"] == 3
    listed = command("list", "--state", "deleted,dead").out
    assert listed == (
        "No deletion matches these filters.\n"
        "Not listed: 3 archived deletions, each of which eraser show finds; eraser receipts export has them all.\n"
    )
    ended = command("list", "--state", "deleted,dead", "-o", "json")
    assert (ended.out, ended.err) == ("", listed)
    ended = command("list", "--state", "deleted,dead", "-o", "csv")
    assert (ended.out.count("\n"), ended.err) == (1, listed), "the columns' names, and no row"
    assert command("list", "--state", "gone").out == "No deletion is in these states.\n"
    again = json.loads(command("request", "one", "--json").out)
    assert (again["state"], again["deduplicated"], again["accepted"]) == ("deleted", True, True)
    assert json.loads(command("request", "one", "--force", "--json").out)["state"] == "pending"
    expected = command("show", "one").out
    assert "what was before is in the archive, receipt 1" in expected


def test_its_certificate_is_found(command: Command, archive: Path) -> None:
    assert json.loads(command("receipts", "show", "job:one", "--project", PROJECT, "--json").out)["receipt"]["n"] == 1
