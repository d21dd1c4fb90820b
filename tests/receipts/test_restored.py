"""A Redis that is older than its archive: what was held or cancelled since stays so, and the chain goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.receipts.test_archiving import STREAM, archive, everything, settle
from tests.support.command import Command
from tests.support.copies import Copies
from tests.support.dead_letters import Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.erasures import ErasureStep
from worker.ledger.holds import HoldList
from worker.ledger.queries import Queries
from worker.ledger.receipts import START, Receipts
from worker.ledger.schema.fields import Field
from worker.model.erasure import Verdict
from worker.model.states import State
from worker.model.target import Target
from worker.receipts.archiving import Archivist
from worker.receipts.dayfiles import DAY_MS
from worker.receipts.hold_record import HoldRecord
from worker.receipts.leaving import let_records_leave
from worker.receipts.sealing import seal_all

TODAY = int(time.time() * 1000) // DAY_MS
DAY = TODAY - 5


@pytest.fixture
def backup(undertaker: Undertaker) -> Copies:
    return Copies(undertaker.redis)


@pytest.fixture
def archivist(command: Command, tmp_path: Path) -> Archivist:
    app = AppContext.load(command.environ | {"ERASER_RECEIPTS_DIR": str(tmp_path)})
    return Archivist(app.ledger, tmp_path, app.settings, app.not_archived)


def ref(undertaker: Undertaker, job: str) -> Target:
    return Target(undertaker.project, job)


def state(command: Command, job: str) -> str:
    return str(command("show", job, "--json").json[0]["state"])


def test_what_was_held_or_cancelled_since_the_backup_stays_so_and_the_chain_goes_on_behind_the_files(
    command: Command, undertaker: Undertaker, backup: Copies, archivist: Archivist, tmp_path: Path
) -> None:
    before = settle(undertaker, DAY, 3)
    archive(undertaker, tmp_path, (DAY + 1) * DAY_MS + 5)
    undertaker.end("given-up", "alive")
    undertaker.request("kept", "withdrawn", "wanted")
    command("hold", "add", "old", "--reason", "CASE-1", "--by", "legal-1")
    undertaker.ledger.users.hashed("user-7")
    between = settle(undertaker, DAY + 1, 2)
    backup.make()

    command("hold", "add", "kept", "never-requested", "--reason", "CASE-2", "--by", "legal-2")
    command("hold", "add", "--app-user", "user-7", "--reason", "CASE-3", "--by", "legal-2")
    undertaker.ledger.cancel([ref(undertaker, "withdrawn")], why="T-9")
    undertaker.ledger.discard([ref(undertaker, "given-up")], why="T-9")
    date_back(undertaker, DAY + 1)
    lost = settle(undertaker, DAY + 2, 4)
    archivist.archive("default")
    assert everything(command, tmp_path) == [*before, *between, "withdrawn", "given-up", *lost]

    backup.put_back()
    again = settle(undertaker, DAY + 2, 2)  # ends that nobody's files have, under numbers that the files give to others
    seal_all(undertaker.ledger)
    archivist.look_back()

    gate = command("status", "--json").json[0]["accounts"][0]
    assert gate["gate"] == "paused"
    assert "Redis is older than its archive: it has receipts up to 5 of 11. See docs/restore.md" in gate["reason"]
    holds = {hold["job_id"] or "user": hold for hold in command("hold", "list", "--json").json}
    assert set(holds) == {"old", "kept", "never-requested", "user"}
    assert (holds["kept"]["reason"], holds["kept"]["by"]) == ("CASE-2", "legal-2")
    states = {job: state(command, job) for job in ("kept", "withdrawn", "given-up", "alive", "wanted")}
    assert states == {
        "kept": "held",
        "withdrawn": "cancelled",
        "given-up": "discarded",
        "alive": "dead",
        "wanted": "pending",
    }
    chain = [*before, *between, "withdrawn", "given-up", *lost, *again, "withdrawn", "given-up"]
    assert everything(command, tmp_path) == chain
    assert command("receipts", "verify", str(tmp_path / "default")).code == 0

    (audit,) = command("audit", "--json", "--act", "gate.paused").json
    assert (audit["by"], audit["of"]) == ("archivist", "Redis goes back to receipt 5 of 11")

    command("resume", "--reason", "T-10")
    undertaker.ledger.cancel([ref(undertaker, "wanted")], why="T-11")
    archivist.archive("default")
    assert command("status", "--json").json[0]["accounts"][0]["gate"] != "paused", "it is paused once"
    archive(undertaker, tmp_path, (TODAY + 1) * DAY_MS + 5)
    assert undertaker.redis.xlen(STREAM) == 0
    assert everything(command, tmp_path) == [*chain, "wanted"]
    assert command("receipts", "verify", str(tmp_path / "default")).code == 0


def date_back(undertaker: Undertaker, day: int) -> None:
    """What the stream's last receipts of now say is of that day."""
    entries: Any = undertaker.redis.xrange(STREAM)
    undertaker.redis.delete(STREAM)
    for last, (id, fields) in enumerate(entries):
        at = int(fields[b"t"] or id.partition(b"-")[0])
        at = at if at < (day + 1) * DAY_MS else day * DAY_MS + 500_000 + last
        undertaker.redis.xadd(STREAM, fields | {b"t": str(at).encode()}, id=f"{at}-{last}")


