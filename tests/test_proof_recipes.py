"""The recipes of docs/proof.md that need nothing of ours: each is run as it stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.receipts.test_archiving import DAY, NEXT, settle
from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from tests.support.receipt_keys import new_keys
from worker.receipts.archiving import archive_day

PAGE = (Path(__file__).parents[1] / "docs/proof.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
TSA = """
[tsa]
default_tsa = t
[t]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@pytest.fixture
def folder(command: Command, undertaker: Undertaker, tmp_path: Path) -> Path:
    """An export, its envelopes, its signature, a certificate and the public key, and nothing else of ours."""
    new_keys(tmp_path, "receipts")
    key = {"ERASER_RECEIPT_KEY_FILE": str(tmp_path / "receipts.key")}
    undertaker.end("a", "b", to="deleted", claim={"by": "ann", "why": "TICKET-4711, late"})
    for words in (
        ("export", "--to", str(tmp_path / "receipts.jsonl"), "--ssh-signature"),
        ("export", "-o", "dsse", "--to", str(tmp_path / "receipts.dsse")),
        ("show", "a", "--to", str(tmp_path / "certificate.json")),
    ):
        done = command("receipts", *words, **key)
        assert done.code == 0, done.all
    (tmp_path / "receipts.key").unlink()
    return tmp_path


def block(part: str) -> str:
    (found,) = [block for block in BLOCKS if part in block]
    return found


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    for tool in ("jq", "openssl", "ssh-keygen"):
        if tool in script and shutil.which(tool) is None:
            pytest.skip(f"no {tool} on PATH")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_the_page_has_these_recipes_and_no_other() -> None:
    parts = ("head -n1 receipts.jsonl", "tail -n1 receipts.jsonl | jq -cS", ".receipt | del", ".proof", "receipts.dsse")
    assert [block(part) for part in (*parts, "ssh-keygen", "ts -query", "ts -verify")] == BLOCKS


def test_the_hash_and_a_commitment(folder: Path) -> None:
    first = json.loads((folder / "receipts.jsonl").read_text().splitlines()[0])
    done = run(block("head -n1 receipts.jsonl"), folder)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [first["hash"], first["commitments"]["reason"]]


@pytest.mark.parametrize(
    ("part", "file", "old", "new"),
    [
        ("tail -n1 receipts.jsonl | jq -cS", "receipts.jsonl", '"count":2', '"count":3'),
        (".receipt | del", "certificate.json", '"state":"deleted"', '"state":"gone"'),
        ("receipts.dsse", "receipts.dsse", '"payload":"ey', '"payload":"fy'),
        ("ssh-keygen", "receipts.jsonl", "deleted", "gone"),
    ],
)
def test_a_signature_verifies_and_that_of_an_altered_file_does_not(
    folder: Path, part: str, file: str, old: str, new: str
) -> None:
    done = run(block(part), folder)
    assert done.returncode == 0, done.stderr
    assert "Verified Successfully" in done.stdout or 'Good "file" signature for receipts' in done.stdout
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert run(block(part), folder).returncode != 0


@pytest.mark.parametrize("size", [1, 2, 3, 6, 11])
def test_the_proof_in_a_certificate(command: Command, undertaker: Undertaker, tmp_path: Path, size: int) -> None:
    signer, _ = new_keys(tmp_path, "receipts")
    jobs = settle(undertaker, DAY, size)
    archive_day(undertaker.ledger, tmp_path / "d", now_ms=NEXT, signer=signer)
    there = {"ERASER_RECEIPTS_DIR": str(tmp_path / "d"), "ERASER_RECEIPT_KEY_FILE": str(tmp_path / "receipts.key")}
    for job in {jobs[0], jobs[size // 2], jobs[-1]}:
        certificate = command("receipts", "show", job, "--json", **there).out
        (tmp_path / "certificate.json").write_text(certificate)
        done = run(block(".proof"), tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["the receipt is in the tree", "Signature Verified Successfully"]
    hash = json.loads(certificate)["receipt"]["hash"]
    (tmp_path / "certificate.json").write_text(certificate.replace(hash, "0" * 64))
    assert "the receipt is in the tree" not in run(block(".proof"), tmp_path).stdout


def test_a_time_stamp(folder: Path) -> None:
    """The authority is a key of the test's own."""
    done = run(block("ts -query"), folder)
    assert done.returncode == 0, done.stderr
    (folder / "tsa.cnf").write_text(TSA)
    (folder / "serial").write_text("01\n")
    made = run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.pem -subj /CN=tsa -days 2 "
        "-addext extendedKeyUsage=critical,timeStamping && "
        "openssl ts -reply -config tsa.cnf -section t -queryfile head.tsq -signer tsa.pem -inkey tsa.key -out head.tsr",
        folder,
    )
    assert made.returncode == 0, made.stderr
    done = run(block("ts -verify"), folder)
    assert (done.returncode, "Verification: OK" in done.stdout) == (0, True), done.stderr
    (folder / "head").write_text((folder / "head").read_text().replace(":2}", ":3}"))
    assert run(block("ts -verify"), folder).returncode != 0
