"""The hold list for people: the result of each hold and release, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.holds import Hold, HoldList
from worker.model.errors import UsageError
from worker.model.ids import check_opaque, check_reason, why_bad_id
from worker.model.target import Target, target_json
from worker.services.times import rfc3339

_ADDED = {
    "held": "held: nothing is sent until the hold is removed",
    "none": "on hold: its deletion was not requested yet, and a request would wait",
    "may_be_deleted": (
        "held: nothing more is sent, but an earlier call had no clear answer, so it may already be deleted"
    ),
    "in_flight": "a call is in progress; if it does not delete the job, no further call is made",
    "pending": "on hold: its deletion was cancelled, and only a lookup is still to come",
    "dead": "on hold: it is a dead letter, and a replay would wait",
    "discarded": "on hold: it was discarded, and a new request would wait",
    "cancelled": "on hold: its deletion was cancelled, and a new request would wait",
    "deleted": "too late: it is deleted. The hold stays, for a new request",
    "gone": "too late: it is gone. The hold stays, for a new request",
}
_HOLDS = {"held", "none", "pending", "dead", "discarded", "cancelled"}
_REMOVED = {
    "released": "released: its deletion continues",
    "held": "the hold is removed, but an app user's hold still keeps it",
    "removed": "the hold is removed; no deletion was waiting for it",
    "not_held": "there is no hold of this job",
}


@dataclass(frozen=True, slots=True)
class HoldResult:
    """One job's result: `result` for programs, `text` for people, `done` if the request was fulfilled."""

    job_id: str
    project_id: str
    result: str
    text: str
    done: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            **target_json(self.job_id[:128]),
            "result": self.result,
            "done": self.done,
            "detail": self.text,
        }


def hold_list(app: AppContext, account: str) -> HoldList:
    return HoldList(app.ledger(account))


def add(
    app: AppContext,
    project: str,
    job_ids: Iterable[str],
    *,
    reason: str,
    by: str,
    until_ms: float | None,
    imported: bool = False,
) -> list[HoldResult]:
    """Hold each job. No cap, because it stops calls. An invalid id is reported, the others are held. imported: from
    a file.
    """
    check_said(reason, by)
    good, told = _sorted_out(project, job_ids)
    account = app.home_of(project)
    name = ActionName.IMPORTED if imported else ActionName.HELD
    for ref, result in hold_list(app, account).add(good, why=reason, by=by, until_ms=until_ms, name=name):
        text = _ADDED.get(result, result)
        told.append(HoldResult(ref.name, ref.project_id, result, text, result in _HOLDS))
    return told


def remove(
    app: AppContext, project: str, job_ids: Iterable[str], *, reason: str | None, by: str | None
) -> list[HoldResult]:
    """Remove the hold of each job; its deletion continues."""
    check_reason(reason), check_opaque(by, "by")
    good, told = _sorted_out(project, job_ids)
    account = app.home_of(project)
    for ref, result in hold_list(app, account).remove(good, why=reason, by=by):
        told.append(HoldResult(ref.name, ref.project_id, result, _REMOVED.get(result, result), result != "not_held"))
    app.wake(account, 0)
    return told


def add_user(
    app: AppContext, account: str | None, app_user: str, *, reason: str, by: str, until_ms: float | None
) -> None:
    """Hold every job of an app user, in one account, or in all of them including future ones."""
    check_said(reason, by)
    check_opaque(app_user, "app user")
    action, every = AuditAction(), account is None
    for name in accounts_of(app, account):
        app.places.introduce(name)
        hold_list(app, name).add_user(app_user, why=reason, by=by, until_ms=until_ms, every=every, action=action)


def accounts_of(app: AppContext, account: str | None) -> list[str]:
    """The named account, or all that hold anything, including those missing from the settings."""
    return [account] if account else app.known_accounts()


def remove_user(
    app: AppContext, account: str | None, app_user: str, *, reason: str | None, by: str | None
) -> tuple[bool, int]:
    """Remove an app user's hold: whether there was one, and how many deletions continue."""
    check_reason(reason), check_opaque(by, "by"), check_opaque(app_user, "app user")
    there, freed, action = False, 0, AuditAction()
    for name in accounts_of(app, account):
        was, went_on = hold_list(app, name).remove_user(app_user, why=reason, by=by, action=action)
        there, freed = there or was, freed + went_on
        app.wake(name, 0)
    return there, freed


def each(app: AppContext) -> Iterator[tuple[str, Hold]]:
    """Every hold of every account."""
    for account in app.known_accounts():
        for hold in hold_list(app, account).each():
            yield account, hold


def as_json(account: str, hold: Hold) -> dict[str, Any]:
    return {
        "account": account,
        "project_id": hold.ref.project_id if hold.ref else None,
        **(hold.ref.as_json() if hold.ref else {"kind": None, "id": None, "job_id": None}),
        "app_user_hash": hold.user,
        "reason": hold.reason,
        "by": hold.by,
        "since": rfc3339(hold.since),
        "until": rfc3339(hold.until),
    }


def check_said(reason: str, by: str) -> None:
    """Raises `UsageError` for a reason or a name that must not be stored."""
    check_reason(reason), check_opaque(by, "by")


def check_meant(job_ids: tuple[str, ...], app_user: str | None) -> None:
    """Either jobs or an app user. Raises `UsageError`."""
    if bool(job_ids) == bool(app_user):
        raise UsageError("give jobs, or an app user with --app-user U, not both")


def _sorted_out(project: str, job_ids: Iterable[str]) -> tuple[list[Target], list[HoldResult]]:
    good: dict[Target, None] = {}
    bad: list[HoldResult] = []
    for job_id in job_ids:
        why = why_bad_id(job_id)
        if why:
            bad.append(HoldResult(job_id, project, "bad_id", why, done=False))
        else:
            good[Target(project, job_id)] = None
    return list(good), bad
