"""Deletions: `eraser.delete` records one and then works as an executor; `eraser.work` is the bare executor."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Unpack

from worker.config.durations import parse_duration
from worker.execution import tracing
from worker.execution.app_context import app_context
from worker.execution.celery_app import app, intake
from worker.execution.messages import REQUEST_MESSAGE, RequestMessage
from worker.ledger.types import Accepted
from worker.model.errors import EraserError, UsageError
from worker.model.target import Target
from worker.services.request import RENAMED, RequestTerms, checked, deletion_request, known_project, record


def request_deletion(
    job_id: str,
    *,
    project_id: str | None = None,
    allow_project: bool = False,
    lane: str = "user",
    **terms: Unpack[RequestTerms],
) -> Accepted:
    """Request the deletion of one training job. It is recorded when this returns.

    allow_project: also in a project that is not configured here. Raises `UsageError` for a bad id and `UnknownProject`
    (nothing was recorded), and `Unreachable` when Redis does not answer.
    """
    one = request_deletions([job_id], project_id=project_id, allow_project=allow_project, lane=lane, **terms)
    return next(one)


def request_deletions(
    job_ids: Iterable[str],
    *,
    project_id: str | None = None,
    allow_project: bool = False,
    lane: str = "bulk",
    **terms: Unpack[RequestTerms],
) -> Iterator[Accepted]:
    """Request many, 500 per round trip; yields each as it is recorded. Raises `UsageError` at the first bad id."""
    context = app_context()
    project = known_project(context, project_id, allow=allow_project)
    request = deletion_request(context, lane=lane, **terms)
    return record(context, (Target.named(project, checked(context, job_id)) for job_id in job_ids), request)


@app.task(name="eraser.delete", bind=True, Strategy="worker.execution.messages:strategy", throws=(EraserError,))
def delete(self: Any, *args: Any, **kwargs: Any) -> None:
    """Record a deletion, then work as an executor. Its arguments are those of `_requested`."""
    message: RequestMessage | None = self.request.get(REQUEST_MESSAGE)
    with tracing.request("process eraser.delete", self.request):
        accepted = intake.record(message, partial(_bound, message, args, kwargs), args, kwargs)
    context = app_context()
    context.work(context.settings.account_of(accepted.ref.project_id).name)


def _bound(message: RequestMessage | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Accepted:
    for name in RENAMED.keys() & kwargs.keys():
        raise UsageError(f"eraser.delete: {name} is called {RENAMED[name]} now")
    try:
        inspect.signature(_requested).bind(message, *args, **kwargs)
    except TypeError as error:
        known = ", ".join([*inspect.signature(_requested).parameters][1:])
        raise UsageError(f"eraser.delete: {error}; known: {known}") from None
    return _requested(message, *args, **kwargs)


def _requested(
    message: RequestMessage | None,
    project_id: str,
    job_id: str,
    *,
    lane: str = "user",
    by: str | None = None,
    reason: str | None = None,
    run: str | None = None,
    app_user: str | None = None,
    after: str | None = None,
    deadline: str | None = None,
    related: str | None = None,
    force: bool = False,
    allow_project: bool = False,
) -> Accepted:
    """after, deadline: durations such as "24h". An ETA or countdown of the message counts as `after`, and is recorded
    now; a default deadline starts at that time."""
    texts = {"project_id": project_id, "job_id": job_id, "lane": lane, "by": by, "reason": reason, "run": run}
    texts |= {"app_user": app_user, "after": after, "deadline": deadline, "related": related}
    for name, value in texts.items():
        if not isinstance(value, str | None):
            raise UsageError(f"{name}: expected text; found a {type(value).__name__}")
    context = app_context()
    checked(context, job_id)  # before the project is checked: if the two were swapped, the error must say so
    now = context.now()
    if message and message.is_over(now):
        raise UsageError(f"it expired ({message.expires}) before it could start: nothing was recorded; send it again")
    after_s, wait_s = parse_duration(after) if after else 0.0, message.wait_s(now) if message else 0.0
    deadline_s = parse_duration(deadline) if deadline else context.settings.deadline + wait_s if wait_s else None
    terms: RequestTerms = {"by": by, "reason": reason, "run": run, "app_user": app_user, "force": force}
    terms |= {"related": related, "after_s": max(after_s, wait_s), "deadline_s": deadline_s}
    return request_deletion(job_id, project_id=project_id, lane=lane, allow_project=allow_project, **terms)


@app.task(name="eraser.work", bind=True)
def work(self: Any, account: str, wakeup: str | None = None) -> None:
    """Work for an account until nothing is due, or for a few seconds."""
    app_context().work(account, wakeup, traceparent=self.request.get("traceparent"))
