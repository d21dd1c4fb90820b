"""Deletions: `eraser.delete` records one and becomes a hand; `eraser.work` is the hand."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from worker.application import app, intake, ring
from worker.durations import parse_duration
from worker.errors import EraserError, UsageError
from worker.ledger.moves import Accepted, Ref
from worker.messages import ASKED, Asked
from worker.operations.requests import RENAMED, checked, claim, known_project, record
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
    force: bool = False,
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
            force=force,
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
    force: bool = False,
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
        force=force,
    )
    return record(running, (Ref(project, checked(running, job_id)) for job_id in job_ids), asked, ring)


@app.task(name="eraser.delete", bind=True, Strategy="worker.messages:strategy", throws=(EraserError,))
def delete(self: Any, *args: Any, **kwargs: Any) -> None:
    """Record a deletion, then work as a hand. Its arguments are those of `_requested`."""
    asked: Asked | None = self.request.get(ASKED)
    accepted = intake.record(asked, partial(_bound, asked, args, kwargs), args, kwargs)
    running = runtime()
    running.work(running.settings.account_of(accepted.ref.project_id).name, ring)


def _bound(asked: Asked | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Accepted:
    for name in RENAMED.keys() & kwargs.keys():
        raise UsageError(f"eraser.delete: {name} is called {RENAMED[name]} now")
    try:
        inspect.signature(_requested).bind(asked, *args, **kwargs)
    except TypeError as error:
        raise UsageError(f"eraser.delete: {error}") from None
    return _requested(asked, *args, **kwargs)


def _requested(
    asked: Asked | None,
    project_id: str,
    job_id: str,
    *,
    lane: str = "user",
    by: str | None = None,
    reason: str | None = None,
    app_user: str | None = None,
    after: str | None = None,
    deadline: str | None = None,
    force: bool = False,
    allow_project: bool = False,
) -> Accepted:
    """after, deadline: durations such as "24h". An ETA or countdown of the message counts as `after`, and is recorded
    now; a deadline that nobody named begins then."""
    texts = {"project_id": project_id, "job_id": job_id, "lane": lane, "by": by, "reason": reason}
    for name, said in (texts | {"app_user": app_user, "after": after, "deadline": deadline}).items():
        if not isinstance(said, str | None):
            raise UsageError(f"{name}: expected text; found a {type(said).__name__}")
    running = runtime()
    checked(running, job_id)  # before the project: where the two were swapped, no project is unknown
    now = running.now()
    if asked and asked.is_over(now):
        raise UsageError(f"it expired ({asked.expires}) before it could start: nothing was recorded; send it again")
    after_s, wait_s = parse_duration(after) if after else 0.0, asked.wait_s(now) if asked else 0.0
    deadline_s = parse_duration(deadline) if deadline else running.settings.deadline + wait_s if wait_s else None
    return request_deletion(
        job_id,
        project_id=project_id,
        lane=lane,
        by=by,
        reason=reason,
        app_user=app_user,
        after_s=max(after_s, wait_s),
        deadline_s=deadline_s,
        force=force,
        allow_project=allow_project,
    )


@app.task(name="eraser.work")
def work(account: str, bell: str | None = None) -> None:
    """Work for an account until nothing is due, or for a few seconds."""
    runtime().work(account, ring, bell)
