"""What a request of many jobs would do, before anything is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from worker.execution.app_context import AppContext
from worker.ledger.holds import HoldList
from worker.model.states import State
from worker.model.target import Target
from worker.services.act import CAP, Plan
from worker.services.labels import count
from worker.services.request import why_bad_job

NEW, MERGED, ROUND = "new", "merged with an earlier request", "a new round after its end"
HELD, DONE, AGAIN = (
    "on hold: nothing is sent until the hold is removed",
    "already done: nothing is sent",
    "deleted again",
)
BAD_LISTED = 10
_WHAT = {
    State.PENDING: MERGED,
    State.RUNNING: MERGED,
    State.HELD: HELD,
    State.DEAD: ROUND,
    State.DISCARDED: ROUND,
    State.CANCELLED: ROUND,
    State.DELETED: DONE,
    State.GONE: DONE,
}


def plan(app: AppContext, project: str, job_ids: Iterable[str], *, force: bool) -> Plan:
    """By what happens to each; an invalid id is named, and stops no other. force: also what is deleted or gone."""
    ids = list(dict.fromkeys(job_ids))
    bad = {job_id: why for job_id in ids if (why := why_bad_job(app, job_id))}
    refs = [Target.named(project, job_id) for job_id in ids if job_id not in bad]
    account = app.account_for(project)
    held = HoldList(app.ledger(account)).now().refs
    numbers = Counter(
        HELD if ref in held and state not in (State.DELETED, State.GONE) else _what(state, force=force)
        for ref, state in app.bulk_queries(account).states(refs)
    )
    remarks = [f"{job_id[:80]!r} is not requested: {why}" for job_id, why in list(bad.items())[:BAD_LISTED]]
    if len(bad) > BAD_LISTED:
        remarks.append(f"{len(bad) - BAD_LISTED:,} more invalid ids are not requested")
    fields = {"count": len(refs), "invalid": len(bad), "over_cap": len(ids) > CAP, "ids": len(ids)}
    return Plan(f"request {count(len(refs), 'deletion')}", dict(numbers.most_common()), remarks, fields)


def _what(state: State | None, *, force: bool) -> str:
    found = NEW if state is None else _WHAT[state]
    return AGAIN if force and found == DONE else found
