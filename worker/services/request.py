"""Requests for deletions: command line, tasks and HTTP all use this module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from worker.config.durations import LONGEST, format_duration
from worker.config.personal import check_app_user, check_opaque, check_reason
from worker.execution import tracing
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.ledger.deletions import BATCH
from worker.ledger.types import Accepted, DeletionRequest
from worker.model.erasure import Related
from worker.model.errors import UnknownProject, UsageError
from worker.model.ids import why_bad_id
from worker.model.shares import batches
from worker.model.states import Lane
from worker.model.target import Target, target_json
from worker.services.act import CAP, Approval, Outcome
from worker.services.times import parse_span, parse_time

RENAMED = {"again": "force"}  # old name of an argument -> new name
MOST_LISTED = 3  # projects that an error lists
SOON_S = 60.0  # a start that is further in the past is a typing error


@dataclass(frozen=True, slots=True)
class Requested:
    """The result for one id: accepted, or an error."""

    job_id: str
    accepted: Accepted | None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The contract's fields, the same for every interface."""
        done = self.accepted
        return {
            **(done.ref.as_json() if done else target_json(self.job_id[:128])),
            "state": done.state if done else None,
            "accepted": done is not None,
            "deduplicated": done.deduplicated if done else False,
            "effect": done.effect if done else None,
            "error": self.error,
        }


class RequestTerms(TypedDict, total=False):
    """Who asks for a deletion, why and when: opaque ids and ticket numbers, never names; seconds from now.

    after_s: the earliest start. deadline_s: when it is given up. force: even if it is already deleted or gone.
    """

    by: str | None
    reason: str | None
    run: str | None
    app_user: str | None
    after_s: float
    deadline_s: float | None
    force: bool
    related: str | None  # leave, verify or delete: what is done about what a job leaves behind; None: as is set


def deletion_request(
    app: AppContext,
    *,
    lane: str,
    at: float | None = None,
    action: dict[str, Any] | None = None,
    **terms: Unpack[RequestTerms],
) -> DeletionRequest:
    """Check the terms of a request. Raises `UsageError`; then nothing was recorded.

    at: the time (ms) that after_s was computed from: it is recorded as a time, so that no jump of a clock moves it.
    action: for the audit, if a person lifted the cap.
    """
    if lane not in tuple(Lane):
        raise UsageError(f"lane: expected user or bulk; found {lane[:40]!r}")
    after_s, deadline_s = terms.get("after_s", 0.0), terms.get("deadline_s")
    deadline_s = deadline_s if deadline_s is not None else app.settings.deadline
    if not 0 < deadline_s <= LONGEST:  # also refuses nan and inf, which no script could answer with
        longest = format_duration(LONGEST)
        raise UsageError(f"deadline: expected more than 0s and at most {longest} from now; found {deadline_s} s")
    if not math.isfinite(after_s):
        raise UsageError(f"after: expected a number of seconds; found {after_s}")
    if after_s >= deadline_s:
        unit = 86_400 if after_s > 86_400 else 1  # a typed duration does not have microseconds
        enough = format_duration(math.ceil(after_s / unit) * unit)
        raise UsageError(
            f"the deadline, {format_duration(deadline_s)} from now, is over before the deletion may start: "
            f"set a deadline of more than {enough}, or an earlier start"
        )
    return DeletionRequest(
        lane=Lane(lane),
        by=check_opaque(terms.get("by"), "by"),
        why=check_reason(terms.get("reason")),
        run=check_opaque(terms.get("run"), "run"),
        app_user=check_app_user(terms.get("app_user")),
        delay_s=max(0.0, after_s),
        deadline_s=deadline_s,
        force=terms.get("force", False),
        related=check_related(terms.get("related")),
        after_ms=at,
        action=action,
        traceparent=tracing.traceparent(),
    )


def check_related(text: object) -> str | None:
    if text is not None and text not in tuple(Related):
        raise UsageError(f"related: expected {', '.join(Related)}; found {str(text)[:40]!r}")
    return str(text) if text is not None else None


