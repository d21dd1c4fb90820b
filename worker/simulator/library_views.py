"""The fields of assets and voice jobs in List and Show, with planted personal data as in those of a job."""

from __future__ import annotations

from worker.simulator.assets import IN_BIN, MODEL, PURGED, Asset
from worker.simulator.views import CANARY_NAME, contact, rfc3339, signed_url
from worker.simulator.voice_jobs import VoiceJob

_CATEGORIES = {MODEL: ("MAIN", "COVER", "SAMPLE", "OTHER")}  # of an avatar's files; a voice has the ones below
_VOICE_CATEGORIES = ("MAIN", "SAMPLE")
_FILE_STATES = {IN_BIN: "DELETING", PURGED: "DELETED"}


def asset(one: Asset) -> dict[str, object]:
    """The answer of Show, and a row of List."""
    shown: dict[str, object] = {
        "project_id": one.project,
        "asset_id": one.asset_id,
        "asset_name": f"{CANARY_NAME} {one.asset_id}",
        "asset_description": f"of {CANARY_NAME}, {contact(one.asset_id)}",
        "create_time": rfc3339(one.created),
        "update_time": rfc3339(one.updated),
        "asset_type": one.asset_type,
        "asset_state": one.state,
        "tags": [CANARY_NAME],
        "asset_extra_meta": _meta(one),
        "system_properties": [],
        "files": [_file(one, category) for category in _CATEGORIES.get(one.asset_type, _VOICE_CATEGORIES)],
        "asset_order": 0,
        "supported_service": ["VIDEO_2D"],
    }
    shown.update({name: value for name, value in one.fields.items() if name != "voice_asset_id"})
    return {name: value for name, value in shown.items() if value is not None}


def asset_summary(one: Asset) -> dict[str, object]:
    names = ("asset_id", "asset_name", "asset_state", "asset_type")
    shown = asset(one)
    return {name: shown[name] for name in names if name in shown} | {"cover_url": _url(one, "cover")}


def voice_job(one: VoiceJob) -> dict[str, object]:
    """The answer of Show, and a row of List."""
    shown: dict[str, object] = {
        "job_type": "FLEXUS",
        "job_id": one.job_id,
        "voice_name": f"{CANARY_NAME} {one.job_id}",
        "sex": "FEMALE",
        "language": "CN",
        "state": one.state,
        "reject_times": 0,
        "create_time": int(one.created * 1000),
        "lastupdate_time": int(one.updated * 1000),
        "voice_authorization_url": signed_url(one.project, one.job_id, "voice_authorization"),
        "training_input_source_url": signed_url(one.project, one.job_id, "training_input_source"),
        "create_type": "PACKAGE",
        "phone": contact(one.job_id),
        "is_remake": False,
        "is_ondemand_resource": False,
    }
    shown |= one.fields
    shown["asset_id"] = one.asset_id
    return {name: value for name, value in shown.items() if value is not None}


def _meta(one: Asset) -> dict[str, object]:
    if one.asset_type != MODEL:
        return {"voice_model_meta": {"model_type": "CLONE", "sex": "FEMALE", "language": "CN", "is_flexus": True}}
    model = {"is_live_copy": False, "model_version": "V3.2", "model_resolution": "1080P", "device_names": []}
    voice = one.fields.get("voice_asset_id")
    return {"human_model_2d_meta": {**model, **({} if voice is None else {"voice_asset_id": voice})}}


def _file(one: Asset, category: str) -> dict[str, object]:
    state = _FILE_STATES.get(one.state, "UPLOADED")
    shown: dict[str, object] = {
        "file_id": f"{one.asset_id}-{category.lower()}",
        "file_name": f"{CANARY_NAME} {category.lower()}",
        "file_size": 1024,
        "asset_file_category": category,
        "state": state,
    }
    return shown if state == "DELETED" else shown | {"download_url": _url(one, category.lower())}


def _url(one: Asset, what: str) -> str:
    return signed_url(one.project, one.asset_id, what)
