"""Deletions: `eraser.delete` records one and becomes a hand; `eraser.work` is the hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from worker.celery import app, ring
from worker.durations import parse_duration
from worker.ledger.moves import Accepted, Ref
from worker.operations.requests import checked, claim, known_project, once_redis_answers, record
from worker.runtime import runtime


def request_deletion(
    job_id: str,
    *,
    project_id: str | None = None,
    lane: str = "user",
    by: str | None = None,
    reason: str | None = None,
    app_user: str | None = None,
    after_s: float = 0.0,
    deadline_s: float | None = None,
    again: bool = False,
    allow_project: bool = False,
) -> Accepted:
    """Ask for one training job to be deleted. It is recorded when this returns.

    by, reason, app_user: opaque ids and ticket numbers, never names. after_s: not before so many seconds from now.
    allow_project: also in a project that is not configured here. Raises `UsageError` for a bad id and `UnknownProject`
    (nothing was recorded), and `Unreachable` when Redis does not answer.
    """
    return next(
        request_deletions(
            [job_id],
            project_id=project_id,
            lane=lane,
            by=by,
            reason=reason,
            app_user=app_user,
            after_s=after_s,
            deadline_s=deadline_s,
            again=again,
            allow_project=allow_project,
        )
    )


def request_deletions(
    job_ids: Iterable[str],
    *,
    project_id: str | None = None,
    lane: str = "bulk",
    by: str | None = None,
    reason: str | None = None,
    run: str | None = None,
    app_user: str | None = None,
    after_s: float = 0.0,
    deadline_s: float | None = None,
    again: bool = False,
    allow_project: bool = False,
) -> Iterator[Accepted]:
    """Ask for many, 500 a round trip; yields each as it is recorded. Raises `UsageError` at the first bad id."""
    running = runtime()
    project = known_project(running, project_id, allow=allow_project)
    asked = claim(
        running,
        lane=lane,
        by=by,
        reason=reason,
        run=run,
        app_user=app_user,
        after_s=after_s,
        deadline_s=deadline_s,
        again=again,
    )
    return record(running, (Ref(project, checked(running, job_id)) for job_id in job_ids), asked, ring)


@app.task(name="eraser.delete")
def delete(
    project_id: str,
    job_id: str,
    *,
    lane: str = "user",
    by: str | None = None,
    reason: str | None = None,
    app_user: str | None = None,
    after: str | None = None,
    deadline: str | None = None,
    again: bool = False,
    allow_project: bool = False,
) -> None:
    """Record a deletion, then work as a hand. after, deadline: durations such as "24h"."""
    running = runtime()
    ask = partial(
        request_deletion,
        job_id,
        project_id=project_id,
        lane=lane,
        by=by,
        reason=reason,
        app_user=app_user,
        after_s=parse_duration(after) if after else 0.0,
        deadline_s=parse_duration(deadline) if deadline else None,
        again=again,
        allow_project=allow_project,
    )
    accepted = once_redis_answers(running, ask)
    running.work(running.settings.account_of(accepted.ref.project_id).name, ring)


@app.task(name="eraser.work")
def work(account: str, bell: str | None = None) -> None:
    """Work for an account until nothing is due, or for a few seconds."""
    runtime().work(account, ring, bell)
