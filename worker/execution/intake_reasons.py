"""Why a message could not be recorded, and which job it is about."""

from __future__ import annotations

from typing import Any

from worker.metastudio.redaction import redact
from worker.model.errors import EraserError, OtherSchema, RefusedBySafetyRule, Unreachable
from worker.model.ids import why_bad_id
from worker.model.target import Target

LONGEST_WHY = 300  # characters


def ids_of(args: Any, kwargs: Any) -> tuple[str | None, str | None]:
    """(project, job) of a message if they are valid ids: nothing else of it is reported."""
    named = dict(zip(("project_id", "job_id"), args, strict=False)) | kwargs
    project, job = named.get("project_id"), named.get("job_id")
    return (None if why_bad_id(project) else project), (None if Target.why_not_named(job) else job)


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
