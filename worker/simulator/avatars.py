"""A training job with all that it leaves behind, an asset or a voice job alone: from the arguments of the commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from worker.model.errors import UsageError
from worker.simulator.assets import MODEL, VOICE, Asset
from worker.simulator.jobs import Job, read_job
from worker.simulator.library import Library
from worker.simulator.voice_jobs import VoiceJob

Ids = dict[str, str | None]
_TIMES = {"created_at", "updated_at"}


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


def add_avatar(row: object, default_project: str, library: Library) -> tuple[Job, Ids]:
    """Add what `Controls.add_avatar` says, but for the job itself; returns that and the ids."""
    given = dict(_named(row, "job_id"))
    job_id, project = given["job_id"], given.get("project") or default_project
    voice, home = given.pop("voice", True), given.pop("asset_project", None) or project
    named = {name: given.pop(name, None) for name in ("asset_id", "voice_job_id", "voice_asset_id")}
    ids: Ids = {"asset_id": named["asset_id"] or f"asset-{job_id}", "voice_job_id": None, "voice_asset_id": None}
    shared: dict[str, Any] = {name: given[name] for name in ("app_user_id", *_TIMES) if name in given}
    model = {"asset_id": ids["asset_id"], "asset_state": given.pop("asset_state", None), "project": home, **shared}
    if voice:
        ids |= {
            "voice_job_id": named["voice_job_id"] or f"voice-{job_id}",
            "voice_asset_id": named["voice_asset_id"] or f"voice-asset-{job_id}",
        }
        model["voice_asset_id"] = ids["voice_asset_id"]
        spoken = {"asset_id": ids["voice_asset_id"], "asset_type": VOICE, "project": project}
        library.assets.add(
            read_asset({**spoken, "asset_state": given.pop("voice_asset_state", None), **shared}, project)
        )
        training = {"job_id": ids["voice_job_id"], "asset_id": ids["voice_asset_id"], "dhtms_job_id": job_id}
        library.voice_jobs.add(read_voice_job({**training, "project": project, **shared}, project))
    library.assets.add(read_asset(model, project))
    links = {"asset_id": ids["asset_id"], "voice_train_job_id": ids["voice_job_id"], "project_id": home}
    return read_job({**given, **links}, project), ids


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