def let_leave(undertaker: Undertaker, directory: Path) -> int:
    """How many records leave, of those whose receipts are archived."""
    return let_records_leave(
        undertaker.ledger, directory, until=Receipts(undertaker.redis, "default").progress().archived.n
    )


def ended_as_receipts_say(undertaker: Undertaker) -> None:
    for entry in Receipts(undertaker.redis, "default").each():
        undertaker.redis.hset(f"{undertaker.ledger.prefix}d:{entry.ref}", Field.FINISHED_AT, entry.settled_ms)
        undertaker.redis.zadd(f"{undertaker.ledger.prefix}cancelled", {str(entry.ref): entry.settled_ms})


def test_what_left_redis_before_the_backup_is_known_and_what_left_since_leaves_again(
    command: Command, undertaker: Undertaker, backup: Copies, archivist: Archivist, tmp_path: Path
) -> None:
    before = settle(undertaker, DAY, 3)
    ended_as_receipts_say(undertaker)
    archivist.archive("default")
    assert let_leave(undertaker, tmp_path) == 3
    still_whole = settle(undertaker, DAY + 1, 2)
    ended_as_receipts_say(undertaker)
    undertaker.request("wanted")
    backup.make()
    archivist.archive("default")
    assert let_leave(undertaker, tmp_path) == 2
    undertaker.ledger.cancel([ref(undertaker, "wanted")], why="T-1")
    date_back(undertaker, DAY + 2)
    archivist.archive("default")
    assert let_leave(undertaker, tmp_path) == 0, "its record does not say that it ended that day"

    backup.put_back()
    archivist.archive("default")
    assert state(command, "wanted") == "cancelled", "as its lost receipt says"
    assert let_leave(undertaker, tmp_path) == 2, "those whose receipts say the same as their records"
    status = Queries(undertaker.redis, "default", rate=10).status()
    assert (status.states[State.CANCELLED], status.archived) == (6, 5)
    command.environ["ERASER_RECEIPTS_DIR"] = str(tmp_path)
    for job in (*before, *still_whole):
        assert command("show", job, "--json").json[0]["archived"]["problem"] is None
    assert command("receipts", "verify", str(tmp_path / "default")).code == 0


def test_a_second_backup_before_the_first_segment_was_archived_goes_on_too(
    command: Command, undertaker: Undertaker, backup: Copies, archivist: Archivist, tmp_path: Path
) -> None:
    jobs = settle(undertaker, DAY, 2)
    backup.make()
    jobs += settle(undertaker, DAY + 1, 3)
    archivist.archive("default")
    backup.put_back()
    jobs += settle(undertaker, DAY + 2, 1)
    archivist.look_back()
    backup.make()
    jobs += settle(undertaker, DAY + 3, 2)
    archivist.archive("default")
    assert everything(command, tmp_path) == jobs
    backup.put_back()
    jobs += settle(undertaker, DAY + 4, 1)
    archivist.look_back()
    assert everything(command, tmp_path) == jobs
    archive(undertaker, tmp_path, (TODAY + 2) * DAY_MS)
    assert everything(command, tmp_path) == jobs


def test_an_empty_redis_beside_files_is_paused_once_and_its_holds_come_back(
    command: Command, undertaker: Undertaker, archivist: Archivist, tmp_path: Path
) -> None:
    settle(undertaker, DAY, 2)
    holds = HoldList(undertaker.ledger)
    holds.add([ref(undertaker, "kept")], why="CASE-2", by="legal-2")
    holds.add_user("user-7", why="CASE-3", by="legal-2")
    archivist.archive("default")
    undertaker.redis.flushall()
    undertaker.request("kept")
    archivist.look_back()
    assert state(command, "kept") == "held"
    gate = command("status", "--json").json[0]["accounts"][0]
    assert gate["gate"] == "paused"
    assert "Holds of app users that have to be entered again: 1." in gate["reason"]
    command("resume", "--reason", "T-10")
    settle(undertaker, DAY + 1, 1)
    archivist.archive("default")
    assert command("status", "--json").json[0]["accounts"][0]["gate"] != "paused"
    assert [path.name for path in (tmp_path / "default").glob("*.jsonl")] == [f"{day_name(DAY)}.jsonl"]


