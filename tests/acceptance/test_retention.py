"""Retention for real: Redis, workers and beats as processes, MetaStudio as the simulator."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.fleet import PATIENCE_S, Fleet, Process, tell
from tests.acceptance.judge import judge
from worker.ledger.holds import HoldList
from worker.ledger.runs import Run, Runs
from worker.model.states import Lane, State, WaitingFor
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

ROOT = Path(__file__).parents[2]
ACCOUNT = "default"
DAY_S = 86400.0
CLOCK = "test:now"  # as in quick_slots, which only Celery's processes may import: it reads their settings
POLICY = f'projects = ["{DEMO_PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'


class Archive(Fleet):
    """A fleet with one policy."""

    def __init__(self, policy: str, **more: Any) -> None:
        super().__init__(**more)
        self.config = self.directory / "eraser.toml"
        self.write(policy)
        self._settings |= {"ERASER_CONFIG": str(self.config), "PYTHONPATH": str(ROOT)}

    def write(self, policy: str) -> None:
        self.config.write_text(f"[policies.old]\n{policy}")

    def old(self, *jobs: str, **job: Any) -> tuple[str, ...]:
        return self.plant(*jobs, **{"state": "TRAIN_FAILED", "created_at": time.time() - 100 * DAY_S} | job)

    def eraser(self, name: str, *words: str, code: int = 0) -> str:
        """Run a command to its end; what it wrote."""
        run = [sys.executable, "-c", "from worker.interfaces.cli import main; main()", *words]
        process = self.start(name, run)
        self.wait(lambda: not process.alive, f"eraser {' '.join(words)} ends")
        assert process.popen.returncode == code, process.text
        return process.text

    @property
    def holds(self) -> HoldList:
        return HoldList(self.ledger)

    # -- the schedule, with a clock of our own -------------------------------------------------------------------------

    def set_clock(self, seconds: float) -> None:
        self.client.set(CLOCK, seconds)

    def start_beat(self, name: str) -> Process:
        words = [sys.executable, "-m", "celery", "-A", "tests.acceptance.quick_slots", "beat", "--loglevel", "DEBUG"]
        return self.start(name, [*words, "--schedule", self.directory / f"{name}.schedule"])

    def start_quick_worker(self) -> None:
        words = [sys.executable, "-m", "celery", "-A", "tests.acceptance.quick_slots", "worker", "--loglevel", "INFO"]
        self.start("quick-worker", words)
        self.wait(lambda: self.live_workers() >= 1, "the worker says that it lives")

    def runs(self) -> list[Run]:
        return Runs(self.ledger).latest(100)

    def wait_for_run(self, number: int) -> None:
        self.wait(lambda: sum(run.finished is not None for run in self.runs()) >= number, f"run {number} has ended")


def ticks(beat: Process) -> int:
    return beat.text.count("Sending due task")


@pytest.fixture
def clocked() -> Iterator[Archive]:
    with Archive(POLICY + 'schedule = "* * * * *"\n') as fleet:
        yield fleet


def test_two_beats_for_three_slots_are_three_runs_and_a_dead_beat_is_made_up_once(clocked: Archive) -> None:
    now = time.time() // 60 * 60 + 1
    clocked.set_clock(now)
    clocked.start_quick_worker()
    beats = [clocked.start_beat("beat-1"), clocked.start_beat("beat-2")]
    clocked.wait(lambda: clocked.client.hexists(f"eraser:{{{ACCOUNT}}}:slots", "old"), "the policy is known")
    for number in (1, 2, 3):
        clocked.set_clock(now + 60 * number)
        clocked.wait_for_run(number)
        before = [ticks(beat) for beat in beats]
        clocked.wait(
            lambda before=before: all(ticks(b) > n + 3 for b, n in zip(beats, before, strict=True)),
            "both beats tick on",
        )
    assert len(clocked.runs()) == 3
    assert len({run.slot for run in clocked.runs()}) == 3
    for beat in beats:
        beat.kill()
    clocked.set_clock(now + 60 * 5)  # two slots go by
    again = clocked.start_beat("beat-3")
    clocked.wait_for_run(4)
    clocked.wait(lambda: ticks(again) > 5, "the beat ticks on")
    slots = sorted(run.slot or 0 for run in clocked.runs())
    assert len(slots) == 4
    assert slots[-1] == (now - 1 + 60 * 5) * 1000, "the last one that was missed"
    tell(f"two beats ticked {ticks(beats[0])} and {ticks(beats[1])} times for three slots: 3 runs")


def test_what_a_sweep_asked_for_is_deleted_after_its_grace_and_a_second_look() -> None:
    with Archive(POLICY + 'grace = "2s"\n') as fleet:
        swept = fleet.old(*[f"old-{n}" for n in range(6)])
        fleet.plant("young", state="TRAIN_FAILED")
        result = json.loads(fleet.eraser("run", "retention", "run", "old", "--yes", "--json").splitlines()[-1])
        assert (result["requested"], result["skipped"]) == (6, [{"skip_reason": "too_young", "count": 1}])
        fleet.metastudio.move_job("old-0", "JOB_SUCCESS")  # somebody trained it after all
        fleet.start_workers(2)
        fleet.wait_until_settled(6)
        assert fleet.state("old-0") is State.CANCELLED
        assert "no_longer_matches" in str(fleet.show("old-0").events)
        assert {fleet.state(name) for name in swept[1:]} == {State.DELETED}
        assert set(fleet.metastudio.job_ids()) == {"old-0", "young"}
        fleet.wait(
            lambda: fleet.runs()[0].outcomes == {"deleted": 5, "cancelled": 1}, "the run knows how its deletions ended"
        )
        judge(fleet, swept)


def test_a_person_asks_for_a_job_in_its_grace_and_gets_it_at_once() -> None:
    with Archive(POLICY) as fleet:
        fleet.old("old-1", "old-2")
        fleet.eraser("run", "retention", "run", "old", "--yes")
        fleet.start_workers(1)
        fleet.write(POLICY.replace("90d", "3000d"))  # the policy would not mean it any more
        began = time.monotonic()
        fleet.ask("old-1", lane=Lane.USER, by="ops-1")
        fleet.app.wake(ACCOUNT, 0)
        fleet.wait(lambda: fleet.state("old-1") is State.DELETED, "the person's deletion")
        tell(f"asked for in its grace of seven days: deleted {time.monotonic() - began:.2f} s later")
        assert fleet.show("old-2").waiting_for is WaitingFor.GRACE
        assert fleet.metastudio.job_ids() == ["old-2"]


def test_a_hold_between_request_and_call_stops_it_and_its_removal_sends_it() -> None:
    with Archive(POLICY + 'grace = "3s"\n') as fleet:
        fleet.old("held", "theirs", "free")
        fleet.old("theirs", app_user_id="u-7781")
        fleet.eraser("run", "retention", "run", "old", "--yes")
        fleet.eraser("hold-1", "hold", "add", "held", "--reason", "CASE-1", "--by", "legal")
        fleet.eraser("hold-2", "hold", "add", "--app-user", "u-7781", "--reason", "CASE-1", "--by", "legal")
        fleet.start_workers(2)
        fleet.wait(lambda: fleet.state("free") is State.DELETED, "the one that is not held")
        fleet.wait(lambda: fleet.state("theirs") is State.HELD, "the app user's job is looked up and held")
        assert fleet.state("held") is State.HELD
        assert {call["job_id"] for call in fleet.metastudio.calls() if call["operation"] == "delete"} == {"free"}
        fleet.eraser("hold-3", "hold", "remove", "held", "--reason", "CASE-1")
        fleet.eraser("hold-4", "hold", "remove", "--app-user", "u-7781", "--reason", "CASE-1")
        fleet.wait(lambda: {fleet.state("held"), fleet.state("theirs")} == {State.DELETED}, "both go on")
        texts = [text for _, text in fleet.everything_ever_written()]
        assert not any("u-7781" in text for text in texts)
        judge(fleet, ["held", "theirs", "free"])


def test_a_hold_with_a_date_is_ended_by_the_worker() -> None:
    with Archive(POLICY) as fleet:
        fleet.plant("job-1")
        soon = fleet.queries.now_ms() + 6000
        fleet.holds.add([Target(DEMO_PROJECT, "job-1")], why="CASE-1", by="legal", until_ms=soon)
        fleet.ask("job-1")
        (first,) = fleet.start_workers(1)
        fleet.wait(lambda: fleet.state("job-1") is State.HELD or fleet.queries.now_ms() >= soon, "it is held")
        first.ask_to_end()
        first.popen.wait(PATIENCE_S)
        fleet.wait(lambda: fleet.queries.now_ms() >= soon, "the hold's end")
        fleet.start_workers(1)  # it looks at everything when it begins, and twice a minute
        fleet.wait(lambda: fleet.state("job-1") is State.DELETED, "the hold has ended")


def test_a_hundred_thousand_jobs_in_one_pass_below_200_mb_with_a_bar() -> None:
    policy = POLICY.replace("TRAIN_FAILED", "JOB_SUCCESS").replace("90d", "1h") + "include_finished = true\n"
    settings = {"ERASER_RATE": "1000"}
    with Archive(policy, settings=settings, simulator=("--keep-calls", "10")) as fleet:
        fleet.metastudio.fill(100_001, spread_days=9000)  # one in two hours, since 2002: for an hour one is too young
        text, megabytes = on_a_terminal(fleet, "retention", "plan", "old")
        assert "100,000  to be requested" in text
        assert "1  skipped: too young" in text, "the one that was created just now"
        assert re.search(r"listed.*\d+/100001", text), "a bar shows how far it is"
        assert megabytes < 200
        lists = fleet.metastudio.stats()["by_operation"]["list"]
        assert lists < 1200, "one pass"
        allowed = ("--max", "100000", "--confirm", DEMO_PROJECT)
        first, more = on_a_terminal(fleet, "retention", "run", "old", "--yes", *allowed)
        assert "Requested 100,000 deletions" in first
        assert fleet.states() == {State.PENDING: 100_000}
        tell(f"100,000 jobs: {lists} lists, plan {megabytes} MB, run {more} MB")


# ru_maxrss would begin with what the process that started it needed; VmHWM, where there is /proc, is of this one alone.
MEASURED = """
import pathlib, re, resource, sys
from worker.interfaces.cli import main
from worker.ledger import connection
connection.TIMEOUT_S = 60.0  # a machine that stands still for seconds fails no test
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status")
    most = re.search(r"VmHWM:\\s+(\\d+)", status.read_text() if status.exists() else "")
    sys.stderr.write(f"RSS {most[1] if most else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
"""


def on_a_terminal(fleet: Archive, *words: str) -> tuple[str, int]:
    """What a person sees, and the most memory in MB."""
    ours, theirs = pty.openpty()
    env = fleet.env | {"TERM": "xterm", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen([sys.executable, "-c", MEASURED, *words], env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        output += piece
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode(errors="replace"))
    assert process.wait() == 0, text[-2000:]
    return text, int(text.rsplit("RSS ", 1)[1].split()[0]) // 1024
