"""Trouble that belongs to a whole account: an outage, a key, a clock, a service that answers nothing."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import Any

import pytest

from tests.acceptance.fleet import IMPATIENT, QUICK_KEYS, Fleet, tell
from tests.acceptance.judge import judge
from worker.model.states import State
from worker.services import pause
from worker.services.act import Approval
from worker.simulator import DEMO_PROJECT, OutageMode

RATE = 40
PACE = {"ERASER_RATE": str(RATE)}
LATENCY = ("--latency", "0.05", "--jitter", "0.02", "--lock", "2")
JOBS = [f"job-{n:03d}" for n in range(240)]
MIB = 1024 * 1024
WORKERS, THREADS = 3, 2  # so many executors: each has at most one call under way when an account closes
EXECUTORS = WORKERS * THREADS


def refused(fleet: Fleet) -> list[dict[str, Any]]:
    return [call for call in fleet.metastudio.calls() if call["refused"]]


def rss(pid: int) -> int:
    """Resident memory in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_server_clock_that_jumps_25_minutes_costs_the_calls_under_way_and_nothing_else() -> None:
    with Fleet(settings=PACE, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS)
        fleet.start_workers(WORKERS, "--concurrency", str(THREADS))
        fleet.ask(*JOBS)
        fleet.wait_until_settled(60)
        fleet.metastudio.set_clock(25 * 60)
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: len(JOBS)}
        judge(fleet, JOBS)
        tell(f"{len(refused(fleet))} refused calls of {EXECUTORS} executors")
        assert 1 <= len(refused(fleet)) <= EXECUTORS + 1
        gate = fleet.queries.gate()
        assert gate.gate == "clock"
        assert "25.0 min" in (gate.reason or "")


@pytest.mark.parametrize("repaired_by", ["nobody", "resume"])
def test_a_key_that_is_refused_in_mid_run_kills_nothing_and_goes_on_after_its_repair(repaired_by: str) -> None:
    with Fleet(settings={"ERASER_RATE": "20"}, simulator=LATENCY, application=QUICK_KEYS) as fleet:
        jobs = fleet.plant(*JOBS[:120])
        fleet.start_workers(WORKERS, "--concurrency", str(THREADS))
        fleet.ask(*jobs)
        fleet.wait_until_settled(30)
        fleet.metastudio.disable_credential(fleet.env["HUAWEICLOUD_SDK_AK"])
        fleet.wait(lambda: fleet.queries.gate().gate == "credentials", "the account is closed")
        fleet.wait(
            lambda: State.RUNNING not in fleet.states(), "the calls under way are answered, and that is recorded"
        )
        first = len(refused(fleet))
        assert first <= EXECUTORS, "the calls that were under way, and no other"
        if repaired_by == "nobody":
            fleet.wait(lambda: len(refused(fleet)) > first, "it tries again by itself")
        fleet.metastudio.enable_credential(fleet.env["HUAWEICLOUD_SDK_AK"])
        fleet.metastudio.unlock(fleet.env["HUAWEICLOUD_SDK_AK"])
        if repaired_by == "resume":
            list(pause.resume(fleet.app, [fleet.account], Approval(reason="T-9")))
        took = fleet.wait_until_settled(len(jobs))
        tell(f"{first} refused calls of {EXECUTORS} executors; all were settled {took:.1f} s after the repair")
        assert fleet.states() == {State.DELETED: len(jobs)}
        deletions = judge(fleet, jobs)
        assert all(d.used <= 1 for d in deletions.values()), "a refused key used attempts up"


def test_accounts_of_one_key_stop_together_when_it_is_refused() -> None:
    """Each had to be refused for itself: together they locked the key within 1.2 s."""
    projects = [f"project{n}0id" for n in range(4)]
    words = [word for project in projects for word in ("--project", project)]
    config = "\n".join(f'[accounts.a{n}]\nprojects = ["{project}"]' for n, project in enumerate(projects))
    with Fleet(settings=PACE, config=config, account="a0", simulator=(*words, *LATENCY)) as fleet:
        for n, project in enumerate(projects):
            fleet.plant(*(f"{n}-{job}" for job in JOBS), project=project)
            fleet.ask(*(f"{n}-{job}" for job in JOBS), project=project)
        fleet.start_workers(WORKERS, "--concurrency", str(THREADS))
        queries = [fleet.app.queries(f"a{n}") for n in range(len(projects))]
        fleet.wait(lambda: all(one.status().states[State.DELETED] >= 3 for one in queries), "all are at work")
        fleet.metastudio.disable_credential(fleet.env["HUAWEICLOUD_SDK_AK"])
        fleet.wait(lambda: all(one.gate().gate == "credentials" for one in queries), "all accounts are closed")
        fleet.wait(lambda: not any(one.status().states[State.RUNNING] for one in queries), "nothing is under way")
        tell(f"{len(refused(fleet))} refused calls of {EXECUTORS} executors")
        assert len(refused(fleet)) <= EXECUTORS
        assert {closure.scope for one in queries for closure in one.gate().closures} == {"key"}


