"""An avatar training job, the first kind: its calls and its states, from the documents and the SDK 3.1.219."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.config.urls import REGIONS
from worker.metastudio.targets.adapter import Adapter, Family, Row, read_time, text
from worker.model.target import JOB

# Who moves a job out of them, in this order: the service itself, Huawei's staff, the tenant, possibly no
# one, then the end. Inferred from names and texts: the documents have no transition graph. MANUL_ is their spelling.
_STATES: Final = """
    AUTO_VERIFYING MANUAL_VERIFY_SUCCESS
    WAIT_TRAINING_DATA_PREPROCESS TRAINING_DATA_PREPROCESSING TRAINING_DATA_PREPROCESS_SUCCESS
    TRAINING TRAIN_SUCCESS INFERENCE_DATA_PREPROCESSING
    WAIT_MAIN_FILE_UPLOAD WAIT_ASSET_SYNC WAIT_COMPILE COMPILING WAIT_GENERATE_ACTION WAIT_ARRANGE
    ACTION_GENERATE_DATA_PROCESSING ACTION_GENERATE_ORI_PROCESSING ACTION_GENERATE_ORI_SUCCESS
    WAIT_GENERATE_ACTION_MARK ACTION_MARKING ACTION_MARK_SUCCESS ACTION_MARK_UPLOADED
    WAIT_TEST_VIDEO_CHECK TEST_VIDEO_CHECK_PROCESSING TEST_VIDEO_CHECK_SUCCESS
    VIDEO_ANALYZE_PROCESSING VIDEO_ANALYZE_SUCCESS

    MANUAL_VERIFYING WAIT_ADMIN_CONFIRM WAIT_ADMIN_CALIBRATION JOB_REJECT

    WAIT_FILE_UPLOAD WAIT_USER_CONFIRM

    AUTO_VERIFY_FAILED MANUAL_VERIFY_FAILED
    TRAINING_DATA_PREPROCESS_FAILED TRAIN_FAILED INFERENCE_DATA_PREPROCESS_FAILED
    MANUAL_STOP_INFERENCE_DATA_PREPROCESS MANUAL_STOP_TRAIN MANUAL_STOP_TRAINING_DATA_PREPROCESS
    MANUAL_STOP_ACTION_GENERATE_DATA_PROCESSING MANUAL_STOP_ACTION_GENERATE_ORI_PROCESSING MANUL_STOP_ACTION_MARK
    COMPILE_FAILED ACTION_GENERATE_DATA_FAILED ACTION_GENERATE_ORI_FAILED GENERATE_ACTION_PREPROCESS_FAILED
    ACTION_MARK_FAILED TEST_VIDEO_CHECK_FAILED VIDEO_ANALYZE_FAILED
    JOB_PENDING

    JOB_SUCCESS JOB_FINISH
"""
STATES: Final = frozenset(_STATES.split())

_DELETABLE: Final = """
    WAIT_FILE_UPLOAD AUTO_VERIFY_FAILED MANUAL_VERIFYING MANUAL_VERIFY_FAILED TRAINING_DATA_PREPROCESS_FAILED
    TRAIN_FAILED INFERENCE_DATA_PREPROCESS_FAILED JOB_SUCCESS WAIT_USER_CONFIRM JOB_REJECT JOB_FINISH
"""
DELETABLE: Final = frozenset(_DELETABLE.split())


@dataclass(frozen=True, slots=True)
class JobRow(Row):
    """One training job."""

    create_time: datetime | None = None
    last_update_time: datetime | None = None  # the last time the *user* touched the job, not its last change of state
    asset_id: str | None = None
    voice_train_job_id: str | None = None  # Show only
    batch_name: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    model_resolution: str | None = None
    is_flexus: bool | None = None

    def related(self) -> dict[str, str | None]:
        return {"asset_id": self.asset_id, "voice_job_id": self.voice_train_job_id}


def _row(common: dict[str, Any], job: dict[str, Any]) -> JobRow:
    names = ("asset_id", "voice_train_job_id", "batch_name", "name", "model_resolution")
    tags, is_flexus = job.get("tags"), job.get("is_flexus")
    return JobRow(
        **common,
        **{name: text(job, name) for name in names},  # type: ignore[arg-type]
        create_time=read_time(job.get("create_time")),
        last_update_time=read_time(job.get("last_update_time")),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        is_flexus=is_flexus if isinstance(is_flexus, bool) else None,
    )


AVATAR_JOB: Final = Adapter(
    kind=JOB,
    word="job",
    path="digital-human-training-manage/user/jobs",
    rows="jobs",
    id_field="job_id",
    deletable=DELETABLE,
    deleting=Family("job_delete", REGIONS),
    reading=Family("job_read", {"cn-north-4": 20.0, "cn-east-3": 10.0, "ap-southeast-3": 10.0}),
    make_row=_row,
)
