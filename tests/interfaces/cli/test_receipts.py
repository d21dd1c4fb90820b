"""`eraser receipts`: export, verify, recheck."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, near
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.waiting import wait_until
from worker.model.target import Target
from worker.receipts.sealing import seal_all
from worker.simulator import FaultKind, Simulator

STREAM = "eraser:{default}:receipts"


@pytest.fixture
def ended(undertaker: Undertaker) -> Undertaker:
    """Seven jobs: four deleted, one of them again; one gone, one discarded, one cancelled."""
    undertaker.end("a", "b", "c", "d", to="deleted", claim={"by": "ann", "why": "T-1", "app_user": "user-4711"})
    undertaker.end("e", to="gone", status=None, evidence="after_our_call", event={"found": "absent", "request_id": "y"})
    undertaker.end("f")
    undertaker.ledger.discard([Target(PROJECT, "f")], why="T-2", by="ops-1")
    undertaker.request("g")
    undertaker.ledger.cancel([Target(PROJECT, "g")], why="T-3")
    undertaker.end("a", to="deleted", claim={"force": True})
    return undertaker


# -- export ------------------------------------------------------------------------------------------------------------


def test_an_export_has_every_receipt_and_a_summary_that_tells_the_ends_apart(
    command: Command, ended: Undertaker, tmp_path: Path
) -> None:
    file = tmp_path / "receipts.jsonl"
    done = command("receipts", "export", "--to", str(file))
    assert done.code == 0, done.all
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["job_id"] for line in lines[:-1]] == ["a", "b", "c", "d", "e", "f", "g", "a"]
    assert file.stat().st_mode & 0o777 == 0o600
    for results in (
        "4  deleted",
        "1  gone, with evidence",
        "1  after_our_call",
        "1  discarded",
        "1  cancelled",
        "7  jobs",
    ):
        assert results in done.out
    assert "1 earlier receipt of them superseded" in done.out
    assert f"eraser receipts verify {file} --head {lines[-1]['head']}" in done.out
    assert "user-4711" not in file.read_text() + done.all


def test_without_a_file_the_receipts_have_stdout_for_themselves(command: Command, ended: Undertaker) -> None:
    done = command("receipts", "export")
    assert [line.get("job_id") for line in done.json] == ["a", "b", "c", "d", "e", "f", "g", "a", None]
    assert "4  deleted" in done.err
    summary = json.loads(command("receipts", "export", "-o", "csv", "--json").err)
    assert {name: summary[name] for name in ("deleted", "gone", "discarded", "cancelled", "jobs", "superseded")} == {
        "deleted": 4,
        "gone": 1,
        "discarded": 1,
        "cancelled": 1,
        "jobs": 7,
        "superseded": 1,
    }
    assert summary["gone_by_evidence"] == {"after_our_call": 1}
    assert summary["head"] == done.json[-1]["head"]


def test_csv_is_read_by_any_reader_of_csv(command: Command, ended: Undertaker) -> None:
    rows = list(csv.DictReader(command("receipts", "export", "-o", "csv").out.splitlines()))
    assert [row["state"] for row in rows[:-1]] == ["deleted"] * 4 + ["gone", "discarded", "cancelled", "deleted"]
    assert rows[0]["requested_by"] == "ann"


def test_since_leaves_out_what_was_settled_before(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    settled = command("receipts", "export").json[7]["finished_at"]
    done = command("receipts", "export", "--since", settled)
    expected = [line["n"] for line in command("receipts", "export").json[:-1] if line["finished_at"] >= settled]
    assert [line["n"] for line in done.json[:-1]] == expected
    file = tmp_path / "part"
    file.write_text(done.out)
    verified = command("receipts", "verify", str(file), "--head", done.json[-1]["head"])
    assert verified.code == 0
    assert f"It starts with receipt {expected[0]}: earlier receipts" in verified.out
    assert command("receipts", "export", "--since", "yesterday").code == 2


def test_nothing_to_export_is_said(command: Command, tmp_path: Path) -> None:
    done = command("receipts", "export", "--to", str(tmp_path / "none"))
    assert done.code == 0
    assert "nothing finished in that time" in done.out
    assert command("receipts", "verify", str(tmp_path / "none")).code == 0


def test_what_was_altered_inside_redis_is_not_exported(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    command("receipts", "export")
    entries = ended.redis.xrange(STREAM)
    ended.redis.xdel(STREAM, entries[2][0])  # type: ignore[index]
    done = command("receipts", "export", "--to", str(tmp_path / "none"))
    assert done.code == 1
    assert "receipt 3 in Redis was changed after it was sealed: it is missing" in done.err
    assert not (tmp_path / "none").exists()


def test_what_came_after_a_break_is_exported_by_the_command_that_its_error_names(
    command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    undertaker.end(*[f"e-{n}" for n in range(110)], to="deleted")
    seal_all(undertaker.ledger)
    seconds, micros = undertaker.redis.time()
    wait_until(lambda: undertaker.redis.time() > (seconds, micros + 2000), every=0)
    undertaker.redis.xdel(STREAM, undertaker.redis.xrange(STREAM)[2][0])  # type: ignore[index]
    alone = command("receipts", "export", "--to", str(tmp_path / "none"))
    assert (alone.code, "can be exported later" in alone.err) == (1, True), alone.err
    undertaker.end("f-1", "f-2", to="deleted")
    refused = command("receipts", "export", "--to", str(tmp_path / "none"))
    assert refused.code == 1
    assert "What came after receipt 110 continues from the head that was sealed there" in refused.err
    typed = refused.err.splitlines()[-1].replace("FILE", str(tmp_path / "rest")).split()
    assert typed[:3] == ["eraser", "receipts", "export"]
    assert command(*typed[1:]).code == 0
    lines = [json.loads(line) for line in (tmp_path / "rest").read_text().splitlines()]
    assert [line.get("n") for line in lines] == [111, 112, None]
    seals: Any = undertaker.redis.zrange(f"{STREAM}:seals", 0, -1)
    assert [lines[0]["prev"]] == [seal.decode().split()[1] for seal in seals]


def test_what_was_lost_before_it_was_sealed_shows(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    ended.redis.xdel(STREAM, ended.redis.xrange(STREAM)[2][0])  # type: ignore[index]
    done = command("receipts", "export", "--to", str(tmp_path / "some"))
    assert done.code == 1
    assert "It does not verify: line 3: dropped: receipt 3 is missing before this line" in done.out


def test_a_place_that_cannot_be_written_is_told(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    done = command("receipts", "export", "--to", str(tmp_path / "no" / "such" / "folder"))
    assert done.code == 2
    assert "cannot write" in done.err


# -- verify ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(command: Command, ended: Undertaker, tmp_path: Path) -> Path:
    file = tmp_path / "receipts.jsonl"
    assert command("receipts", "export", "--to", str(file)).code == 0
    return file


def offline(command: Command, *args: str) -> tuple[int, str]:
    done = command("receipts", "verify", *args, ERASER_REDIS_URL=None, ERASER_REGION="nonsense")
    return done.code, done.all


def test_verify_needs_neither_redis_nor_settings(command: Command, exported: Path) -> None:
    code, output = offline(command, str(exported))
    assert code == 0, output
    assert "verified. 8 receipts of account default, 1 to 8" in output
    assert "Not verified independently: pass --head or --key" in output


def test_the_forgery_that_the_readme_shows_is_answered_as_it_says(command: Command, exported: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    ((wanted, forged, answer),) = re.findall(r"sed -i 's/([^/]+)/([^/]+)/g' receipts\.jsonl; .*\n(.+)\n", readme)
    assert wanted != forged
    exported.write_text(exported.read_text().replace('"e"', f'"{forged}"'))  # as sed does it, in each of its fields
    _, output = offline(command, str(exported))
    assert output.strip() == answer.replace("receipts.jsonl", str(exported)).replace("17", "5")


def test_verify_says_which_line_and_ends_with_1(command: Command, exported: Path) -> None:
    exported.write_text(exported.read_text().replace('"state":"gone"', '"state":"deleted"'))
    code, output = offline(command, str(exported))
    assert code == 1
    assert "line 5: altered: receipt 5 (job e) has a hash mismatch" in output
    code, output = offline(command, str(exported), "--json")
    assert (code, json.loads(output)["line"]) == (1, 5)


def test_verify_reads_no_pipe(command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, out = offline(command, str(tmp_path / "pipe"))
    assert (code, "save it to a file first" in out) == (2, True)


def test_verify_with_the_head(command: Command, exported: Path) -> None:
    head = json.loads(exported.read_text().splitlines()[-1])["head"]
    assert offline(command, str(exported), "--head", head)[0] == 0
    code, output = offline(command, str(exported), "--head", "0" * 64)
    assert (code, "not the one given" in output) == (1, True)


def test_verify_with_the_key(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    key, public, file = tmp_path / "receipts.key", tmp_path / "receipts.pub", tmp_path / "receipts.jsonl"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    done = command("receipts", "export", "--to", str(file), ERASER_RECEIPT_KEY_FILE=str(key))
    assert "signed by    SHA256:" in done.out
    assert offline(command, str(file), "--key", str(public))[0] == 0
    command("receipts", "export", "--to", str(file), "--overwrite")
    code, output = offline(command, str(file), "--key", str(public))
    assert (code, "not signed" in output) == (1, True)
    assert offline(command, str(file), "--key", str(key))[0] == 2
    assert offline(command, str(tmp_path / "none"))[0] == 1


def test_a_key_that_is_none_is_told(command: Command, ended: Undertaker, tmp_path: Path) -> None:
    bad = tmp_path / "bad.key"
    bad.write_text("my secret")
    done = command("receipts", "export", ERASER_RECEIPT_KEY_FILE=str(bad))
    assert done.code == 2
    assert "openssl genpkey -algorithm ed25519" in done.err
    assert "my secret" not in done.all


def test_many_are_exported_and_verified(command: Command, undertaker: Undertaker, tmp_path: Path) -> None:
    jobs = [f"job-{n}" for n in range(3_000)]  # six pages
    undertaker.request(*jobs)
    undertaker.ledger.cancel([Target(PROJECT, job) for job in jobs], why="T-1")
    for form in ("jsonl", "csv"):
        file = tmp_path / f"receipts.{form}"
        assert command("receipts", "export", "-o", form, "--to", str(file)).code == 0
        done = command("receipts", "verify", str(file), "--json")
        assert done.code == 0
        assert (done.json[0]["receipts"], done.json[0]["cancelled"]) == (3_000, 3_000)
        lines = file.read_bytes().splitlines(keepends=True)
        lines[2_000], lines[2_001] = lines[2_001], lines[2_000]
        file.write_bytes(b"".join(lines))
        assert "line 2,001: moved" in command("receipts", "verify", str(file)).out


# -- recheck -----------------------------------------------------------------------------------------------------------


def test_recheck_finds_what_came_back_and_says_how_to_request_it(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    simulator.fill(3)
    done = command("receipts", "recheck", **near(simulator))
    assert done.code == 0, done.all
    assert "5 jobs checked: 5 still gone, 0 came back, 0 could not be checked." in done.out
    simulator.add_job("b")
    done = command("receipts", "recheck", **near(simulator))
    assert done.code == 1
    assert f"eraser request b --project {PROJECT} --force" in done.out
    assert "4 still gone, 1 came back" in done.out
    results = {line["job_id"]: line["now"] for line in command("receipts", "recheck", "--json", **near(simulator)).json}
    assert results == {"a": "gone", "b": "back", "c": "gone", "d": "gone", "e": "gone"}


def test_recheck_asks_for_the_latest_ones_where_it_may_not_ask_for_all(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    done = command("receipts", "recheck", "--max", "2", **near(simulator))
    assert "2 jobs checked" in done.out
    assert "3 older ones not checked" in done.out


def test_recheck_respects_a_pause(command: Command, ended: Undertaker, simulator: Simulator) -> None:
    ended.ledger.pause(why="T-9")
    done = command("receipts", "recheck", **near(simulator))
    assert done.code == 4
    assert "eraser resume" in done.err
    assert simulator.calls() == []


def test_recheck_takes_no_absence_for_proof_where_the_key_sees_no_job_at_all(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    done = command("receipts", "recheck", **near(simulator))
    assert done.code == 1
    assert "0 still gone, 0 came back, 5 could not be checked" in done.out
    assert "neither is any other job of the project: no proof" in done.out
    simulator.fill(3)
    simulator.set_credential(simulator.ak, simulator.sk, sees_jobs=False)
    done = command("receipts", "recheck", **near(simulator))
    assert (done.code, "0 still gone" in done.out) == (1, True), "that it has seen some before proves nothing of now"


def test_recheck_asks_control_questions_once_for_all_of_a_few_seconds(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    simulator.fill(3)
    done = command("receipts", "recheck", **near(simulator))
    assert (done.code, "5 still gone" in done.out) == (0, True), done.all
    called = [call["job_id"] for call in simulator.calls()]
    assert (called[0], sorted(called[1:-1]), called[-1]) == (None, ["a", "b", "c", "d", "e"], None)


def test_recheck_believes_no_list_that_contradicts_itself(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    simulator.fill(3)
    for lists in ("no_rows", "foreign"):
        simulator.set_answers(lists=lists)
        done = command("receipts", "recheck", **near(simulator))
        assert done.code in (1, 4), lists
        assert "still gone" not in done.out or "0 still gone" in done.out, lists


def test_recheck_says_what_could_not_be_asked(command: Command, ended: Undertaker, simulator: Simulator) -> None:
    simulator.fill(3)
    simulator.fault(FaultKind.FORBIDDEN, "d", method="GET", times=None)
    done = command("receipts", "recheck", "--json", **near(simulator))
    assert done.code == 1
    now = {line["job_id"]: line["now"] for line in done.json}
    assert now == {"a": "gone", "b": "gone", "c": "gone", "d": "unknown", "e": "gone"}


def test_recheck_says_at_once_that_metastudio_is_away(command: Command, ended: Undertaker) -> None:
    away = {"ERASER_REGION": "", "ERASER_ENDPOINT": "http://127.0.0.1:9"}
    done = command("receipts", "recheck", **away, HUAWEICLOUD_SDK_AK="A", HUAWEICLOUD_SDK_SK="S")
    assert done.code == 4
    assert "no connection was made. No result" in done.err


def test_recheck_stops_at_the_first_refused_key(command: Command, ended: Undertaker, simulator: Simulator) -> None:
    done = command("receipts", "recheck", **near(simulator) | {"HUAWEICLOUD_SDK_SK": "another"})
    assert done.code == 4
    assert "MetaStudio refuses us: 401" in done.err
    assert len(simulator.calls()) == 1


def test_recheck_tells_what_is_requested_again_already(
    command: Command, ended: Undertaker, simulator: Simulator
) -> None:
    simulator.add_job("b")
    ended.request("b", force=True)
    assert "its deletion is pending already" in command("receipts", "recheck", **near(simulator)).out


def test_of_several_accounts_one_is_named_and_each_has_its_own_chain(
    command: Command, ended: Undertaker, tmp_path: Path, redis_url: str
) -> None:
    other = Undertaker(redis_url, account="other", project="another-project")
    other.end("x", to="deleted")
    config = tmp_path / "eraser.toml"
    config.write_text(
        f"""
[accounts.default]
region = "cn-north-4"
projects = ["{PROJECT}"]
ak_env = "AK1"
sk_env = "SK1"
[accounts.other]
region = "cn-north-4"
projects = ["another-project"]
ak_env = "AK2"
sk_env = "SK2"
"""
    )
    there: dict[str, str | None] = {"ERASER_CONFIG": str(config), "ERASER_REGION": None}
    which = command("receipts", "export", **there)
    assert (which.code, "eraser receipts export --account default" in which.err) == (2, True), which.err
    assert "--all" not in which.err  # it has none
    done = command("receipts", "export", "--account", "other", **there)
    assert [line.get("job_id") for line in done.json] == ["x", None]
    assert done.json[-1]["account"] == "other"


def test_recheck_of_nothing(command: Command) -> None:
    done = command("receipts", "recheck")
    assert (done.code, "nothing to check" in done.out) == (0, True)
