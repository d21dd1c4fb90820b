"""The fields of a job in List and Show, with planted personal data that must never appear outside the simulator."""

from __future__ import annotations

import time
import zlib

from worker.simulator.jobs import Job

CANARY_PHONE = "+861390055"  # every contact starts with it
CANARY_HOST = "id-photos.canary.invalid"
CANARY_SIGNATURE = "CANARY0SIGNED0LINK"
CANARY_NAME = "Wang Fang CANARY0NAME"
CANARIES = (CANARY_PHONE, CANARY_HOST, CANARY_SIGNATURE, CANARY_NAME)
"""Any of these in a log, in Redis, on a page or in an error is a leak of a List or Show body."""

_FLAGS = ("is_flexus", "is_live_copy", "is_fast_flexus", "is_only_human_model", "is_ondemand_resource")


def row(job: Job, now: float) -> dict[str, object]:
    """One row of List: `TrainingJobBasicInfo`. `now` is monotonic."""
    return _without(job, "not_listed", _row(job, now))


def _row(job: Job, now: float) -> dict[str, object]:
    shown: dict[str, object] = {
        "job_id": job.job_id,
        "name": f"avatar {job.job_id}",
        "state": job.state_at(now),
        "project_id": job.project,
        "cover_download_url": signed_url(job.project, job.job_id, "cover.png"),
        "last_update_time": rfc3339(job.updated),
        "create_time": rfc3339(job.created),
        "contact": contact(job.job_id),
        "batch_name": None,
        "tags": [],
        "model_version": "V3.2",
        "matting_type": "AI",
        "model_resolution": "1080P",
        "optional_training_location": [],
        "is_background_replacement": True,
    }
    shown.update(dict.fromkeys(_FLAGS, False))
    shown.update({name: value for name, value in job.fields.items() if name not in _DETAILS})
    return shown


def detail(job: Job, now: float) -> dict[str, object]:
    """The answer of Show: the row and what only Show has."""
    log = {
        "operate_time": rfc3339(job.created),
        "log_type": "CREATE",
        "log_description": f"created by {CANARY_NAME}, {contact(job.job_id)}",
        "operate_user": "USER",
    }
    shown = _row(job, now) | {f"{name}_download_url": signed_url(job.project, job.job_id, name) for name in _FILES}
    shown |= {
        "operation_logs": [log],
        "comment_logs": [],
        "worker_type": ["TRAINING"],
        "flexus_retry_count": 0,
        "audio_source_type": "VIDEO",
        "sub_training_job_info": [],
    }
    shown |= {name: value for name, value in job.fields.items() if name in _DETAILS}
    return _without(job, "not_shown", shown)


_FILES = (
    *("training_video", "id_card_image1", "id_card_image2", "grant_file", "action_video", "audio_file"),
    "verify_video",
)
_HIDING = ("not_listed", "not_shown")  # a job's fields that name those which List, or Show, leaves out
_DETAILS = frozenset({"voice_train_job_id", "operation_logs", "comment_logs", "audio_source_type", "supported_service"})


def _without(job: Job, hiding: str, shown: dict[str, object]) -> dict[str, object]:
    hidden = {*_HIDING, *_names(job.fields.get(hiding))}
    return {name: value for name, value in shown.items() if value is not None and name not in hidden}


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def contact(job_id: str) -> str:
    """The creator's phone number: made up, but the same for the same job."""
    return f"{CANARY_PHONE}{zlib.crc32(job_id.encode()) % 10_000:04d}"


def rfc3339(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def signed_url(project: str, id: str, what: str) -> str:
    return f"https://{CANARY_HOST}/{project}/{id}/{what}?AccessKeyId=AKOBS&Signature={CANARY_SIGNATURE}"
