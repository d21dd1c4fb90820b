"""Runs every policy that is due, once for each scheduled time, however often it is asked.

Celery beat asks each minute. A slot is one time of the policy's schedule; only the last one counts, so that missed
slots are made up once, not several times. Two beats ask twice, but the ledger gives the slot away once. Its holder
renews the slot while it works; if the holder is lost, the next tick after the slot's expiry continues the same run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import redis

from worker.ledger.runs import LEASE_S, Run, Runs, Slot, SlotState
from worker.model.errors import EraserError, SettingsError, Unreachable
from worker.retention.context import RetentionContext
from worker.retention.planner import CLOSED, Planner
from worker.retention.policy import Policy
from worker.retention.sweep import new_run, sweep

log = logging.getLogger(__name__)

EVERY_S = 60.0  # how often beat asks
NO_POLICY = "the worker lacks ERASER_CONFIG"
RENEW_S = LEASE_S / 10
NOT_NOW = (*CLOSED, "outage")  # gate states that a sweep waits for


def sweep_due(app: RetentionContext) -> list[Run]:
    """Run what is due. An error of one policy does not stop another's run. Returns the runs that were done here."""
    now = app.now()
    try:
        policies = app.policies.current()
    except SettingsError as error:
        log.error("sweep.refused", extra={"error": str(error)})
        note_tick(app, now, str(error))
        return []
    note_tick(app, now, None if policies else NO_POLICY)
    done = []
    for policy in policies.values():
        slot = policy.schedule.last_until(now) if policy.schedule else None
        if policy.schedule is None or slot is None or app.stopping.is_set():
            continue
        try:
            run = _do(app, policy, Slot(policy.name, policy.schedule.text, slot.timestamp() * 1000), slot)
        except EraserError as error:
            log.error("sweep.failed", extra={"policy": policy.name, "error": str(error)})
        else:
            done += [run] if run else []
    return done


def _do(app: RetentionContext, policy: Policy, slot: Slot, at: datetime) -> Run | None:
    """Run one policy's slot, if this process gets it: the ledger knows whether it was done already."""
    account = app.policies.account(policy)
    if app.queries(account).gate().gate in NOT_NOW:
        return None  # the slot stays due, and is made up when the gate is open
    runs = Runs(app.ledger(account))
    run = new_run(policy, account, app.now(), slot=at)
    verdict, name = runs.begin(slot, run.id)
    if verdict is SlotState.LOST:
        log.error("sweep.lost", extra={"account": account, "policy": policy.name, "run": name})
    if verdict is not SlotState.MINE:
        return None
    slot_lease = _SlotLease(runs, policy.name, name)
    try:
        swept = sweep(app, replace(run, id=name), Planner(app, policy, account, advance=slot_lease.goes_on).plan)
    except EraserError:
        if app.stopping.is_set():
            runs.leave(policy.name, name)
        raise  # the slot expires, and is tried again
    if app.stopping.is_set() and swept.unread:
        runs.leave(policy.name, name)
    elif not swept.unread:  # a list that did not end is tried again, too
        runs.done(policy.name, name)
    return swept.run


@dataclass(slots=True)
class _SlotLease:
    """Renews the slot from time to time while the run continues."""

    runs: Runs
    policy: str
    run: str
    clock: Callable[[], float] = time.monotonic
    _renewed_at: float = float("-inf")

    def goes_on(self, _listed: int, _of: int | None) -> None:
        if self.clock() - self._renewed_at < RENEW_S:
            return
        self._renewed_at = self.clock()
        if not self.runs.renew(self.policy, self.run):
            raise Unreachable(f"run {self.run} took too long; another worker has taken it over")


def note_tick(app: RetentionContext, now: datetime, problem: str | None) -> None:
    """Record a tick of the schedule, so that `eraser status` can report when it stops."""
    fields: dict[Any, Any] = {"at": now.timestamp() * 1000, "problem": problem or ""}
    try:
        app.redis.hset(app.keys.schedule, mapping=fields)
    except redis.RedisError:
        return
