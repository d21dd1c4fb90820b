"""The hold list for people: the result of each hold and release, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from worker.config.personal import check_app_user
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.holds import Hold, HoldList
from worker.model.errors import UsageError
from worker.services import json_form
from worker.services.act import Approval, Outcome, outcomes, select
from worker.services.pause import check_account
from worker.services.times import parse_day_or_time

_ADDED = {
    "held": ("held: nothing is sent until the hold is removed", True),
    "none": ("on hold: its deletion was not requested yet, and a request would wait", True),
    "may_be_deleted": ("held: nothing more is sent, but an earlier call may have deleted it", False),
    "in_flight": ("a call is in progress; if it does not delete the job, no further call is made", False),
    "pending": ("on hold: its deletion was cancelled, and only a lookup is still to come", True),
    "dead": ("on hold: it is a dead letter, and a replay would wait", True),
    "discarded": ("on hold: it was discarded, and a new request would wait", True),
    "cancelled": ("on hold: its deletion was cancelled, and a new request would wait", True),
    "parts_held": ("the job is deleted; what it left behind is not, until the hold is removed", True),
    "deleted": ("too late: it is deleted. The hold stays, for a new request", False),
    "gone": ("too late: it is gone. The hold stays, for a new request", False),
}
_REMOVED = {
    "released": ("released: its deletion continues", True),
    "held": ("the hold is removed, but an app user's hold still keeps it", True),
    "parts_released": ("released: what the deleted job left behind is deleted", True),
    "removed": ("the hold is removed; no deletion was waiting for it", True),
    "not_held": ("there is no hold of this job", False),
}


def add(
    app: AppContext,
    project: str,
    job_ids: Iterable[str],
    approval: Approval,
    *,
    until_ms: float | None,
    name: ActionName = ActionName.HELD,
    action: AuditAction | None = None,
) -> list[Outcome]:
    """Hold each job. No cap, because it stops calls. name: held, or imported from a file. action: of which this is a
    part."""
    refs, bad = select(project, job_ids)
    holds = HoldList(app.ledger(app.home_of(project)))
    results = holds.add(refs, until_ms=until_ms, name=name, **approval.who(action))
    return bad + outcomes(results, _ADDED)


def remove(
    app: AppContext, project: str, job_ids: Iterable[str], approval: Approval, action: AuditAction | None = None
) -> list[Outcome]:
    """Remove the hold of each job; its deletion continues. action: of which this is a part."""
    refs, bad = select(project, job_ids)
    account = app.home_of(project)
    results = HoldList(app.ledger(account)).remove(refs, **approval.who(action))
    app.wake(account, 0)
    return bad + outcomes(results, _REMOVED)


def add_user(
    app: AppContext, account: str | None, app_user: str, approval: Approval, *, until_ms: float | None
) -> None:
    """Hold every job of an app user, in one account, or in all of them including future ones."""
    check_app_user(app_user)
    action, every = AuditAction(), account is None
    for name in accounts_of(app, account):
        app.places.introduce(name)
        holds = HoldList(app.ledger(name))
        holds.add_user(app_user, until_ms=until_ms, every=every, **approval.who(action))


def accounts_of(app: AppContext, account: str | None) -> list[str]:
    """The named account, or all that hold anything, including those missing from the settings. Raises `UsageError`."""
    known = app.known_accounts()
    return [check_account(account, known)] if account else known


def remove_user(app: AppContext, account: str | None, app_user: str, approval: Approval) -> tuple[bool, int]:
    """Remove an app user's hold: whether there was one, and how many deletions continue."""
    check_app_user(app_user)
    there, freed, action = False, 0, AuditAction()
    for name in accounts_of(app, account):
        holds = HoldList(app.ledger(name))
        was, released = holds.remove_user(app_user, **approval.who(action))
        there, freed = there or was, freed + released
        app.wake(name, 0)
    return there, freed


def end_of(app: AppContext, text: str | None, name: str) -> float | None:
    """When a hold ends (ms since 1970). name: of the option or field. Raises `UsageError`."""
    until_ms = parse_day_or_time(text, name) if text else None
    if until_ms is not None and until_ms <= app.redis_ms():
        raise UsageError(f"{name}: {text} has passed: nothing was put on hold")
    return until_ms


def each(app: AppContext) -> Iterator[tuple[str, Hold]]:
    """Every hold of every account."""
    for account in app.known_accounts():
        for hold in HoldList(app.ledger(account)).each():
            yield account, hold


def as_json(account: str, hold: Hold) -> dict[str, Any]:
    return {"account": account, **json_form.as_json(hold, app_user_hash="user")}
