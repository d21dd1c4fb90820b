"""The demo's last step, a small sweep: a policy's old jobs are deleted after a short grace; one on hold and one too
young stay.
"""

from __future__ import annotations

import time
from typing import Final

from worker.demo.play import Audience, OutOfPatience
from worker.demo.stage import ACCOUNT, Stage
from worker.demo.verdict import Fact
from worker.ledger.holds import HoldList
from worker.model.states import State
from worker.model.target import Target
from worker.retention.planner import Planner
from worker.retention.sweep import new_run, sweep
from worker.simulator import DEMO_PROJECT

OLD: Final = 5
HELD, YOUNG = "sweep-on-hold", "sweep-too-young"
PATIENCE_S = 20.0


def clean_up(stage: Stage, audience: Audience) -> Fact:
    """Add jobs, plan, run, wait; returns what must be true at the end."""
    old = [f"sweep-old-{n}" for n in range(1, OLD + 1)]
    long_ago = time.time() - 100 * 86400.0
    rows: list[dict[str, object]] = [
        {"job_id": job, "state": "TRAIN_FAILED", "created_at": long_ago} for job in (*old, HELD)
    ]
    stage.simulator.add_jobs([*rows, {"job_id": YOUNG, "state": "TRAIN_FAILED"}])
    HoldList(stage.ledger).add([Target(DEMO_PROJECT, HELD)], why="a legal case", by="demo")
    app = stage.app
    policy = app.policies.named("failed-trainings")
    run = sweep(app, new_run(policy, ACCOUNT, app.now(), by="demo"), Planner(app, policy, ACCOUNT).plan).run
    audience.report(
        "sweep", f"policy failed-trainings, older than 90d: {run.requested} of {run.listed} jobs, after 1 s of grace"
    )
    until = time.monotonic() + PATIENCE_S
    while not all(_is_deleted(stage, job) for job in old):
        if time.monotonic() > until:
            raise OutOfPatience("the demo gave up waiting for the sweep")
        time.sleep(0.05)
    left = set(stage.simulator.job_ids())
    return Fact(
        f"a sweep deleted the {OLD} old jobs of its policy; one on hold and one too young are still there",
        run.requested == OLD and not left & set(old) and {HELD, YOUNG} <= left,
    )


def _is_deleted(stage: Stage, job: str) -> bool:
    record = stage.queries.show(Target(DEMO_PROJECT, job))
    return record is not None and record.state is State.DELETED
