"""What a deletion deletes: a resource of MetaStudio, by its kind, its project and its id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.model.ids import why_bad_id

JOB: Final = "job"
"""The default kind: an avatar training job."""

MODEL_ASSET, VOICE_ASSET, VOICE_JOB = "model_asset", "voice_asset", "voice_job"
PARTS: Final = (VOICE_JOB, VOICE_ASSET, MODEL_ASSET)
"""What a training job may leave behind, in the order in which it is deleted."""

KINDS: Final = [JOB, *PARTS]
"""The kinds that this process knows: those of its adapters."""


@dataclass(frozen=True, slots=True)
class Target:
    """One resource: the natural key of a deletion. As text, its *ref*: `<project>/<id>` for a job, and
    `<project>/<kind>:<id>` for every other kind; an id has no colon.
    """

    project_id: str
    id: str
    kind: str = JOB

    def __str__(self) -> str:
        return f"{self.project_id}/{self.name}"

    @property
    def name(self) -> str:
        """It within its project, as people type it."""
        return self.id if self.kind == JOB else f"{self.kind}:{self.id}"

    @classmethod
    def named(cls, project_id: str, name: str) -> Target:
        """Read what `name` wrote: `<kind>:<id>`, or a job's id."""
        kind, colon, id = name.partition(":")
        return cls(project_id, id, kind) if colon else cls(project_id, name)

    @classmethod
    def parse(cls, ref: str) -> Target:
        """Read what `str` wrote."""
        project_id, _, name = ref.partition("/")
        return cls.named(project_id, name)

    @classmethod
    def why_not_named(cls, name: object) -> str | None:
        """Say what is wrong with `<kind>:<id>` or a job's id, and not what it is; None if it may be part of a URL."""
        if not isinstance(name, str) or ":" not in name:
            return why_bad_id(name)
        kind, _, id = name.partition(":")
        if kind not in KINDS:
            return f"a target is a job id, or KIND:ID with a kind of {', '.join(KINDS)}"
        return why_bad_id(id, f"{kind} id")

    def as_json(self) -> dict[str, str]:
        """It within its project, as every JSON says it: its kind and its id; a job's id also under its own name."""
        return target_json(self.id, self.kind)

    @property
    def job_id(self) -> str | None:
        return self.id if self.kind == JOB else None

    def for_log(self) -> dict[str, str]:
        """The same as fields of a log line."""
        return {"job_id": self.id} if self.kind == JOB else {"kind": self.kind, "id": self.id}


def target_json(id: str, kind: str = JOB) -> dict[str, str]:
    """See `Target.as_json`."""
    return {"kind": kind, "id": id} | ({"job_id": id} if kind == JOB else {})
