"""Records leave Redis for receipts that are archived where every worker can read them; else they stay whole."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.crashes import crash_at
from tests.support.dead_letters import Undertaker
from tests.support.erasures import PARTS
from tests.support.ledgers import PROJECT, Bench
from worker.execution.app_context import AppContext
from worker.execution.live_workers import LiveWorkers, archived_everywhere
from worker.ledger import counters
from worker.ledger.archived import ArchivedRecords
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.erasures import ErasureStep
from worker.ledger.keys import Keys
from worker.ledger.queries import Queries
from worker.ledger.receipts import DAY_MS, Receipts
from worker.model.erasure import LEFT, Verdict
from worker.model.states import State
from worker.model.target import Target
from worker.receipts import leaving
from worker.receipts.archiving import Archivist, archive_day
from worker.receipts.dayfiles import DayFiles, DayFileWrong
from worker.receipts.leaving import let_records_leave

DAY_S = 86_400.0
FILES = ("leaving.py", "ledger/deletions.py", "script_runner.py")


def ended(bench: Bench, *jobs: str, **more: Any) -> None:
    for job in jobs:
        bench.request(job, by="ann")
        bench.settle(bench.take(), **more)


def marked(bench: Bench) -> int:
    return sum(each.total() for each in ArchivedRecords(bench.client, "default").counts().values())


def archive(bench: Bench, directory: Path) -> int:
    """Every day that is over goes to its file. Returns the number of the last receipt there."""
    while archive_day(bench.ledger, directory, now_ms=bench.now):
        pass
    return Receipts(bench.client, "default").progress().archived.n


def test_records_leave_for_the_receipts_of_a_file_in_batches(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "BATCH", 2)
    monkeypatch.setattr(leaving, "MOST", 2)
    ended(bench, "a", "b", "c", "d", "e")
    bench.pass_time(DAY_S)
    ended(bench, "f")
    until = archive(bench, tmp_path)
    assert let_records_leave(bench.ledger, tmp_path, until=until) == 4, "the rest waits for the next turn"
    assert Receipts(bench.client, "default").progress().records == 4
    assert let_records_leave(bench.ledger, tmp_path, until=until) == 1
    assert let_records_leave(bench.ledger, tmp_path, until=until) == 0
    assert list(bench.indexes()) == [f"{PROJECT}/f"], "its day is not over"
    bench.pass_time(DAY_S)
    assert let_records_leave(bench.ledger, tmp_path, until=archive(bench, tmp_path)) == 1
    assert marked(bench) == 6


def test_a_directory_that_lost_its_days_is_no_longer_said_to_have_them(
    command: Command, redis_url: str, tmp_path: Path
) -> None:
    """Else records would leave on another worker, by its word."""
    app = AppContext.load(command.environ | {"ERASER_REDIS_URL": redis_url})
    here = {"default": 7}  # as an earlier turn found it
    archivist = Archivist(app.ledger, tmp_path, app.settings, {}, here=here)
    (tmp_path / "default").write_text("no directory")
    archivist.archive("default")
    assert here == {}


def test_an_altered_line_lets_nothing_leave_that_stands_there(bench: Bench, tmp_path: Path) -> None:
    ended(bench, "a", "b", "c")
    bench.pass_time(DAY_S)
    until = archive(bench, tmp_path)
    (file,) = (tmp_path / "default").iterdir()
    whole = file.read_text()
    for altered in (whole.replace('"id":"b"', '"id":"x"'), "".join(whole.splitlines(keepends=True)[1:])):
        file.write_text(altered)
        with pytest.raises(DayFileWrong):
            let_records_leave(bench.ledger, tmp_path, until=until)
    assert marked(bench) == 0
    file.write_text(whole)
    assert let_records_leave(bench.ledger, tmp_path, until=until) == 3


def close(bench: Bench, verdicts: dict[str, tuple[Verdict, list[dict[str, Any]]]]) -> None:
    """The last look at what these jobs left behind."""
    steps = []
    for leased in bench.ledger.lease_erasures()[0]:
        verdict, parts = verdicts[leased.record.job.id]
        steps.append(
            ErasureStep(leased.record.job, leased.record.leases, parts, 1, verdict, None, left=verdict in LEFT)
        )
    assert set(bench.ledger.record_looks(steps)) == {"closed"}


def test_an_erasure_leaves_with_its_job_once_it_is_closed_and_all_of_it_is_erased(bench: Bench, tmp_path: Path) -> None:
    gone = [PARTS[2] | {"project_id": PROJECT}]
    ended(bench, "whole", "left", "blind", "unseen", erasure={"related": "verify", "first_look_ms": 1000})
    bench.pass_time(DAY_S)
    assert let_records_leave(bench.ledger, tmp_path, until=archive(bench, tmp_path)) == 0, "nobody looked yet"
    unseen = [PARTS[2] | {"id": "va-2", "evidence": "not_visible"}]
    close(bench, {"whole": (Verdict.WHOLE_BY_ACKNOWLEDGEMENT, gone), "left": (Verdict.PARTIAL, PARTS),
                  "blind": (Verdict.UNVERIFIABLE, []), "unseen": (Verdict.UNVERIFIABLE, unseen)})  # fmt: skip
    bench.pass_time(DAY_S)
    assert let_records_leave(bench.ledger, tmp_path, until=archive(bench, tmp_path)) == 2
    assert set(bench.indexes()) == {f"{PROJECT}/left", f"{PROJECT}/unseen"}
    assert not bench.client.exists(f"{bench.p}erasure:{PROJECT}/whole", f"{bench.p}erasure:{PROJECT}/blind")
    status = Queries(bench.client, "default", rate=10).status()
    assert status.erasures == {"whole_by_acknowledgement": 1, "partial": 1, "unverifiable": 2}, "they count as before"
    whole = Target(PROJECT, "whole")
    found = ArchivedRecords(bench.client, "default").of(whole)
    assert found is not None
    assert (found.verdict, found.receipt) == ("whole_by_acknowledgement", 5), "the receipt that has this verdict"
    who = {"why": "T-1", "by": "ann"}
    assert bench.ledger.erase_related([whole], looks=1, evidence=["kept"], app_user=None, **who) == [
        (whole, "nothing_left")
    ]
    bench.request("whole", force=True)
    bench.settle(bench.take(), erasure={"related": "verify", "first_look_ms": 0})
    assert Queries(bench.client, "default", rate=10).status().erasures["pending"] == 1
    while bench.ledger.forget(keep_s=0):
        pass
    assert Queries(bench.client, "default", rate=10).status().erasures == {}


def test_records_stay_whole_where_a_worker_does_not_have_the_archive(
    bench: Bench, command: Command, tmp_path: Path
) -> None:
    app = AppContext.load(command.environ)
    workers = [replace(app, worker=name, archived_here={}) for name in ("one", "two")]
    ended(bench, "a")
    bench.pass_time(DAY_S)

    def turn() -> None:
        """Each worker beats, and the first one archives."""
        for worker in workers:
            LiveWorkers(worker).beat()
        archivist = Archivist(
            lambda _: bench.ledger,
            tmp_path,
            app.settings,
            {},
            here=workers[0].archived_here,
            everywhere=partial(archived_everywhere, bench.client, Keys()),
        )
        archivist.archive("default")

    for _ in range(3):
        turn()
    assert workers[0].archived_here == {"default": 1}
    assert bench.state("a") == "deleted", "the other worker has no such directory"
    workers[1].archived_here["default"] = 1
    turn()
    assert marked(bench) == 1


def test_a_directory_without_the_last_file_says_that_it_has_nothing(bench: Bench, tmp_path: Path) -> None:
    for job in ("a", "b"):
        ended(bench, job)
        bench.pass_time(DAY_S)
        archive(bench, tmp_path)
    progress, files = Receipts(bench.client, "default").progress(), DayFiles(tmp_path, "default")
    assert files.last(progress) == 2
    files.paths()[-1].unlink()
    assert files.last(progress) == 0


def leave(undertaker: Undertaker, directory: Path, until: int) -> None:
    """As a process does that has just started."""
    ledger = Ledger(connect(undertaker.url), "default", undertaker.ledger.policy)
    let_records_leave(ledger, directory, until=until)


def test_killed_at_any_line_each_deletion_is_a_record_or_a_mark(
    undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "BATCH", 2)
    undertaker.end(*"abcde", to="deleted")
    archive_day(undertaker.ledger, tmp_path, now_ms=undertaker.ledger.now_ms() + DAY_MS)
    client, until = undertaker.redis, Receipts(undertaker.redis, "default").progress().archived.n
    before = {name: client.dump(name) for name in client.scan_iter()}
    lines, queries = 0, Queries(client, "default", rate=10)
    while crash_at(lines + 1, FILES, partial(leave, undertaker, tmp_path, until)):
        lines += 1
        status = queries.status()
        assert (status.states[State.DELETED], status.archived in (0, 2, 4, 5)) == (5, True), f"a crash at line {lines}"
        assert let_records_leave(undertaker.ledger, tmp_path, until=until) == 5 - status.archived
        assert queries.status().archived == 5
        assert counters.read(client, undertaker.ledger.prefix).events["deletion.archived", ""] == 5
        client.flushall()
        for name, text in before.items():
            client.restore(name, 0, text)  # type: ignore[arg-type]
    assert lines > 30, "the trace saw nothing"
