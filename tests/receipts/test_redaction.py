"""A text is removed from every receipt that is stored here, and nothing else of them changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.receipts.test_archiving import DAY, NEXT, STREAM, archive, settle
from tests.receipts.test_sealing import alter
from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.receipt_keys import Keys
from worker.execution.app_context import AppContext
from worker.ledger.receipts import Receipts
from worker.model.target import Target
from worker.receipts import redaction
from worker.receipts.archiving import archive_day
from worker.receipts.dayfiles import DayFiles
from worker.receipts.redaction import redact
from worker.receipts.sealing import seal_all
from worker.services.receipts import settled_since

SLIP = "Jane Doe, born 1990"


def slip(_: dict[str, Any], __: str, text: str) -> bool:
    return text == SLIP


def exported(command: Command, directory: Path | None = None) -> list[dict[str, Any]]:
    done = command("receipts", "export", ERASER_RECEIPTS_DIR=str(directory) if directory else None)
    assert done.code == 0, done.all
    lines: list[dict[str, Any]] = done.json
    return lines


@pytest.fixture
def slipped(undertaker: Undertaker) -> Undertaker:
    """Five receipts; the second and the fourth have a name where none may be, the fourth also of another requester."""
    undertaker.end("a", to="deleted", claim={"by": "ann", "why": "T-1"})
    undertaker.end("b", to="deleted", claim={"by": "ann", "why": SLIP})
    undertaker.end("c", to="deleted", claim={"by": "ann", "why": "T-2"})
    undertaker.request("d", by="ann", why=SLIP)
    undertaker.request("d", by="bob", why=SLIP)
    undertaker.ledger.cancel([Target(PROJECT, "d")], why=SLIP, by="ops-1")
    undertaker.end("e", to="deleted")
    seal_all(undertaker.ledger)
    return undertaker


def test_in_redis_the_text_goes_and_hashes_and_order_stay(
    command: Command, slipped: Undertaker, tmp_path: Path
) -> None:
    before = exported(command)
    found = redact(slipped.ledger, None, slip)
    assert (found.in_redis, found.in_files, found.kept) == (2, 0, 0)
    after = exported(command)
    assert [line["hash"] for line in after[:-1]] == [line["hash"] for line in before[:-1]]
    assert after[-1]["head"] == before[-1]["head"]
    assert SLIP in json.dumps(before)
    assert SLIP not in json.dumps(after)
    assert (after[1]["requested_by"], after[1]["reason"]) == ("ann", None)
    assert [claim["requested_by"] for claim in after[3]["claims"]] == [c["requested_by"] for c in before[3]["claims"]]
    assert after[0] == before[0]
    for key in slipped.redis.scan_iter("*receipts*"):
        assert SLIP.encode() not in (_content(slipped.redis, key))
    (tmp_path / "file").write_text("\n".join(map(_line, after)) + "\n")
    verified = command("receipts", "verify", str(tmp_path / "file"), "--head", before[-1]["head"])
    assert (verified.code, "4 texts of who or why: removed later" in verified.out) == (0, True), verified.all


def _line(line: dict[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)


def _content(client: redis.Redis, key: bytes) -> bytes:
    kind = client.type(key)
    reads: dict[bytes, Any] = {b"stream": client.xrange, b"hash": client.hgetall}
    return repr(reads[kind](key) if kind in reads else client.zrange(key, 0, -1)).encode()  # type: ignore[index]


def test_the_salts_of_what_is_left_are_kept_and_those_of_what_went_are_not(
    command: Command, slipped: Undertaker
) -> None:
    before = exported(command)[1]
    redact(slipped.ledger, None, slip)
    after = exported(command)[1]
    assert after["salts"] == {"requested_by": before["salts"]["requested_by"]}
    assert after["commitments"] == before["commitments"]
    raw: Any = slipped.redis.zrange(f"{STREAM}:redacted", 0, 0)[0]  # type: ignore[index]
    fields = json.loads(raw)[1]
    assert fields[fields.index("salt") + 1] == "", "the secret would lead to every salt of it"


def test_receipts_of_the_same_move_keep_no_secret_that_leads_to_a_salt_that_went(
    command: Command, undertaker: Undertaker
) -> None:
    settle(undertaker, DAY, 3)
    undertaker.end("x", to="deleted")
    before = exported(command)
    secrets = {entry.fields["salt"].partition(" ")[0] for entry in Receipts(undertaker.redis, "default").each()}
    assert len(secrets) == 2
    assert redact(undertaker.ledger, None, lambda line, place, text: line["n"] == 2).in_redis == 1
    left = [entry.fields["salt"] for entry in Receipts(undertaker.redis, "default").each()]
    assert (left[:3], bool(left[3])) == (["", "", ""], True)
    after = exported(command)
    assert [after[n] for n in (0, 2, 3)] == [before[n] for n in (0, 2, 3)]
    assert [line.get("hash") for line in after[:4]] == [line.get("hash") for line in before[:4]]


def test_twice_redacts_nothing_and_another_text_can_go_later(command: Command, slipped: Undertaker) -> None:
    head = exported(command)[-1]["head"]
    assert redact(slipped.ledger, None, slip).in_redis == 2
    assert redact(slipped.ledger, None, slip).in_redis == 0
    assert redact(slipped.ledger, None, lambda line, place, text: text == "ann").in_redis == 4
    after = exported(command)
    assert after[-1]["head"] == head
    assert {line.get("requested_by") for line in after} == {None}


def test_readers_see_redacted_receipts_in_their_place_page_by_page(command: Command, slipped: Undertaker) -> None:
    redact(slipped.ledger, None, slip)
    receipts = Receipts(slipped.redis, "default")
    assert [entry.n for entry in receipts.each()] == [1, 2, 3, 4, 5]
    first = receipts.read_page(limit=2)
    assert [entry.n for entry in first] == [1, 2]
    assert [entry.n for entry in receipts.read_page(first[-1].id, limit=2)] == [3, 4]
    assert (receipts.missing(), receipts.read_page(receipts.progress().sealed.id)) == (0, [])
    items = settled_since(AppContext.load(command.environ), PROJECT, None).items
    assert [item["reason"] for item in items] == ["T-1", None, "T-2", None, None]


def test_what_ends_later_is_chained_behind_it(command: Command, slipped: Undertaker) -> None:
    redact(slipped.ledger, None, lambda line, place, text: line["n"] == 4)
    slipped.end("f", to="deleted", claim={"why": "T-6"})
    assert [line.get("n") for line in exported(command)] == [1, 2, 3, 4, 5, 6, None]


def test_a_lost_number_goes_on_behind_a_redacted_receipt(command: Command, slipped: Undertaker) -> None:
    redact(slipped.ledger, None, lambda line, place, text: True)
    assert slipped.redis.zcard(f"{STREAM}:redacted") == 4
    slipped.redis.xdel(STREAM, *[entry for entry, _ in slipped.redis.xrange(STREAM)])  # type: ignore[union-attr]
    slipped.redis.delete(f"{STREAM}:chain")
    slipped.end("f", to="deleted")
    assert [entry.n for entry in Receipts(slipped.redis, "default").each()][-1] == 5


def test_in_the_files_of_days_the_text_goes_and_head_tree_and_signature_stay(
    command: Command, undertaker: Undertaker, tmp_path: Path, log: Keys
) -> None:
    for day in (DAY, DAY + 1):
        settle(undertaker, day, 3)
    alter(undertaker.redis, 2, why=SLIP)
    alter(undertaker.redis, 5, ew=SLIP)
    while archive_day(undertaker.ledger, tmp_path, now_ms=NEXT, signer=log[0]):
        pass
    files = DayFiles(tmp_path, "default").paths()
    before = [file.read_text() for file in files]
    found = redact(undertaker.ledger, tmp_path, slip)
    assert (found.in_redis, found.in_files, len(files)) == (0, 2, 2)
    for file, old in zip(files, before, strict=True):
        assert SLIP in old
        assert SLIP not in file.read_text()
        assert file.read_text().splitlines()[-1] == old.splitlines()[-1]
        assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "default").iterdir()) == [file.name for file in files]
    assert command("receipts", "verify", *map(str, files)).code == 0
    assert redact(undertaker.ledger, tmp_path, slip).in_files == 0
    assert [file.stat().st_ino for file in files] == [
        file.stat().st_ino for file in DayFiles(tmp_path, "default").paths()
    ]


def test_an_archived_receipt_leaves_the_redacted_ones_too(undertaker: Undertaker, tmp_path: Path) -> None:
    settle(undertaker, DAY, 3)
    alter(undertaker.redis, 2, why=SLIP)
    redact(undertaker.ledger, tmp_path, slip)
    assert archive(undertaker, tmp_path) == [3, None]
    assert (undertaker.redis.xlen(STREAM), undertaker.redis.exists(f"{STREAM}:redacted")) == (0, 0)
    (file,) = DayFiles(tmp_path, "default").paths()
    assert SLIP not in file.read_text()


def test_what_is_redacted_while_its_day_is_archived_is_redacted_in_the_file(
    undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(undertaker, DAY, 3)
    alter(undertaker.redis, 2, why=SLIP)
    write = DayFiles.write

    def meanwhile(files: DayFiles, *args: Any) -> dict[str, Any]:
        end = write(files, *args)
        monkeypatch.setattr(DayFiles, "write", write)
        assert SLIP in files.paths()[0].read_text()
        redact(undertaker.ledger, None, slip)  # by a process that does not reach the files
        return end

    monkeypatch.setattr(DayFiles, "write", meanwhile)
    assert archive_day(undertaker.ledger, tmp_path, now_ms=NEXT) == 0
    assert archive_day(undertaker.ledger, tmp_path, now_ms=NEXT) == 3
    (file,) = DayFiles(tmp_path, "default").paths()
    assert SLIP not in file.read_text()


def test_what_moves_to_a_file_meanwhile_is_found_there(
    undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(undertaker, DAY, 3)
    alter(undertaker.redis, 2, why=SLIP)
    in_files = redaction._in_files

    def moved(*args: Any) -> None:
        in_files(*args)
        monkeypatch.setattr(redaction, "_in_files", in_files)
        assert archive_day(undertaker.ledger, tmp_path, now_ms=NEXT) == 3

    monkeypatch.setattr(redaction, "_in_redis", lambda *_: None)  # it moved before this pass came to it
    monkeypatch.setattr(redaction, "_in_files", moved)
    assert redact(undertaker.ledger, tmp_path, slip).in_files == 1


def test_a_receipt_of_version_1_is_counted_and_kept(undertaker: Undertaker, tmp_path: Path) -> None:
    settle(undertaker, DAY, 2)
    alter(undertaker.redis, 2, why=SLIP, v="1")
    found = redact(undertaker.ledger, tmp_path, slip)
    assert (found.in_redis, found.kept) == (0, 1)


def test_another_text_of_a_redacted_receipt_goes_beside_receipts_of_version_1(undertaker: Undertaker) -> None:
    settle(undertaker, DAY, 3)
    alter(undertaker.redis, 2, why=SLIP)
    alter(undertaker.redis, 3, v="1", salt="")
    assert redact(undertaker.ledger, None, slip).in_redis == 1
    assert redact(undertaker.ledger, None, lambda line, place, text: line["n"] == 2).in_redis == 1
