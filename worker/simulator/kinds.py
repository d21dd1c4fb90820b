"""The kinds of resources, and what a call may be about: its operation, its kind and its family of limits."""

from __future__ import annotations

from typing import NamedTuple

JOB, ASSET, VOICE_JOB = "job", "asset", "voice_job"
KINDS = (JOB, ASSET, VOICE_JOB)
CHANGES = frozenset({"delete", "update", "restore"})
"""Operations that change one resource."""

_FAMILIES = {JOB: "job", ASSET: "asset", VOICE_JOB: "voice"}
FAMILIES = ("job_delete", "job_read", "asset_delete", "asset_read", "asset_update", "voice_delete", "voice_read")
"""Calls that share a limit, and a right."""


class Route(NamedTuple):
    """What a request asks for. `operation` is delete, show, list, update, restore, summary, token, other…"""

    operation: str
    kind: str
    project: str | None
    id: str | None  # of the path, or what a list asks for if it is one

    @property
    def family(self) -> str:
        """One of `FAMILIES`."""
        action = {"delete": "delete", "update": "update", "restore": "update"}.get(self.operation, "read")
        return f"{_FAMILIES[self.kind]}_{action}"

    @property
    def label(self) -> str:
        """The resource within its project: a job's id, or kind:id."""
        return f"{self.id}" if self.kind == JOB else f"{self.kind}:{self.id}"
