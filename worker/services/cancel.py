"""Cancelling: withdraws requests, with each result in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from worker.config.personal import check_opaque
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.model.target import Target
from worker.services.act import Approval, Outcome, outcomes, select

_WORDS = {
    "cancelled": ("cancelled: nothing was sent", True),
    "cancelled_after_calls": ("cancelled: earlier calls did not delete the job, and no further call is made", True),
    "claim_removed": ("this run's request is withdrawn; other requests for this deletion remain", True),
    "in_flight": (
        "a call is in progress. The cancel is recorded: if that call does not delete the job, no further call is made",
        False,
    ),
    "may_be_deleted": (
        "an earlier call may have deleted it. No further DELETE is sent until "
        "MetaStudio shows that the job still exists; then it is cancelled",
        False,
    ),
    "not_claimed": ("this run did not request it", False),
    "parts_kept": ("the job is deleted; what it left behind and is still there is looked for, and not deleted", True),
    "deleted": ("too late: it is deleted", False),
    "gone": ("too late: it is gone", False),
    "dead": (
        "it is a dead letter, nothing is sent; to give up on it: eraser dead discard {job} --reason TICKET",
        False,
    ),
    "discarded": ("nothing to cancel: it was discarded before", True),
    "unknown": ("its deletion was never requested", False),
}


def cancel(
    app: AppContext, project: str, job_ids: Iterable[str], approval: Approval, action: AuditAction | None = None
) -> Iterator[Outcome]:
    """Withdraw every request for each job. No cap, because it stops calls. action: of which this is a part."""
    refs, bad = select(project, job_ids)
    yield from bad
    homes = app.homes_of(project)  # a stop applies wherever the deletion is stored
    while refs and homes:
        account, unknown = homes.pop(0), []
        for one in _cancel(app, account, refs, approval, action=action):
            if one.result == "unknown" and homes:
                unknown.append(one.target)
            else:
                yield one
        refs = unknown


def cancel_run(app: AppContext, run: str, approval: Approval) -> Iterator[Outcome]:
    """Withdraw a run's requests, in every account. Other requests for the same jobs remain."""
    check_opaque(run, "run", known=True)
    action = AuditAction()
    for account in app.known_accounts():
        yield from _cancel(app, account, list(app.bulk_queries(account).claimed_by(run)), approval, run, action)


def _cancel(
    app: AppContext,
    account: str,
    refs: list[Target],
    approval: Approval,
    run: str | None = None,
    action: AuditAction | None = None,
) -> list[Outcome]:
    results = app.ledger(account).cancel(refs, run=run, **approval.who(action))
    if any(result == "may_be_deleted" for _, result in results):
        app.wake(account, 0)  # the dispatcher has to check
    return outcomes(results, _WORDS)
