"""A project moves to another account of the file, under load: nothing is lost, nothing that is on hold is deleted."""

from __future__ import annotations

from tests.acceptance.fleet import Fleet
from worker.execution.app_context import AppContext
from worker.model.states import State
from worker.model.target import Target
from worker.services import hold
from worker.services.act import Approval
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK

SECOND = "2" * 32
CONFIG = """
[accounts.studio-a]
projects = [{}]
[accounts.studio-b]
projects = [{}]
"""
BEFORE = CONFIG.format(f'"{DEMO_PROJECT}", "{SECOND}"', '"3333"')
AFTER = CONFIG.format(f'"{SECOND}"', f'"{DEMO_PROJECT}", "3333"')
JOBS = [f"job-{n:03d}" for n in range(200)]
HELD = [f"held-{n}" for n in range(5)]
OTHERS = [f"other-{n}" for n in range(10)]


def test_what_waits_is_sent_by_the_new_account_and_what_is_on_hold_by_nobody() -> None:
    with Fleet(config=BEFORE, account="studio-a", settings={"ERASER_RATE": "40"}) as fleet:
        fleet.plant(*JOBS, *HELD)
        fleet.metastudio.set_credential(DEMO_AK, DEMO_SK, projects=[DEMO_PROJECT, SECOND])
        fleet.metastudio.add_jobs({"job_id": name, "project": SECOND} for name in OTHERS)
        fleet.start_workers(2)
        hold.add(fleet.app, DEMO_PROJECT, HELD, Approval("legal-3", "CASE-12"), until_ms=None)
        fleet.ask(*JOBS, *HELD)
        fleet.wait_until_settled(20)
        (fleet.directory / "accounts.toml").write_text(AFTER)
        for worker in fleet.workers:
            worker.ask_to_end()
        fleet.wait(lambda: not any(worker.alive for worker in fleet.workers), "the workers with the old file end")
        fleet.app, fleet.account = AppContext.load(fleet.env), "studio-b"
        fleet.start_workers(2)
        deleted = len(fleet.metastudio.effects())
        fleet.ask(*OTHERS, project=SECOND)
        others = fleet.app.queries("studio-a")
        fleet.wait(
            lambda: all(others.show(Target(SECOND, job)).state is State.DELETED for job in OTHERS),  # type: ignore[union-attr]
            "another project of the old account goes on, behind what waits for the move",
        )
        assert len(fleet.metastudio.effects()) == deleted + len(OTHERS), "nothing of the one that moves was sent"
        assert fleet.command("request", "job-000").returncode == 3
        assert f"eraser accounts move {DEMO_PROJECT} --to studio-b" in fleet.command("status").stdout
        moved = fleet.command("accounts", "move", DEMO_PROJECT, "--to", "studio-b", "--reason", "T-1", "--yes")
        assert moved.returncode == 0, moved.stderr
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: len(JOBS), State.HELD: len(HELD)}
        assert not set(fleet.metastudio.effects()) & set(HELD)
