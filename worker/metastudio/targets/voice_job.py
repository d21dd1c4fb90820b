"""A voice training job, which holds voice samples and an authorization; it may belong to an avatar's training job.

Its states are documented and no state forbids the DELETE; its pace is in no copy of the documents, so it is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from worker.metastudio.targets.adapter import Adapter, Family, Row, text
from worker.model.target import VOICE_JOB

_STATES: Final = """
    CREATING SYSTEM_AUDITING AUDITING WAITING_SPLIT SPLITTING SPLIT_FAILED ANNOTATING WAITING PROCESSING RESULT_REVIEW
    AUDIT_FAILED USER_RESULT_REVIEW USER_REVIEW_REJECT UPLOADING FAILED SUCCEED
"""
_ASSUMED: Final = {"cn-north-4": 3.0, "cn-east-3": 3.0, "ap-southeast-3": 3.0}


@dataclass(frozen=True, slots=True)
class VoiceJobRow(Row):
    """One voice training job."""

    avatar_job_id: str | None = None  # `dhtms_job_id`: the avatar's training job that it belongs to
    asset_id: str | None = None  # the voice that it made


def _row(common: dict[str, Any], job: dict[str, Any]) -> VoiceJobRow:
    return VoiceJobRow(
        **common, avatar_job_id=text(job, "dhtms_job_id") or None, asset_id=text(job, "asset_id") or None
    )


def _why_not_ours(row: Row, job_id: str) -> str | None:
    found = row.avatar_job_id if isinstance(row, VoiceJobRow) else None
    return None if found == job_id else "it names another training job" if found else "it names no training job"


VOICE_TRAINING: Final = Adapter(
    kind=VOICE_JOB,
    word="voice job",
    path="voice-training-manage/user/jobs",
    rows="jobs",
    id_field="job_id",
    deletable=frozenset(_STATES.split()),
    deleting=Family("voice_delete", _ASSUMED),
    reading=Family("voice_read", _ASSUMED),
    make_row=_row,
    why_not_ours=_why_not_ours,
)
