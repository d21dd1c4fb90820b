"""`eraser receipts export -o dsse` and `--ssh-signature`."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from tests.support.receipt_keys import new_keys


@pytest.fixture
def key(undertaker: Undertaker, tmp_path: Path) -> dict[str, str]:
    new_keys(tmp_path, "receipts")
    undertaker.end("a", "b", to="deleted", claim={"by": "ann", "app_user": "user-4711"})
    return {"ERASER_RECEIPT_KEY_FILE": str(tmp_path / "receipts.key")}


def test_each_receipt_has_an_envelope_and_the_summary_stands_beside(command: Command, key: dict[str, str]) -> None:
    done = command("receipts", "export", "-o", "dsse", **key)
    assert done.code == 0, done.all
    found = [json.loads(base64.b64decode(envelope["payload"])) for envelope in done.json]
    assert [statement["predicate"]["job_id"] for statement in found] == ["a", "b"]
    assert "2  deleted" in done.err
    assert "Each line is an envelope" in done.err
    assert "user-4711" not in str(found)


def test_a_selection_has_the_envelopes_of_its_receipts(command: Command, key: dict[str, str]) -> None:
    (envelope,) = command("receipts", "export", "-o", "dsse", "--job", "b", **key).json
    assert json.loads(base64.b64decode(envelope["payload"]))["predicate"]["job_id"] == "b"


def test_without_a_key_nothing_is_written(command: Command, key: dict[str, str], tmp_path: Path) -> None:
    to = str(tmp_path / "out")
    for words in (("-o", "dsse", "--to", to), ("--to", to, "--ssh-signature")):
        done = command("receipts", "export", *words)
        assert (done.code, "set ERASER_RECEIPT_KEY_FILE" in done.err) == (2, True)
    done = command("receipts", "export", "--ssh-signature", **key)
    assert (done.code, "name one with --to" in done.err) == (2, True)
    assert not Path(to).exists()


@pytest.mark.parametrize("form", ["dsse", "jsonl"])
def test_what_is_there_is_overwritten_only_where_that_is_wanted(
    command: Command, key: dict[str, str], tmp_path: Path, form: str
) -> None:
    file, signature = tmp_path / "out", tmp_path / "out.sig"
    words = ("receipts", "export", "-o", form, "--to", str(file), "--ssh-signature")
    signature.write_text("mine")
    assert (command(*words, **key).code, file.exists()) == (2, False)
    signature.unlink()
    file.write_text("mine")
    assert (command(*words, **key).code, file.read_text(), signature.exists()) == (2, "mine", False)
    done = command(*words, "--overwrite", **key)
    assert done.code == 0, done.all
    assert signature.read_text().startswith("-----BEGIN SSH SIGNATURE-----\n")
    assert "For ssh-keygen: " in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.sig", "receipts.key", "receipts.pub"}
    assert file.stat().st_mode & 0o777 == signature.stat().st_mode & 0o777 == 0o600