@pytest.mark.parametrize("mode", [OutageMode.UNAVAILABLE, OutageMode.HANG])
def test_a_long_outage_with_20_000_due_costs_nothing_but_time(mode: OutageMode) -> None:
    jobs = [f"job-{n:05d}" for n in range(20_000)]
    with Fleet(settings=IMPATIENT | PACE, simulator=LATENCY) as fleet:
        fleet.plant(*jobs)
        workers = fleet.start_workers(2)
        fleet.ask(*jobs)
        fleet.wait_until_settled(40)
        fleet.metastudio.outage(mode)
        fleet.wait(lambda: fleet.queries.gate().gate == "outage", "the gate closes")
        fleet.wait(lambda: State.RUNNING not in fleet.states(), "what was under way has ended, and that is recorded")
        used, memory = attempts_used(fleet), [rss(worker.pid) for worker in workers]
        before = len(fleet.metastudio.calls())
        pauses: set[float] = set()

        def another_pause() -> bool:
            until = fleet.queries.gate().until
            if until is not None:
                pauses.add(until)
            return len(pauses) >= 4

        fleet.wait(another_pause, "four pauses")
        probes = len(fleet.metastudio.calls()) - before
        grown = max(rss(w.pid) - m for w, m in zip(workers, memory, strict=True)) / MIB
        assert fleet.states().get(State.DEAD, 0) == 0
        assert attempts_used(fleet) == used, "the outage used attempts up"
        assert probes <= len(pauses) + 1, "more than one probe a pause"
        assert grown < 20

        fleet.metastudio.outage(None)
        settled = fleet.settled()
        took = fleet.wait(lambda: fleet.queries.gate().gate == "ok", "the gate opens")
        more = fleet.wait(lambda: fleet.settled() >= settled + RATE, "work goes on")
        tell(
            f"{mode}: {used} attempts used before the gate closed, {probes} probes in {len(pauses)} pauses, memory "
            f"+{grown:.1f} MiB; open {took:.1f} s after the end, and {RATE} settled {more:.1f} s later"
        )
        fleet.ledger.pause(why="enough was seen")
        fleet.wait(lambda: State.RUNNING not in fleet.states(), "nothing is under way")
        judge(fleet, jobs)


def attempts_used(fleet: Fleet) -> int:
    """Attempts that pending deletions have used up."""
    pipe = fleet.client.pipeline(transaction=False)
    for ref in fleet.client.zrange(fleet.ledger.prefix + "due:bulk", 0, -1):
        pipe.hget(f"{fleet.ledger.prefix}d:{ref.decode()}", "used")
    return sum(int(used or 0) for used in pipe.execute())


STALL_S = 4.0  # longer than a call that hangs: nobody called, because this machine stood still


def test_an_account_that_answers_nothing_does_not_slow_down_its_neighbour() -> None:
    silent, limit = "silent0project0id", 8  # slow enough for a busy machine to keep up
    config = "\n".join(
        f'[accounts.{name}]\nprojects = ["{project}"]\nrate = {limit}'
        for name, project in (("lively", DEMO_PROJECT), ("silent", silent))
    )
    simulator = ("--project", DEMO_PROJECT, "--project", silent, "--latency", "0.05")
    with Fleet(
        settings=IMPATIENT | {"ERASER_RATE": None}, config=config, account="lively", simulator=simulator
    ) as fleet:
        jobs = fleet.plant(*JOBS[:64])
        fleet.plant(*(f"silent-{n}" for n in range(200)), project=silent)
        fleet.metastudio.outage(OutageMode.HANG, project=silent)
        fleet.start_workers(2)
        fleet.ask(*(f"silent-{n}" for n in range(200)), project=silent)
        fleet.wait(lambda: fleet.app.queries("silent").gate().gate == "outage", "the silent one is known to be away")
        fleet.ask(*jobs)
        fleet.wait_until_settled(len(jobs))
        assert fleet.states() == {State.DELETED: len(jobs)}
        judge(fleet, jobs)
        starts = [c["started"] for c in fleet.metastudio.calls() if c["project"] == DEMO_PROJECT and c["effect"]]
        gaps = [later - earlier for earlier, later in pairwise(sorted(starts))]
        worked = [gap for gap in gaps if gap < STALL_S]
        assert len(gaps) - len(worked) <= 1, "it waited for the other one"
        share = len(worked) / sum(worked) / limit
        tell(f"beside an account that answers nothing: {share:.1%} of the limit")
        assert share > 0.5  # on an idle machine above 0.95; this one may be busy, and calls that hang take far more
        assert fleet.app.queries("silent").status().states[State.DEAD] == 0

        fleet.metastudio.outage(None)
        fleet.wait(lambda: fleet.app.queries("silent").gate().gate == "ok", "the silent one answers again")


def test_an_account_without_its_key_file_stops_no_other_and_comes_back_by_itself() -> None:
    later, jobs = "later0project0id", ("late-1", "late-2", "late-3")
    config = (
        f'[accounts.ready]\nprojects = ["{DEMO_PROJECT}"]\n'
        f'[accounts.later]\nprojects = ["{later}"]\ncredentials_file = "later.ini"\n'
    )
    simulator = ("--project", DEMO_PROJECT, "--project", later)
    with Fleet(config=config, account="ready", simulator=simulator) as fleet:
        fleet.plant(*JOBS[:10])
        fleet.plant(*jobs, project=later)
        worker = fleet.start_worker()
        fleet.ask(*jobs, project=later)
        fleet.wait(lambda: fleet.app.queries("later").gate().gate == "credentials", "its gate says what is wrong")
        assert re.search(r"cannot read \S*later\.ini: ", fleet.app.queries("later").gate().reason or "")
        fleet.ask(*JOBS[:10])
        fleet.wait_until_settled(10)
        assert fleet.states() == {State.DELETED: 10}
        waiting = fleet.app.queries("later").status().states
        assert waiting[State.PENDING] == len(jobs)
        assert worker.text.count("credentials.missing") == 2, "once at its start and once when it was called"
        assert "Traceback" not in worker.text

        keys = f"[basic]\nak = {fleet.env['HUAWEICLOUD_SDK_AK']}\nsk = {fleet.env['HUAWEICLOUD_SDK_SK']}\n"
        (fleet.directory / "later.ini").write_text(keys)
        fleet.wait(lambda: fleet.app.queries("later").status().states[State.DELETED] == len(jobs), "it comes back")
        assert fleet.app.queries("later").gate().gate == "ok"
