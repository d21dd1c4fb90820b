"""`eraser receipts show`, `verify` of one certificate, and `cosign`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.receipts.test_archiving import settle
from tests.receipts.test_sealing import alter
from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.receipt_keys import new_keys
from worker.ledger.receipts import DAY_MS
from worker.model.target import Target
from worker.receipts.archiving import archive_day
from worker.receipts.signature import Signer
from worker.receipts.tlog_proof import TlogProof

FORMS = pytest.mark.parametrize("form", ["txt", "html", "json"])
CLAIM = {"by": "ann", "why": "T-1", "app_user": "user-4711"}
DAY = int(time.time() * 1000) // DAY_MS - 3


class Office:
    """An installation that signs, with files, and a person who knows only the public key."""

    def __init__(self, command: Command, undertaker: Undertaker, folder: Path) -> None:
        self.command, self.undertaker, self.folder = command, undertaker, folder
        for name in ("receipts", "witness"):
            new_keys(folder, name)
        self.there = {"ERASER_RECEIPT_KEY_FILE": str(folder / "receipts.key"), "ERASER_RECEIPTS_DIR": str(folder / "d")}

    def show(self, job: str, form: str, **settings: str | None) -> Path:
        file = self.folder / f"certificate-{job}.{form}"
        done = self.command("receipts", "show", job, "--to", str(file), **self.there | settings)
        assert done.code == 0, done.all
        signed = settings.get("ERASER_RECEIPT_KEY_FILE", "") is not None
        assert done.err.strip().endswith("--key receipts.pub" if signed else str(file)), "it names no key that is not"
        return file

    def verify(self, file: Path, *words: str) -> tuple[int, str]:
        key = ("--key", str(self.folder / "receipts.pub"))
        done = self.command("receipts", "verify", str(file), *key, *words, ERASER_REDIS_URL=None, ERASER_REGION="none")
        return done.code, done.all

    def archive(self, day: int = DAY) -> Path:
        """Archive that day, with some jobs of others in it, and return its file."""
        signer = Signer.load(self.folder / "receipts.key")
        now_ms = (day + 1) * DAY_MS + 5
        assert archive_day(self.undertaker.ledger, self.folder / "d", now_ms=now_ms, signer=signer)
        return max((self.folder / "d" / "default").glob("*.jsonl"))

    def cosign(self, file: Path, *words: str, name: str = "witness.example/w1") -> Any:
        keys = ("--key", str(self.folder / "witness.key"), "--log-key", str(self.folder / "receipts.pub"))
        state = ("--state", str(self.folder / "cosigned.jsonl"))
        return self.command("receipts", "cosign", str(file), *keys, *state, "--name", name, *words)


@pytest.fixture
def office(command: Command, undertaker: Undertaker, tmp_path: Path) -> Office:
    return Office(command, undertaker, tmp_path)


# -- show and verify ---------------------------------------------------------------------------------------------------


@FORMS
def test_a_certificate_is_verified_with_nothing_but_the_file_and_the_public_key(office: Office, form: str) -> None:
    office.undertaker.end("a", "b", to="deleted", claim=CLAIM)
    file = office.show("a", form)
    code, output = office.verify(file)
    assert code == 0, output
    assert "The avatar training job a was deleted" in output
    assert "the key that you gave" in output
    assert "user-4711" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@FORMS
def test_once_its_day_is_archived_it_has_a_proof_and_nobody_elses_receipt(office: Office, form: str) -> None:
    jobs = settle(office.undertaker, DAY, 9)
    office.archive()
    file = office.show(jobs[4], form)
    code, output = office.verify(file)
    assert (code, "one of 9 receipts of avatar-eraser/default/" in output) == (0, True), output
    assert not [job for job in jobs if job != jobs[4] and job in file.read_text()]


def test_the_proof_is_that_of_its_place(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 5)
    office.archive()
    for index, job in enumerate(jobs):
        certificate = json.loads(office.show(job, "json").read_text())
        assert TlogProof.read(certificate["proof"]).index == index
        assert certificate["receipt"]["job_id"] == job
        assert office.verify(office.folder / f"certificate-{job}.json")[0] == 0


@FORMS
@pytest.mark.parametrize("old_new", [("ann", "bob"), ("T-1", "T-2"), ("deleted", "held"), ("default", "other")])
def test_any_altered_word_of_it_is_found(office: Office, form: str, old_new: tuple[str, str]) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    file = office.show("a", form)
    text = file.read_text()
    assert old_new[0] in text
    for change in (text.replace(*old_new, 1), text.replace(*old_new)):
        file.write_text(change)
        code, output = office.verify(file)
        assert code == 1, output
        assert "altered" in output or "does not match" in output


def test_words_around_a_receipt_that_verifies_are_compared_with_it(office: Office) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    for form, old in (("html", "<h1>"), ("txt", "CERTIFICATE")):
        file = office.show("a", form)
        file.write_text(file.read_text().replace(old, f"{old}Everything was erased. ", 1))
        code, output = office.verify(file)
        assert (code, "its words are not those of its receipt" in output) == (1, True)
        file.unlink()


def test_unsigned_it_proves_nothing_and_says_so(office: Office) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    file = office.show("a", "txt", ERASER_RECEIPT_KEY_FILE=None)
    assert "Nobody signed it: by itself it proves nothing to others." in " ".join(file.read_text().split())
    code, output = office.verify(file)
    assert (code, "not signed" in output) == (1, True)
    done = office.command("receipts", "verify", str(file))
    assert (done.code, "Not verified independently: pass --key" in done.out) == (0, True)


def test_it_is_of_the_latest_receipt_wherever_that_stands(office: Office) -> None:
    (job,) = settle(office.undertaker, DAY, 1)
    office.archive()
    office.undertaker.end(job, to="deleted", claim={"force": True, "by": "ann"})
    certificate = json.loads(office.show(job, "json").read_text())
    assert (certificate["receipt"]["state"], certificate["proof"]) == ("deleted", None)
    (office.folder / f"certificate-{job}.json").unlink()
    office.undertaker.redis.delete(f"eraser:{{default}}:d:{PROJECT}/{job}")  # records expire
    assert json.loads(office.show(job, "json").read_text())["receipt"]["state"] == "deleted"


def test_an_older_day_is_found_when_the_record_has_expired(office: Office) -> None:
    jobs = [settle(office.undertaker, DAY + day, 3)[0] for day in range(3)]
    for day in range(3):
        office.archive(DAY + day)
    for job in jobs:
        office.undertaker.redis.delete(f"eraser:{{default}}:d:{PROJECT}/{job}")
        assert office.verify(office.show(job, "txt"))[0] == 0


def test_a_day_that_was_archived_without_a_key_is_signed_now(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 3)
    archive_day(office.undertaker.ledger, office.folder / "d", now_ms=(DAY + 1) * DAY_MS + 5)
    assert json.loads(office.show(jobs[0], "json").read_text())["proof"] is not None
    assert office.verify(office.folder / f"certificate-{jobs[0]}.json")[0] == 0
    bare = office.show(jobs[1], "json", ERASER_RECEIPT_KEY_FILE=None)
    assert json.loads(bare.read_text())["proof"] is None


def test_a_day_that_was_altered_gives_no_certificate(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 5)
    file = office.archive()
    whole = file.read_bytes()
    hashes = re.findall(rb'"hash":"([0-9a-f]{64})"', whole)
    for change in (
        whole.replace(hashes[3], b"0" * 64),
        whole.replace(b'"n":1,', b'"n":01,'),
        whole.replace(hashes[3] + b'"}', hashes[3] + b'" }'),
    ):
        assert change != whole
        file.write_bytes(change)
        done = office.command("receipts", "show", jobs[0], **office.there)
        assert (done.code, f"default/{file.name}" in done.err, done.out) == (1, True, ""), done.err
        assert "was altered" in done.err
        assert str(office.folder) not in done.err


def test_without_a_receipt_it_says_what_to_type(office: Office, undertaker: Undertaker) -> None:
    undertaker.request("waits")
    for job in ("waits", "unknown"):
        done = office.command("receipts", "show", job)
        assert (done.code, f"there is no receipt of job {job}" in done.err) == (1, True)
        assert f"eraser show {job} --project {PROJECT}" in done.err
    jobs = settle(undertaker, DAY, 1)
    office.archive()
    done = office.command("receipts", "show", jobs[0])
    assert (done.code, "set ERASER_RECEIPTS_DIR to their directory" in done.err) == (1, True)


def test_a_file_that_is_there_is_not_overwritten(office: Office) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    file = office.show("a", "txt")
    before = file.read_text()
    done = office.command("receipts", "show", "a", "--to", str(file), **office.there)
    assert (done.code, "exists already" in done.err, file.read_text()) == (2, True, before)


def test_the_form_follows_the_name_of_the_file_or_what_was_chosen(office: Office) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    assert office.show("a", "html").read_text().startswith("<!doctype html>")
    assert office.command("receipts", "show", "a").out.startswith("CERTIFICATE OF DELETION")
    assert office.command("receipts", "show", "a", "--json").json[0]["kind"] == "avatar-eraser certificate"
    other = office.folder / "page.html"
    assert office.command("receipts", "show", "a", "-o", "txt", "--to", str(other)).code == 0
    assert other.read_text().startswith("CERTIFICATE OF DELETION")


def test_programs_get_the_result_as_json(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 3)
    office.archive()
    code, output = office.verify(office.show(jobs[1], "html"), "--json")
    (found,) = [json.loads(line) for line in output.splitlines()]
    assert (code, found["ok"], found["by_key"], found["size"]) == (0, True, True, 3)
    assert found["certificate"]["job_id"] == jobs[1]


# -- a witness ---------------------------------------------------------------------------------------------------------


def test_a_witness_cosigns_a_day_and_certificates_of_it_say_so(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 3)
    day = office.archive()
    done = office.cosign(day)
    assert (done.code, "3 receipts, cosigned in" in done.out) == (0, True), done.all
    witness = ("--witness", f"witness.example/w1={office.folder / 'witness.pub'}")
    code, output = office.verify(office.show(jobs[0], "html"), *witness)
    assert (code, "cosigned by  witness.example/w1" in output) == (0, True), output
    other = ("--witness", f"witness.example/w1={office.folder / 'receipts.pub'}")
    assert office.verify(office.folder / f"certificate-{jobs[0]}.html", *other)[0] == 1
    assert office.command("receipts", "verify", str(day), "--key", str(office.folder / "receipts.pub")).code == 0


def test_a_checkpoint_alone_is_enough_for_a_witness_and_a_second_time_changes_nothing(office: Office) -> None:
    settle(office.undertaker, DAY, 3)
    note = json.loads(office.archive().read_text().splitlines()[-1])["checkpoint"]
    file = office.folder / "day.checkpoint"
    file.write_text(note)
    assert office.cosign(file).code == 0
    cosigned = file.read_text()
    assert (cosigned.startswith(note), cosigned.count("\n")) == (True, note.count("\n") + 1)
    assert office.cosign(file).code == 0
    assert file.read_text() == cosigned
    assert office.cosign(file, name="another.example/w2").code == 0
    assert file.read_text().count("\n") == note.count("\n") + 2


def test_a_witness_refuses_a_second_story_of_a_day(office: Office) -> None:
    settle(office.undertaker, DAY, 3)
    day = office.archive()
    assert office.cosign(day).code == 0
    office.undertaker.redis.flushall()
    (office.folder / "d").rename(office.folder / "away")
    settle(office.undertaker, DAY, 4)
    done = office.cosign(office.archive())
    assert (done.code, "another checkpoint of avatar-eraser/default/" in done.err) == (3, True)
    assert not list((office.folder / "d" / "default").glob("*.checkpoint"))


def test_a_witness_cosigns_nothing_that_does_not_verify(office: Office) -> None:
    settle(office.undertaker, DAY, 3)
    day = office.archive()
    note = json.loads(day.read_text().splitlines()[-1])["checkpoint"]
    file = office.folder / "day.checkpoint"
    for wrong in (note.replace("\n3\n", "\n4\n"), "no note", note.replace("default", "other")):
        file.write_text(wrong)
        done = office.cosign(file)
        assert (done.code, "Nothing was cosigned" in done.err, file.read_text()) == (1, True, wrong)
    day.write_text(day.read_text().replace("job-", "jub-", 1))
    assert office.cosign(day).code == 1
    assert not (office.folder / "cosigned.jsonl").exists()


def test_a_witness_is_somebody_else_and_has_a_good_name(office: Office) -> None:
    settle(office.undertaker, DAY, 3)
    day = office.archive()
    own = office.cosign(day, "--key", str(office.folder / "receipts.key"))
    assert (own.code, "a witness is somebody else" in own.err) == (2, True)
    assert office.cosign(day, name="a b").code == 2
    (office.folder / "cosigned.jsonl").write_text("hello\n")
    spoilt = office.cosign(day)
    assert (spoilt.code, "is not a file of this command" in spoilt.err) == (1, True)


def test_a_checkpoint_of_something_else_beside_a_day_is_not_used(office: Office) -> None:
    jobs = settle(office.undertaker, DAY, 3)
    day = office.archive()
    day.with_suffix(".checkpoint").write_text("something else")
    assert office.verify(office.show(jobs[0], "json"))[0] == 0
    done = office.cosign(day)
    assert (done.code, "find out why, and move it away" in done.err) == (1, True)


def test_a_job_of_another_kind_of_name_is_refused(office: Office) -> None:
    assert office.command("receipts", "show", "a/b").code == 2
    assert office.command("receipts", "verify", "x", "--witness", "w").code == 2


def test_a_redacted_reason_is_said_to_be_redacted(office: Office) -> None:
    undertaker = office.undertaker
    undertaker.request("g", **CLAIM)
    undertaker.ledger.cancel([Target(PROJECT, "g")], why="T-3", by="ops-1")
    text = " ".join(office.show("g", "txt").read_text().split())
    for part in ("Requested: ", "by ann; reason: T-1", "Withdrawn: by ops-1; reason: T-3"):
        assert part in text


@FORMS
def test_what_became_of_the_parts_is_on_the_certificate_and_can_be_verified(office: Office, form: str) -> None:
    office.undertaker.end("a", to="deleted", claim=CLAIM)
    parts = [
        {"part": "model_asset", "id": "as-1", "removed_by": "us", "evidence": "purged", "calls": 1},
        {"part": "voice_job", "id": "v-1", "evidence": "kept"},
    ]
    alter(office.undertaker.redis, 1, er="partial", iv="done", ev="verified", pa=json.dumps(parts))
    file = office.show("a", form)
    code, output = office.verify(file)
    assert (code, "It was asked about again on" in output) == (0, True), output
    if form == "json":
        assert [part["evidence"] for part in json.loads(file.read_text())["receipt"]["related"]] == ["purged", "kept"]
    else:
        text = " ".join(file.read_text().replace("</dt><dd>", ": ").split())
        assert "Its model asset: as-1: gone, removed by our call" in text
        assert "Its voice training job v-1: still there: it was not to be deleted." in text
    file.write_text(file.read_text().replace("as-1", "as-2"))
    assert office.verify(file)[0] == 1
