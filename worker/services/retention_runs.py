"""A policy's plan, and a run of it that goes on by itself while people watch."""

from __future__ import annotations

import logging
from threading import Thread
from typing import Final
from weakref import WeakSet

from worker.execution.app_context import AppContext
from worker.ledger.runs import Run, Runs
from worker.model.errors import EraserError, UsageError
from worker.retention.plan import CapOverride, Plan
from worker.retention.planner import Planner
from worker.retention.policy import Policy
from worker.retention.sweep import new_run, sweep
from worker.services.act import Approval

log = logging.getLogger(__name__)

ENDED = "the console ended"
_END_S = 10.0  # how long the end of this process waits for what is being requested
_threads: Final[WeakSet[Thread]] = WeakSet()


def plan(app: AppContext, policy: Policy) -> Plan:
    """What a run would request. Changes nothing. Raises `Unreachable` and `SettingsError`."""
    return Planner(app, policy, app.policies.account(policy)).plan()


def start(
    app: AppContext, plan: Plan, approval: Approval, *, allowed: CapOverride | None = None, partial: bool = False
) -> str:
    """Start a run and return its id; its record says how far it is. It ends with this process, like a command's."""
    policy = plan.policy
    run = new_run(policy, app.policies.account(policy), app.now(), by=approval.by)
    Runs(app.ledger(run.account)).write(run)
    thread = Thread(target=_run, args=(app, plan, run, approval, allowed, partial), name=run.id, daemon=True)
    _threads.add(thread)
    thread.start()
    return run.id


def end(app: AppContext) -> None:
    """This process ends: the runs that it started stop after what they are requesting, and their records say why."""
    app.stopping.set()
    for thread in list(_threads):
        thread.join(_END_S)


def _run(app: AppContext, plan: Plan, run: Run, approval: Approval, allowed: CapOverride | None, partial: bool) -> None:
    def goes_on() -> None:
        if app.stopping.is_set():
            raise EraserError(ENDED)

    try:
        sweep(app, run, lambda: plan, cap_override=allowed, partial=partial, why=approval.reason, goes_on=goes_on)
    except EraserError as error:  # the run's record says it
        log.warning("sweep.stopped", extra={"account": run.account, "run": run.id, "why": str(error)[:300]})
    except Exception:
        log.exception("sweep.stopped", extra={"account": run.account, "run": run.id})


def find(app: AppContext, run: str) -> Run:
    """The record of a run. Raises `UsageError`."""
    for account in app.settings.accounts:
        if found := Runs(app.ledger(account)).find(run):
            return found
    raise UsageError(f"there is no run {run[:80]!r}; see `eraser retention runs`")
