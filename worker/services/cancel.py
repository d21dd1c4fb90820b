"""Cancelling: withdraws requests, with each result in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.model.errors import UsageError
from worker.model.ids import check_opaque, check_reason, why_bad_id
from worker.model.target import Target

_WORDS = {
    "cancelled": "cancelled: nothing was sent",
    "claim_removed": "this run's request is withdrawn; other requests for this deletion remain",
    "in_flight": (
        "a call is in progress. The cancel is recorded: if that call does not delete the job, no further call is made"
    ),
    "may_be_deleted": (
        "an earlier call had no clear answer, so it may already be deleted. No further DELETE is sent until "
        "MetaStudio shows that the job still exists; then it is cancelled"
    ),
    "not_claimed": "this run did not request it",
    "deleted": "too late: it is deleted",
    "gone": "too late: it is gone",
    "dead": "it is a dead letter, nothing is sent; to give up on it: eraser dead discard {job} --reason TICKET",
    "discarded": "nothing to cancel: it was discarded before",
    "unknown": "its deletion was never requested",
}
_DONE = {"cancelled", "claim_removed", "discarded"}


@dataclass(frozen=True, slots=True)
class Cancelled:
    """One job's result: `result` for programs, `text` for people, `done` if nothing will be sent for this request."""

    job_id: str
    project_id: str
    result: str
    text: str

    @property
    def done(self) -> bool:
        return self.result in _DONE


def cancel(
    app: AppContext, project: str, job_ids: Iterable[str], *, reason: str, by: str | None = None
) -> Iterator[Cancelled]:
    """Withdraw every request for each job. No cap, because it stops calls. An invalid id is reported, the others
    are done.
    """
    check_reason(reason), check_opaque(by, "by")
    good: dict[Target, None] = {}
    for job_id in job_ids:
        why = why_bad_id(job_id)
        if why:
            yield Cancelled(job_id, project, "bad_id", why)
        else:
            good[Target(project, job_id)] = None
    refs, homes = list(good), app.homes_of(project)  # a stop applies wherever the deletion is stored
    while refs and homes:
        account, unknown = homes.pop(0), []
        for one in _cancel(app, refs, reason=reason, by=by, account=account):
            if one.result == "unknown" and homes:
                unknown.append(Target(one.project_id, one.job_id))
            else:
                yield one
        refs = unknown


def cancel_run(app: AppContext, run: str, *, reason: str, by: str | None = None) -> Iterator[Cancelled]:
    """Withdraw a run's requests, in every account. Other requests for the same jobs remain."""
    check_reason(reason), check_opaque(by, "by"), check_opaque(run, "run")
    action = AuditAction()
    for account in app.known_accounts():
        refs = list(app.bulk_queries(account).claimed_by(run))
        yield from _cancel(app, refs, reason=reason, by=by, run=run, account=account, action=action)


def _cancel(
    app: AppContext,
    refs: list[Target],
    *,
    reason: str,
    by: str | None,
    account: str,
    run: str | None = None,
    action: AuditAction | None = None,
) -> Iterator[Cancelled]:
    if not refs:
        return
    ledger = app.ledger(account)
    results = ledger.cancel(refs, why=reason, by=by, run=run, action=action)
    if any(result == "may_be_deleted" for _, result in results):
        app.wake(ledger.account, 0)  # the dispatcher has to check
    for ref, result in results:
        text = _WORDS.get(result, result).format(job=ref.name)
        yield Cancelled(ref.name, ref.project_id, result, text)


def check_wanted(job_ids: tuple[str, ...], run: str | None) -> None:
    """Either jobs or a run. Raises `UsageError`."""
    if bool(job_ids) == bool(run):
        raise UsageError("give jobs, or a run with --run R, not both: eraser cancel JOB_ID --reason TICKET")
