"""Why a message could not be recorded, and which job it is about."""

from __future__ import annotations

from typing import Any

from worker.config.personal import personal
from worker.ledger.parking import Parked, ParkedKind, group_name
from worker.ledger.types import lean
from worker.metastudio.redaction import redact
from worker.model.errors import EraserError, OtherSchema, RefusedBySafetyRule, Unreachable
from worker.model.ids import is_opaque, why_bad_id
from worker.model.target import Target

LONGEST_WHY = 300  # characters


def ids_of(args: Any, kwargs: Any) -> tuple[str | None, str | None]:
    """(project, job) of a message if they are valid ids: nothing else of it is reported."""
    named = dict(zip(("project_id", "job_id"), args, strict=False)) | kwargs
    project, job = named.get("project_id"), named.get("job_id")
    return (None if why_bad_id(project) else project), (None if Target.why_not_named(job) else job)


def told_of(kind: ParkedKind, group: str, message: Parked, *, known: bool) -> dict[str, str]:
    """What a webhook says of a message: nothing that its sender could write freely. known: its project is ours."""
    if not known and kind is ParkedKind.REFUSED:
        group = group_name(kind, "")
    job_id = message.job if known and not personal(message.job or "") else None
    task_id = message.id if is_opaque(message.id) and not personal(message.id) else None
    scope = f"project {message.project}" if known else None
    ids = lean({"task_id": task_id, "scope": scope, "job_id": job_id})
    return {"kind": kind.value, "group": group, "task": message.task, **ids}


def is_for_later(error: EraserError) -> bool:
    """Whether this worker, once Redis is well, or a newer one will record it."""
    return isinstance(error, Unreachable | OtherSchema) or (
        isinstance(error, RefusedBySafetyRule) and error.rule == "memory"
    )


def reason_of(error: Exception) -> str:
    """The reason in words, without the message's content, which may be anything."""
    reason = str(error).partition("; found")[0]
    return clipped(reason if isinstance(error, EraserError) else f"{type(error).__name__}, see the worker's log")


def clipped(text: str) -> str:
    return redact(text)[:LONGEST_WHY]
