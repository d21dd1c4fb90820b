"""Asking for deletions: every door (command line, tasks, HTTP) comes through here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from worker.deletion import Lane, check_opaque, check_reason, why_bad_id
from worker.errors import UsageError
from worker.ledger.moves import Accepted, Claim, Ref
from worker.ledger.store import BATCH
from worker.runtime import Runtime

Ring = Callable[[str, str], None]  # account, doorbell


def claim(
    running: Runtime,
    *,
    lane: str,
    by: str | None = None,
    reason: str | None = None,
    run: str | None = None,
    app_user: str | None = None,
    after_s: float = 0.0,
    deadline_s: float | None = None,
    again: bool = False,
) -> Claim:
    """Check what a caller says about a request. Raises `UsageError`; nothing was recorded then."""
    if lane not in tuple(Lane):
        raise UsageError(f"lane: expected user or bulk; found {lane[:40]!r}")
    return Claim(
        lane=Lane(lane),
        by=check_opaque(by, "by"),
        why=check_reason(reason),
        run=check_opaque(run, "run"),
        app_user=check_opaque(app_user, "app user"),
        delay_s=max(0.0, after_s),
        deadline_s=deadline_s if deadline_s is not None else running.settings.deadline,
        again=again,
    )


def project_of(running: Runtime, project_id: str | None) -> str:
    """The project meant: the one given, or the only one configured."""
    project = project_id or running.settings.default_project()
    if project is None:
        raise UsageError("no project: give the project id, or set HUAWEICLOUD_SDK_PROJECT_ID")
    why = why_bad_id(project, "project id")
    if why:
        raise UsageError(why)
    return project


def record(running: Runtime, refs: Iterable[Ref], claim: Claim, ring: Ring) -> Iterator[Accepted]:
    """Write requests of one project to its account's ledger, 500 a round trip, and see that somebody comes.

    Yields each as it is recorded. Raises `Unreachable` when Redis does not answer: what was yielded is recorded.
    """
    batch: list[Ref] = []

    def flush() -> Iterator[Accepted]:
        ledger = running.ledger_of(batch[0].project_id)
        accepted, bells = ledger.request(batch, claim)
        for bell in bells:
            ring(ledger.account, bell)
        if not bells:
            running.wake(ledger.account, 0)
        batch.clear()
        yield from accepted

    for ref in refs:
        batch.append(ref)
        if len(batch) == BATCH:
            yield from flush()
    if batch:
        yield from flush()


def checked(job_id: str) -> str:
    """The id if it may reach a URL. Raises `UsageError`."""
    why = why_bad_id(job_id)
    if why:
        raise UsageError(why)
    return job_id
