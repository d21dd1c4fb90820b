"""The kinds that this process knows, each with its adapter."""

from __future__ import annotations

from typing import Final

from worker.metastudio.targets.adapter import Adapter
from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.model.errors import UsageError

ADAPTERS: Final = {adapter.kind: adapter for adapter in (AVATAR_JOB,)}
"""Adding a kind is adding its adapter here."""


def adapter_of(kind: str) -> Adapter:
    """Raises `UsageError` for a kind that is not known."""
    if adapter := ADAPTERS.get(kind):
        return adapter
    raise UsageError(f"MetaStudio has no kind {kind[:64]!r} that could be deleted; known are {', '.join(ADAPTERS)}")