def test_what_was_discarded_stays_so_where_an_earlier_rounds_erasure_was_closed_after_it(
    command: Command, undertaker: Undertaker, backup: Copies, archivist: Archivist, tmp_path: Path
) -> None:
    ledger = undertaker.ledger
    undertaker.end("again", to="deleted", erasure={"related": "verify", "first_look_ms": 0})
    date_back(undertaker, DAY)
    undertaker.end("again", claim={"force": True})
    backup.make()
    ledger.discard([ref(undertaker, "again")], why="T-9")
    (open_one,) = ledger.lease_erasures()[0]
    its = open_one.record
    ledger.record_looks([ErasureStep(its.job, its.leases, [], 1, Verdict.WHOLE, None, left=False)])
    date_back(undertaker, DAY + 1)
    archivist.archive("default")
    text = (tmp_path / "default" / f"{day_name(DAY + 1)}.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()[:2]]
    assert [(line["state"], line["event"]) for line in lines] == [("discarded", None), ("discarded", "verified")]

    backup.put_back()
    assert state(command, "again") == "dead"
    archivist.look_back()
    assert state(command, "again") == "discarded"


def day_name(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY_MS / 1000))


def test_holds_are_recorded_when_they_come_and_when_they_go(
    undertaker: Undertaker, archivist: Archivist, tmp_path: Path
) -> None:
    file = tmp_path / "default" / "holds.json"
    archivist.archive("default")
    assert not file.exists(), "nothing was ever on hold"
    holds, target = HoldList(undertaker.ledger), ref(undertaker, "kept")
    holds.add([target], why="CASE-2", by="legal-2")
    archivist.archive("default")
    assert json.loads(file.read_text())["jobs"][str(target)]["why"] == "CASE-2"
    assert file.stat().st_mode & 0o077 == 0
    written = file.stat().st_mtime_ns
    archivist.archive("default")
    assert file.stat().st_mtime_ns == written
    holds.remove([target], why="CASE-2", by="legal-2")
    archivist.archive("default")
    assert json.loads(file.read_text())["jobs"] == {}


def test_a_hold_after_the_last_receipt_comes_back_and_what_was_removed_since_stays_on_hold(
    command: Command, undertaker: Undertaker, backup: Copies, archivist: Archivist, tmp_path: Path
) -> None:
    settle(undertaker, DAY, 2)
    holds, file = HoldList(undertaker.ledger), tmp_path / "default" / "holds.json"
    holds.add([ref(undertaker, "old"), ref(undertaker, "removed")], why="CASE-1", by="legal-1")
    undertaker.ledger.users.hashed("user-7")
    archivist.archive("default")
    backup.make()
    holds.add([ref(undertaker, "kept")], why="CASE-2", by="legal-2")
    holds.add_user("user-7", why="CASE-3", by="legal-2")
    archivist.archive("default")
    holds.remove([ref(undertaker, "removed")], why="CASE-1", by="legal-1")
    archivist.archive("default")
    written = file.read_text()
    backup.put_back()
    undertaker.request("kept")
    HoldRecord(file).keep(undertaker.ledger)
    assert file.read_text() == written, "nothing is written over what Redis lost"

    archivist.look_back()
    gate = command("status", "--json").json[0]["accounts"][0]
    assert gate["gate"] == "paused"
    assert gate["reason"].startswith("Redis is older than its record of holds. See docs/restore.md")
    assert {hold["job_id"] or "user" for hold in command("hold", "list", "--json").json} == {
        "old",
        "removed",
        "kept",
        "user",
    }
    assert state(command, "kept") == "held"
    (audit,) = command("audit", "--json", "--act", "gate.paused").json
    assert (audit["by"], audit["of"]) == ("archivist", "Redis goes back to earlier holds")

    command("resume", "--reason", "T-10")
    archivist.archive("default")
    assert command("status", "--json").json[0]["accounts"][0]["gate"] != "paused", "it is paused once"
    assert set(json.loads(file.read_text())["jobs"]) == {
        str(ref(undertaker, job)) for job in ("old", "removed", "kept")
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "avatar-eraser holds"}'])
def test_a_record_of_holds_that_makes_no_sense_is_reported_and_not_written_over(
    command: Command, undertaker: Undertaker, archivist: Archivist, tmp_path: Path, text: str
) -> None:
    """What it once said may be all that is left of a hold that an older Redis does not have."""
    settle(undertaker, DAY, 1)
    HoldList(undertaker.ledger).add([ref(undertaker, "kept")], why="CASE-2", by="legal-2")
    file = tmp_path / "default" / "holds.json"
    file.parent.mkdir()
    file.write_text(text)
    archivist.archive("default")
    assert file.read_text() == text
    assert "restore it, or move it away" in archivist._problems["default"]
    assert len(everything(command, tmp_path)) == 1, "receipts are archived all the same"
    file.unlink()
    archivist.archive("default")
    assert archivist._problems == {}
    assert set(json.loads(file.read_text())["jobs"]) == {str(ref(undertaker, "kept"))}


