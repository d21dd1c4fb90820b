"""The states of a training job, from the documents and the SDK 3.1.219."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class StateKind(StrEnum):
    """Who moves a job out of a state. Inferred from names and texts, because the documents have no transition graph."""

    MOVING = "moving"  # the service, by itself
    ADMIN = "admin"  # Huawei's staff
    USER = "user"  # the tenant
    REST = "rest"  # possibly no one
    END = "end"


_BY_KIND: Final[Mapping[StateKind, str]] = {
    StateKind.MOVING: """
        AUTO_VERIFYING MANUAL_VERIFY_SUCCESS
        WAIT_TRAINING_DATA_PREPROCESS TRAINING_DATA_PREPROCESSING TRAINING_DATA_PREPROCESS_SUCCESS
        TRAINING TRAIN_SUCCESS INFERENCE_DATA_PREPROCESSING
        WAIT_MAIN_FILE_UPLOAD WAIT_ASSET_SYNC WAIT_COMPILE COMPILING WAIT_GENERATE_ACTION WAIT_ARRANGE
        ACTION_GENERATE_DATA_PROCESSING ACTION_GENERATE_ORI_PROCESSING ACTION_GENERATE_ORI_SUCCESS
        WAIT_GENERATE_ACTION_MARK ACTION_MARKING ACTION_MARK_SUCCESS ACTION_MARK_UPLOADED
        WAIT_TEST_VIDEO_CHECK TEST_VIDEO_CHECK_PROCESSING TEST_VIDEO_CHECK_SUCCESS
        VIDEO_ANALYZE_PROCESSING VIDEO_ANALYZE_SUCCESS
    """,
    StateKind.ADMIN: "MANUAL_VERIFYING WAIT_ADMIN_CONFIRM WAIT_ADMIN_CALIBRATION JOB_REJECT",
    StateKind.USER: "WAIT_FILE_UPLOAD WAIT_USER_CONFIRM",
    StateKind.REST: """
        AUTO_VERIFY_FAILED MANUAL_VERIFY_FAILED
        TRAINING_DATA_PREPROCESS_FAILED TRAIN_FAILED INFERENCE_DATA_PREPROCESS_FAILED
        MANUAL_STOP_INFERENCE_DATA_PREPROCESS MANUAL_STOP_TRAIN MANUAL_STOP_TRAINING_DATA_PREPROCESS
        MANUAL_STOP_ACTION_GENERATE_DATA_PROCESSING MANUAL_STOP_ACTION_GENERATE_ORI_PROCESSING MANUL_STOP_ACTION_MARK
        COMPILE_FAILED ACTION_GENERATE_DATA_FAILED ACTION_GENERATE_ORI_FAILED GENERATE_ACTION_PREPROCESS_FAILED
        ACTION_MARK_FAILED TEST_VIDEO_CHECK_FAILED VIDEO_ANALYZE_FAILED
        JOB_PENDING
    """,  # MANUL_ is how the service spells it
    StateKind.END: "JOB_SUCCESS JOB_FINISH",
}

KINDS: Final[Mapping[str, StateKind]] = MappingProxyType(
    {state: kind for kind, states in _BY_KIND.items() for state in states.split()}
)
STATES: Final = frozenset(KINDS)

DELETABLE: Final = frozenset(
    {
        "WAIT_FILE_UPLOAD",
        "AUTO_VERIFY_FAILED",
        "MANUAL_VERIFYING",
        "MANUAL_VERIFY_FAILED",
        "TRAINING_DATA_PREPROCESS_FAILED",
        "TRAIN_FAILED",
        "INFERENCE_DATA_PREPROCESS_FAILED",
        "JOB_SUCCESS",
        "WAIT_USER_CONFIRM",
        "JOB_REJECT",
        "JOB_FINISH",
    }
)


def is_deletable(state: str) -> bool:
    """Whether the documents allow the DELETE. The list has grown over the years: for an unknown state the answer is
    no.
    """
    return state in DELETABLE
