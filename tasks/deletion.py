"""Deletions: `eraser.delete` records one and becomes a hand; `eraser.work` is the hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from worker.celery import app, ring
from worker.deletion import Lane, check_opaque, check_reason, why_bad_id
from worker.durations import parse_duration
from worker.errors import UsageError
from worker.ledger.moves import Accepted, Claim, Ref
from worker.ledger.store import BATCH
from worker.runtime import Runtime, runtime


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
) -> Accepted:
    """Ask for one training job to be deleted. It is recorded when this returns.

    by, reason, app_user: opaque ids and ticket numbers, never names. after_s: not before so many seconds from now.
    Raises `UsageError` for a bad id (nothing was recorded) and `Unreachable` when Redis does not answer.
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
) -> Iterator[Accepted]:
    """Ask for many, 500 a round trip; yields each as it is recorded. Raises `UsageError` at the first bad id."""
    running = runtime()
    project = project_of(running, project_id)
    claim = Claim(
        lane=Lane(lane),
        by=check_opaque(by, "by"),
        why=check_reason(reason),
        run=check_opaque(run, "run"),
        app_user=check_opaque(app_user, "app user"),
        delay_s=max(0.0, after_s),
        deadline_s=deadline_s or running.settings.deadline,
        again=again,
    )
    return record(running, (Ref(project, _checked(job_id)) for job_id in job_ids), claim)


def record(running: Runtime, refs: Iterable[Ref], claim: Claim) -> Iterator[Accepted]:
    """Write requests of one project to its account's ledger, and see that somebody comes."""
    batch: list[Ref] = []

    def flush() -> Iterator[Accepted]:
        ledger = running.ledger_of(batch[0].project_id)
        accepted, bells = ledger.request(batch, claim)
        for bell in bells:
            ring(ledger.account, bell)
        running.wake(ledger.account, 0)
        batch.clear()
        yield from accepted

    for ref in refs:
        batch.append(ref)
        if len(batch) == BATCH:
            yield from flush()
    if batch:
        yield from flush()


def project_of(running: Runtime, project_id: str | None) -> str:
    """The project meant: the one given, or the only one configured."""
    project = project_id or running.settings.default_project()
    if project is None:
        raise UsageError("no project: give the project id, or set HUAWEICLOUD_SDK_PROJECT_ID")
    why = why_bad_id(project, "project id")
    if why:
        raise UsageError(why)
    return project


def _checked(job_id: str) -> str:
    why = why_bad_id(job_id)
    if why:
        raise UsageError(why)
    return job_id


@app.task(name="eraser.delete")  # type: ignore[untyped-decorator]
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
) -> None:
    """Record a deletion, then work as a hand. after, deadline: durations such as "24h"."""
    accepted = request_deletion(
        job_id,
        project_id=project_id,
        lane=lane,
        by=by,
        reason=reason,
        app_user=app_user,
        after_s=parse_duration(after) if after else 0.0,
        deadline_s=parse_duration(deadline) if deadline else None,
        again=again,
    )
    _work(runtime().settings.account_of(accepted.ref.project_id).name, None)


@app.task(name="eraser.work")  # type: ignore[untyped-decorator]
def work(account: str, bell: str | None = None) -> None:
    """Work for an account until nothing is due, or for about a second."""
    _work(account, bell)


def _work(account: str, bell: Any) -> None:
    running = runtime()
    turn = running.hand(account, ring).work(bell)
    if turn.next_ms is not None:
        running.wake(account, turn.next_ms)
