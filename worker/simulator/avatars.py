"""A training job with all that it leaves behind, an asset or a voice job alone: from the arguments of the commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.model.errors import UsageError
from worker.simulator.assets import MODEL, VOICE, Asset
from worker.simulator.jobs import Job, read_job
from worker.simulator.library import Library
from worker.simulator.voice_jobs import VoiceJob

Ids = dict[str, str | None]
_TIMES = {"created_at", "updated_at"}


@dataclass(frozen=True, slots=True)
class Avatar:
    """A training job with all that it leaves behind."""

    job: Job
    asset: Asset
    voice_job: VoiceJob | None
    voice_asset: Asset | None
    ids: Ids

    def add_to(self, library: Library) -> None:
        """All but the job."""
        if self.voice_asset is not None and self.voice_job is not None:
            library.assets.add(self.voice_asset)
            library.voice_jobs.add(self.voice_job)
        library.assets.add(self.asset)


def read_asset(row: object, default_project: str) -> Asset:
    """An asset from the arguments of `add_asset`. Raises `UsageError`."""
    known = {"asset_id", "asset_type", "asset_state", "project", "shared_with", "system", *_TIMES}
    given = _named(row, "asset_id")
    created, updated = _times(given)
    return Asset(
        asset_id=given["asset_id"],
        project=given.get("project") or default_project,
        asset_type=str(given.get("asset_type") or MODEL),
        state=str(given.get("asset_state") or "ACTIVED"),
        created=created,
        updated=updated,
        fields={name: value for name, value in given.items() if name not in known},
        shared_with=tuple(given.get("shared_with") or ()),
        system=bool(given.get("system")),
    )


def read_voice_job(row: object, default_project: str) -> VoiceJob:
    """A voice job from the arguments of `add_voice_job`. Raises `UsageError`."""
    known = {"job_id", "state", "project", *_TIMES}
    given = _named(row, "job_id")
    created, updated = _times(given)
    return VoiceJob(
        job_id=given["job_id"],
        project=given.get("project") or default_project,
        state=str(given.get("state") or "SUCCEED"),
        created=created,
        updated=updated,
        fields={name: value for name, value in given.items() if name not in known},
    )


def read_avatar(row: object, default_project: str) -> Avatar:
    """What the arguments of `add_avatar` say. Raises `UsageError`."""
    given = dict(_named(row, "job_id"))
    job_id, project = given["job_id"], given.pop("project", None) or default_project
    speaks, home = given.pop("voice", True), given.pop("asset_project", None) or project
    names = {"asset_id": "asset", "voice_job_id": "voice", "voice_asset_id": "voice-asset"}
    ids: Ids = {name: given.pop(name, None) or f"{prefix}-{job_id}" for name, prefix in names.items()}
    states = {name: given.pop(name, None) for name in ("asset_state", "voice_asset_state")}
    shared = {name: given[name] for name in ("app_user_id", *_TIMES) if name in given}
    if not speaks:
        ids |= {"voice_job_id": None, "voice_asset_id": None}
    model = {"asset_id": ids["asset_id"], "asset_state": states["asset_state"], **shared}
    spoken = {
        "asset_id": ids["voice_asset_id"],
        "asset_type": VOICE,
        "asset_state": states["voice_asset_state"],
        **shared,
    }
    training = {"job_id": ids["voice_job_id"], "asset_id": ids["voice_asset_id"], "dhtms_job_id": job_id, **shared}
    links = {"asset_id": ids["asset_id"], "voice_train_job_id": ids["voice_job_id"], "project_id": home}
    return Avatar(
        read_job({**given, **links}, project),
        read_asset({**model, "voice_asset_id": ids["voice_asset_id"]}, home),
        read_voice_job(training, project) if speaks else None,
        read_asset(spoken, project) if speaks else None,
        ids,
    )


def _named(row: object, id: str) -> Mapping[str, Any]:
    if not isinstance(row, Mapping) or not isinstance(row.get(id), str):
        raise UsageError(f"each needs a {id}")
    return row


def _times(row: Mapping[str, Any]) -> tuple[float, float]:
    try:
        created = float(row.get("created_at", time.time()))
        return created, float(row.get("updated_at", created))
    except (TypeError, ValueError):
        raise UsageError("created_at and updated_at are Unix times") from None
