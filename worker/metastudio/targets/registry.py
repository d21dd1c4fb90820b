"""The kinds that this process knows, each with its adapter."""

from __future__ import annotations

from typing import Final

from worker.metastudio.targets.adapter import Adapter
from worker.metastudio.targets.asset import MODEL, VOICE
from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.metastudio.targets.voice_job import VOICE_TRAINING
from worker.model.errors import UsageError
from worker.model.target import KINDS

ADAPTERS: Final = {adapter.kind: adapter for adapter in (AVATAR_JOB, MODEL, VOICE, VOICE_TRAINING)}


def register(adapter: Adapter) -> None:
    """From now on targets of this kind can be requested, called and asked for."""
    ADAPTERS[adapter.kind] = adapter
    if adapter.kind not in KINDS:
        KINDS.append(adapter.kind)


def adapter_of(kind: str) -> Adapter:
    """Raises `UsageError` for a kind that is not known."""
    if adapter := ADAPTERS.get(kind):
        return adapter
    raise UsageError(f"MetaStudio has no kind {kind[:64]!r} that could be deleted; known are {', '.join(ADAPTERS)}")
