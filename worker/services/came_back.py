"""Jobs that MetaStudio has again after their deletion: listed, and requested again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.model.shares import grouped
from worker.model.states import Lane
from worker.model.target import Target
from worker.services import json_form, request
from worker.services.act import CAP, Approval, Outcome, Plan
from worker.services.labels import count


@dataclass(frozen=True, slots=True)
class CameBack:
    """One job. `at`: when that was found, in ms since 1970, Redis's clock."""

    ref: Target
    account: str
    at: float

    def as_json(self) -> dict[str, Any]:
        return json_form.as_json(self, "ref", "account", "at") | {"command": again(self.ref)}


def again(ref: Target) -> str:
    """The command that requests a deleted job once more."""
    return f"eraser request {ref.name} --project {ref.project_id} --force"


def each(app: AppContext) -> list[CameBack]:
    """What a recheck or a sweep found and nobody requested since, the latest first."""
    found = [
        CameBack(ref, account, at)
        for account in app.known_accounts()
        for ref, at in app.bulk_queries(account).came_back().items()
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)


def plan(back: Collection[CameBack]) -> Plan:
    """What would be requested again."""
    projects = Counter(f"project {one.ref.project_id}" for one in back)
    return Plan(f"request {count(len(back), 'job')} again", projects, fields={"will_be_requested": len(back)})


def request_all(app: AppContext, back: Collection[CameBack], approval: Approval) -> list[Outcome]:
    """Request each once more. Raises `RefusedBySafetyRule`, also for a plan that was not confirmed."""
    approval.check(len(back), "job")
    action = approval.entry(ActionName.CAP_LIFTED, count=len(back)) if len(back) > CAP else None
    terms = request.deletion_request(
        app, lane=Lane.USER, by=approval.by, reason=approval.reason, force=True, action=action
    )
    found: list[Outcome] = []
    for project, some in grouped(back, lambda one: one.ref.project_id).items():
        found += request.submitted(app, project, [one.ref.name for one in some], terms, "requested again")
    return found
