"""Carries a plan out: within the caps, in the bulk lane, with a grace, and with a record of the run."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from worker.deletion import Lane
from worker.errors import EraserError
from worker.ledger.acts import Act, ActName
from worker.ledger.moves import Claim, Ref
from worker.ledger.runs import Run, RunBook
from worker.ledger.store import BATCH
from worker.retention.context import RetentionContext
from worker.retention.plan import Allowance, Chosen, Plan
from worker.retention.policy import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """One run's end. `refused` are the caps that stopped it, `unread` the lists that did not end."""

    run: Run
    plan: Plan
    refused: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def new_run(policy: Policy, account: str, now: datetime, *, slot: datetime | None = None, by: str | None = None) -> Run:
    """A run before it has done anything. One for a slot has the slot's name, whoever does it."""
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
    running: RetentionContext,
    run: Run,
    survey: Callable[[], Plan],
    *,
    allowance: Allowance | None = None,
    partial: bool = False,
    why: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Swept:
    """Plan, check the caps, ask. The record is written before, during and after. Raises what the survey raises.

    partial: also ask where a list did not end. why: a person's reason to allow more than the caps.
    advance: told how many were asked for.
    """
    runs = RunBook(running.ledger(run.account))
    earlier = runs.find(run.id)  # somebody began it and was lost
    asked_before = earlier.requested if earlier else 0
    run = replace(run, started=earlier.started if earlier else run.started, requested=asked_before)
    runs.write(run)
    log.info("sweep.started", extra={"account": run.account, "run": run.id, "policy": run.policy})
    try:
        plan = survey()
    except EraserError as error:
        runs.write(replace(run, finished=running.now().timestamp() * 1000, stopped_by=str(error)[:300]))
        raise
    skipped = {reason.value: number for reason, number in plan.skipped.items()}
    run = replace(run, listed=plan.listed, selected=asked_before + plan.chosen, skipped=skipped)
    unread = tuple(plan.problems) if not partial else ()
    refused = tuple(plan.over(allowance)) if not unread else ()
    stop = "; ".join(unread or refused) or None
    try:
        if stop is None:
            for number in _request(running, run, plan, _lifted(run, plan, allowance, why)):
                run = replace(run, requested=run.requested + number)
                runs.write(run)
                advance(number)
        elif refused:
            run = replace(run, skipped=skipped | {"over_cap": plan.chosen})
    except BaseException as error:
        stop = str(error) or type(error).__name__  # such as a Ctrl-C
        raise
    finally:
        run = replace(run, finished=running.now().timestamp() * 1000, stopped_by=stop[:300] if stop else None)
        runs.write(run)
        _tell(run)
    return Swept(run, plan, refused, unread)


def _lifted(run: Run, plan: Plan, allowance: Allowance | None, why: str | None) -> dict[str, Any] | None:
    """For the audit: what a person allowed, where the policy's own caps would have stopped the run."""
    if allowance is None or not plan.over():
        return None
    act = Act(of=f"policy {plan.policy.name}", cap=allowance.most)
    return act.named(ActName.CAP_LIFTED, by=run.by, why=why or plan.policy.reason, run=run.id)


def _request(running: RetentionContext, run: Run, plan: Plan, act: dict[str, Any] | None) -> Iterable[int]:
    """Ask for all that is chosen, 500 a round trip; yields how many of each were new."""
    policy, ledger = plan.policy, running.ledger(run.account)
    claim = Claim(
        lane=Lane.BULK,
        by=f"policy:{policy.name}",
        why=policy.reason,
        run=run.id,
        app_user=policy.app_user,
        delay_s=policy.grace_s,
        deadline_s=policy.grace_s + running.settings.deadline,
        policy=policy.name,
        book=running.policies.book(),
        seen=True,
        act=act,
    )
    for project in plan.projects:
        rest = iter(project.chosen)
        while batch := list(islice(rest, BATCH)):
            accepted, _ = ledger.request([each.ref for each in batch], claim, assets=_assets(batch))
            running.wake(run.account, 0)
            yield sum(not each.deduplicated for each in accepted)


def _assets(batch: list[Chosen]) -> dict[Ref, str]:
    return {each.ref: each.asset_id for each in batch if each.asset_id}


def _tell(run: Run) -> None:
    about = {"account": run.account, "run": run.id, "policy": run.policy}
    said = {**about, "listed": run.listed, "selected": run.selected}
    if run.stopped_by:
        log.error("sweep.stopped", extra=said | {"why": run.stopped_by})
    else:
        log.info("sweep.finished", extra=said | {"requested": run.requested})