def from_texts(
    app: AppContext,
    *,
    now: float | None,
    after: str | None = None,
    at: str | None = None,
    deadline: str | None = None,
    option: str = "",
    **terms: Any,
) -> DeletionRequest:
    """The same from texts. `now` (Redis's, ms) turns `at` into a delay; without it only the form of `at` is checked.

    option: what stands before the names of the three, such as `--`.
    """
    if after and at:
        raise UsageError(f"give {option}after or {option}at, not both")
    after_s = parse_span(after, f"{option}after") if after else 0.0
    moment = parse_time(at, f"{option}at") if at else None
    if moment is not None and now is not None:
        if moment < now - SOON_S * 1000:
            raise UsageError(f"{option}at: {at} has passed; leave it out to delete at once. Nothing was recorded")
        after_s = max(0.0, (moment - now) / 1000)
    deadline_s = parse_span(deadline, f"{option}deadline") if deadline else None
    return deletion_request(app, after_s=after_s, at=moment, deadline_s=deadline_s, **terms)


def project_of(app: AppContext, project_id: str | None) -> str:
    """The given project, or the only one configured."""
    project = project_id or app.settings.default_project()
    if project is None:
        raise UsageError("no project: add --project P, or set HUAWEICLOUD_SDK_PROJECT_ID")
    why = why_bad_id(project, "project id")
    if why:
        raise UsageError(why)
    return project


def known_project(app: AppContext, project_id: str | None, *, allow: bool = False) -> str:
    """The project, if new deletions may be recorded for it: it is configured, or allowed explicitly.

    MetaStudio refuses a project that is not the key's, and the account closes: so a typing error must be refused here.
    Raises `UnknownProject` and `UsageError`.
    """
    project = project_of(app, project_id)
    settings = app.settings
    if allow or settings.knows(project):
        return project
    ours = f"it has {', '.join(sorted(settings.projects)[:MOST_LISTED])}" if settings.projects else "it has none yet"
    more = f" and {len(settings.projects) - MOST_LISTED:,} more" if len(settings.projects) > MOST_LISTED else ""
    raise UnknownProject(
        project,
        f"is not a project of this installation; {ours}{more}. Nothing was recorded. To allow it, add it to "
        "ERASER_PROJECTS, or allow it this once: --allow-project (allow_project=true by HTTP, Celery and Python)",
    )


def why_bad_job(app: AppContext, job_id: str) -> str | None:
    """Why this is not a valid job id, or None."""
    if job_id in app.settings.projects:
        return "this is the id of a project, not of a job: did you swap them?"
    return Target.why_not_named(job_id)


def record(app: AppContext, refs: Iterable[Target], terms: DeletionRequest) -> Iterator[Accepted]:
    """Write requests of one project to its account's ledger, 500 per round trip, which wakes a dispatcher.

    Yields each as it is recorded. Raises `Unreachable` if Redis does not answer: everything yielded is recorded.
    """
    for batch in batches(refs, BATCH):
        yield from app.ledger_of(batch[0].project_id).request(batch, terms)


def submit(app: AppContext, project: str, job_ids: Iterable[str], terms: DeletionRequest) -> Iterator[Requested]:
    """Request each id; an invalid one is reported, the valid ones are recorded. Raises what `record` raises."""
    for batch in batches(job_ids, BATCH):
        bad = {job_id: why for job_id in batch if (why := why_bad_job(app, job_id))}
        accepted = record(app, [Target.named(project, job_id) for job_id in batch if job_id not in bad], terms)
        for job_id in batch:
            yield Requested(job_id, None, bad[job_id]) if job_id in bad else Requested(job_id, next(accepted))


def submitted(
    app: AppContext, project: str, names: Iterable[str], terms: DeletionRequest, text: str
) -> Iterator[Outcome]:
    """The same as outcomes of an act. text: of what was recorded."""
    for one in submit(app, project, names, terms):
        state = one.accepted.state if one.accepted else None
        yield Outcome(Target.named(project, one.job_id), state, one.error or text, done=one.accepted is not None)


def check_cap(count: int, approval: Approval) -> dict[str, Any] | None:
    """The audit's entry, if --max lifted the cap. Raises `RefusedBySafetyRule` for more ids than were confirmed."""
    approval.check(count, "id", undone=f"Nothing was recorded. If you mean all of them, add: --max {count}")
    return approval.entry(ActionName.CAP_LIFTED, count=count) if count > CAP else None


def checked(app: AppContext, job_id: str) -> str:
    """The id if it is valid. Raises `UsageError`."""
    why = why_bad_job(app, job_id)
    if why:
        raise UsageError(why)
    return job_id
