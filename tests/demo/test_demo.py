"""The demo ends as it should, judges honestly, and leaves nothing behind whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.leftovers import nothing_left, processes, temporary
from tests.support.schemas import why_not
from tests.support.waiting import PATIENCE_S, wait_until
from tests.support.wheel import build, install
from worker.demo import scenario, verdict
from worker.demo.scenario import PLAIN, TROUBLES, Part, cast
from worker.ledger.records import Attempt, Deletion, Event
from worker.model.states import State
from worker.model.target import Target

ERASER = [sys.executable, "-c", "from worker.interfaces.cli import main; main()"]
OTHERS = {  # none of it may count
    "ERASER_REDIS_URL": "redis://127.0.0.1:1/0",
    "ERASER_NO_SUCH_SETTING": "1",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "PYTHONIOENCODING": "ascii:strict",  # a terminal that knows no more
    "HUAWEICLOUD_SDK_AK": "somebody-elses",
    "HUAWEICLOUD_SDK_SK": "somebody-elses-secret",
}


def start(tmp: Path, *words: str, eraser: Sequence[str] = ERASER, cwd: Path | None = None) -> subprocess.Popen[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp), "TMPDIR": str(tmp), **OTHERS}
    argv = [*eraser, "demo", "--jobs", str(scenario.FEWEST), *words]
    return subprocess.Popen(
        argv, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_the_demo_of_the_installed_wheel_ends_as_it_should_and_leaves_nothing(tmp_path: Path) -> None:
    installed = install(build(tmp_path), tmp_path / "venv")
    with temporary() as tmp:
        demo = start(tmp, "--json", eraser=[str(installed)], cwd=tmp_path)
        output, progress = demo.communicate(timeout=600)
        assert demo.returncode == 0, progress
        rows = [json.loads(line) for line in output.splitlines()]
        assert [row["trouble"] for row in rows] == ["plain", *(trouble.slug for trouble in TROUBLES)]
        assert all(row["ok"] and row["outcomes"] and not why_not("demo", row) for row in rows)
        assert sum(row["jobs"] for row in rows) == scenario.FEWEST
        assert {row["after_replay"] for row in rows if row["expected"].startswith("dead")} == {"deleted"}
        assert "these 4 jobs left 6 parts: MetaStudio purged 1 itself, we deleted 5" in progress
        assert "somebody-elses" not in output + progress
        assert [line for line in progress.splitlines() if len(line) > 100] == []
        nothing_left(tmp)
        assert list(tmp.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_stopped_or_killed_leaves_nothing(number: signal.Signals) -> None:
    with temporary() as tmp:
        demo = start(tmp)
        wait_until(lambda: any("celery" in command for command in processes(tmp).values()), what="a worker")
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=PATIENCE_S)
        assert demo.returncode == (-number if number is signal.SIGKILL else 128 + number)
        assert number is signal.SIGKILL or "nothing is left behind" in output
        nothing_left(tmp)
        wait_until(lambda: not list(tmp.iterdir()), what="no file left")


def test_too_few_jobs_for_every_trouble_are_refused_with_the_least_number() -> None:
    argv = [*ERASER, "demo", "--jobs", "3"]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert refused.returncode == 2
    assert str(scenario.FEWEST) in refused.stderr


@pytest.mark.parametrize("jobs", [scenario.FEWEST, 200, 1000])
def test_every_trouble_has_its_jobs_and_no_two_jobs_share_an_id(jobs: int) -> None:
    parts = cast(jobs)
    assert len({part.job_id for part in parts}) == len(parts) == jobs
    for trouble in TROUBLES:
        assert sum(part.trouble is trouble for part in parts) == trouble.jobs


PART = Part("job-0001-plain", PLAIN)
CALL = {"effect": True, "status": 200}
RECORD = Deletion(
    ref=Target("p", PART.job_id),
    account="default",
    state=State.DELETED,
    waiting_for=None,
    cause=None,
    evidence=None,
    lane="bulk",
    reason=None,
    requested_by=None,
    run=None,
    claims=(),
    requested_at=0.0,
    due_at=None,
    deadline_at=1.0,
    finished_at=1.0,
    round=1,
    used=0,
    may_be_deleted=False,
    cancel_wanted=False,
    status=200,
    code=None,
    asset_id=None,
    voice_train_job_id=None,
    attempts=(Attempt(1, 1, 0.0, {"status": 200}),),
)


def wrong(record: Deletion | None, calls: list[dict[str, object]], part: Part = PART) -> str:
    return verdict._what_is_wrong(part, record, {part.job_id: calls}) or ""


def test_a_record_that_agrees_with_the_other_side_is_right() -> None:
    assert wrong(RECORD, [CALL]) == ""


def test_a_claim_of_deletion_that_the_other_side_never_saw_is_wrong() -> None:
    assert "deleted it 0 times" in wrong(RECORD, [{"effect": False, "status": 200}])


def test_a_job_deleted_twice_is_wrong() -> None:
    assert "deleted it 2 times" in wrong(RECORD, [CALL, CALL])


def test_another_end_than_expected_is_wrong() -> None:
    assert "ended dead server_error, expected deleted" in wrong(
        replace(RECORD, state=State.DEAD, cause="server_error"), [{"effect": False, "status": 500}]
    )


def test_a_dead_letter_that_was_deleted_is_wrong() -> None:
    part = Part("job-1", next(trouble for trouble in TROUBLES if trouble.slug == "always-500"))
    record = replace(RECORD, state=State.DEAD, cause="server_error", attempts=RECORD.attempts * 5)
    assert wrong(record, [{"effect": False, "status": 500}] * 5, part) == ""
    assert "deleted it 1 times" in wrong(record, [CALL], part)
    assert "1 attempts, expected 5" in wrong(
        replace(record, attempts=RECORD.attempts), [{"effect": False, "status": 500}], part
    )


def test_an_attempt_that_the_ledger_does_not_know_is_wrong() -> None:
    assert "1 attempts, the simulator 2 calls" in wrong(RECORD, [{"effect": False, "status": 500}, CALL])


def test_a_call_that_a_kill_cut_off_may_be_missing_in_the_record() -> None:
    lost = replace(RECORD, state=State.GONE, evidence="after_our_call", events=(Event(0.0, "deletion.lost", {}),))
    assert wrong(lost, [CALL, {"effect": False, "status": 400}]) == ""


def test_a_record_that_is_missing_is_wrong() -> None:
    assert "no record" in wrong(None, [CALL])
