"""Executes a plan: within the caps, in the bulk lane, with a grace, and with a record of the run."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from worker.ledger import rechecks
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.deletions import BATCH
from worker.ledger.runs import Run, Runs
from worker.ledger.types import DeletionRequest
from worker.model.errors import EraserError
from worker.model.shares import batches
from worker.model.states import Lane
from worker.model.target import Target
from worker.retention.context import RetentionContext
from worker.retention.plan import CapOverride, Chosen, Plan
from worker.retention.policy import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of one run. `refused` are the caps that stopped it, `unread` the lists that did not end."""

    run: Run
    plan: Plan
    refused: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def new_run(policy: Policy, account: str, now: datetime, *, slot: datetime | None = None, by: str | None = None) -> Run:
    """A new run. The run of a slot is named after the slot, whichever process does it."""
    if slot is not None:
        name = f"{policy.name}-{slot.astimezone(UTC):%Y%m%d-%H%M}"
    else:
        name = f"{policy.name}-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return Run(
        name,
        policy.name,
        policy.hash,
        account,
        now.timestamp() * 1000,
        slot=slot.timestamp() * 1000 if slot else None,
        by=by,
    )


def sweep(
    app: RetentionContext,
    run: Run,
    planner: Callable[[], Plan],
    *,
    cap_override: CapOverride | None = None,
    partial: bool = False,
    why: str | None = None,
    goes_on: Callable[[], None] = lambda: None,
) -> Swept:
    """Plan, check the caps, request. The record is written before, during and after. Raises what the planner raises.

    partial: also request if a list did not end. why: an operator's reason to exceed the caps.
    goes_on: called before each 500; what it raises stops the run, and the record says it.
    """
    runs = Runs(app.ledger(run.account))
    earlier = runs.find(run.id)  # a process started it and was lost
    requested_before = earlier.requested if earlier else 0
    run = replace(run, started=earlier.started if earlier else run.started, requested=requested_before)
    runs.write(run)
    log.info("sweep.started", extra={"account": run.account, "run": run.id, "policy": run.policy})
    try:
        plan = planner()
    except EraserError as error:
        runs.write(replace(run, finished=app.now().timestamp() * 1000, stopped_by=str(error)[:300]))
        raise
    _note_what_came_back(app, run.account, plan)
    skipped = {reason.value: number for reason, number in plan.skipped.items()}
    run = replace(run, listed=plan.listed, selected=requested_before + plan.chosen, skipped=skipped)
    unread = tuple(plan.problems) if not partial else ()
    refused = tuple(plan.over(cap_override)) if not unread else ()
    stop = "; ".join(unread or refused) or None
    try:
        if stop is None:
            for number in _request(app, run, plan, _lifted(run, plan, cap_override, why), goes_on):
                run = replace(run, requested=run.requested + number)
                runs.write(run)
        elif refused:
            run = replace(run, skipped=skipped | {"over_cap": plan.chosen})
    except BaseException as error:
        stop = str(error) or type(error).__name__  # such as a Ctrl-C
        raise
    finally:
        run = replace(run, finished=app.now().timestamp() * 1000, stopped_by=stop[:300] if stop else None)
        runs.write(run)
        _tell(run)
    return Swept(run, plan, refused, unread)


def _note_what_came_back(app: RetentionContext, account: str, plan: Plan) -> None:
    """So that `eraser status` and the alerts name it: a sweep alone requests nothing that was deleted before."""
    for batch in batches(plan.came_back, BATCH):
        rechecks.record(app.ledger(account), None, dict.fromkeys(batch, "back"), looks=[None] * len(batch))


def _lifted(run: Run, plan: Plan, cap_override: CapOverride | None, why: str | None) -> dict[str, Any] | None:
    """For the audit: the operator's permission, if the policy's own caps would have stopped the run."""
    if cap_override is None or not plan.over():
        return None
    action = AuditAction(of=f"policy {plan.policy.name}", cap=cap_override.most)
    return action.named(ActionName.CAP_LIFTED, by=run.by, why=why or plan.policy.reason, run=run.id)


def _request(
    app: RetentionContext, run: Run, plan: Plan, action: dict[str, Any] | None, goes_on: Callable[[], None]
) -> Iterable[int]:
    """Request all selected jobs, 500 per round trip; yields how many of each batch were new."""
    policy, ledger = plan.policy, app.ledger(run.account)
    request = DeletionRequest(
        lane=Lane.BULK,
        by=f"policy:{policy.name}",
        why=policy.reason,
        run=run.id,
        app_user=policy.app_user,
        delay_s=policy.grace_s,
        deadline_s=policy.grace_s + app.settings.deadline,
        policy=policy.name,
        related=policy.related,
        policy_text=app.policies.policy_text(),
        listed=True,
        action=action,
    )
    for project in plan.projects:
        for batch in batches(project.chosen, BATCH):
            goes_on()
            accepted = ledger.request([each.ref for each in batch], request, assets=_assets(batch))
            yield sum(not each.deduplicated for each in accepted)


def _assets(batch: list[Chosen]) -> dict[Target, str]:
    return {each.ref: each.asset_id for each in batch if each.asset_id}


def _tell(run: Run) -> None:
    about = {"account": run.account, "run": run.id, "policy": run.policy}
    fields = {**about, "listed": run.listed, "selected": run.selected}
    if run.stopped_by:
        log.error("sweep.stopped", extra=fields | {"why": run.stopped_by})
    else:
        log.info("sweep.finished", extra=fields | {"requested": run.requested})