@pytest.mark.parametrize("numbered", [False, True], ids=["before it has its number", "once it has its number"])
def test_a_hold_that_another_worker_records_at_this_moment_stays_in_the_record(
    undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, numbered: bool
) -> None:
    record, other = HoldRecord(tmp_path / "default" / "holds.json"), Undertaker(undertaker.url)
    run_script = undertaker.ledger.run_script

    def slowly(move: str, *options: Any) -> dict[str, Any]:
        answer = run_script(move, *options) if numbered else None
        if move == "number_holds":
            HoldList(other.ledger).add([ref(other, "second")], why="CASE-2", by="legal-2")
            record.keep(other.ledger)
        return answer or run_script(move, *options)

    HoldList(undertaker.ledger).add([ref(undertaker, "first")], why="CASE-1", by="legal-1")
    monkeypatch.setattr(undertaker.ledger, "run_script", slowly)
    record.keep(undertaker.ledger)
    found = json.loads(record.path.read_text())
    assert set(found["jobs"]) == {str(ref(undertaker, job)) for job in ("first", "second")}
    assert found["n"] == 2, "the record has the highest number that was given"
    assert [path.name for path in record.path.parent.iterdir()] == ["holds.json"]


def test_a_record_of_holds_without_a_number_is_no_newer_than_redis_and_gets_one(
    command: Command, undertaker: Undertaker, archivist: Archivist, tmp_path: Path
) -> None:
    HoldList(undertaker.ledger).add([ref(undertaker, "kept")], why="CASE-2", by="legal-2")
    archivist.archive("default")
    file = tmp_path / "default" / "holds.json"
    found = json.loads(file.read_text())
    assert found.pop("n") == 1
    file.write_text(json.dumps(found))
    archivist.archive("default")
    assert command("status", "--json").json[0]["accounts"][0]["gate"] != "paused"
    assert json.loads(file.read_text())["n"] == 2


def test_a_day_that_another_worker_writes_at_this_moment_is_no_older_redis(
    command: Command, undertaker: Undertaker, archivist: Archivist, tmp_path: Path
) -> None:
    settle(undertaker, DAY, 2)
    backup = Copies(undertaker.redis)
    backup.make()
    archivist.archive("default")
    backup.put_back()  # the file is there, and Redis does not know it yet
    archivist.look_back()
    assert command("status", "--json").json[0]["accounts"][0]["gate"] != "paused"
    archivist.archive("default")
    assert len(everything(command, tmp_path)) == 2
    assert undertaker.redis.xlen(STREAM) == 0
    assert state_of(undertaker) == State.CANCELLED


def state_of(undertaker: Undertaker) -> State:
    return State(undertaker.redis.hget(f"eraser:{{default}}:d:{undertaker.project}/job-{DAY}-0", "state").decode())  # type: ignore[union-attr]


def test_what_two_segments_begin_before_is_numbered_behind_both(undertaker: Undertaker) -> None:
    settle(undertaker, DAY, 2)
    for known, last in ((1, 10), (10, 30)):  # the files end with 10, and those of another Redis later with 30
        page = Receipts(undertaker.redis, "default").read_page()
        place = next((entry.id for entry in page if entry.n == known), page[0].id)
        fields = {"was": START if known == 1 else page[0].id, "known_n": known, "known_id": place, "day": DAY + 1}
        assert undertaker.ledger.run_script("begin_segment", fields | {"n": last, "head": "h"})["begun"]
        settle(undertaker, DAY + last, 1)
    assert [entry.n for entry in Receipts(undertaker.redis, "default").read_page()][1:] == [31, 32, 33]
