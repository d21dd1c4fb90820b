"""The states of the remote service, as data."""

from __future__ import annotations

import re

import pytest
from huaweicloudsdkmetastudio.v1.model.training_job_basic_info import TrainingJobBasicInfo

from worker.metastudio.targets.avatar_job import AVATAR_JOB, DELETABLE, STATES


def test_there_are_fifty_three_states() -> None:
    assert len(STATES) == 53


def test_the_deletable_states_are_exactly_the_documented_eleven() -> None:
    assert sorted(DELETABLE) == [
        "AUTO_VERIFY_FAILED",
        "INFERENCE_DATA_PREPROCESS_FAILED",
        "JOB_FINISH",
        "JOB_REJECT",
        "JOB_SUCCESS",
        "MANUAL_VERIFYING",
        "MANUAL_VERIFY_FAILED",
        "TRAINING_DATA_PREPROCESS_FAILED",
        "TRAIN_FAILED",
        "WAIT_FILE_UPLOAD",
        "WAIT_USER_CONFIRM",
    ]
    assert len(DELETABLE) == 11
    assert DELETABLE < STATES


@pytest.mark.parametrize("state", sorted(STATES))
def test_a_state_is_deletable_if_it_is_one_of_the_eleven(state: str) -> None:
    assert AVATAR_JOB.is_deletable(state) is (state in DELETABLE)


@pytest.mark.parametrize("state", ["", "NEW_STATE", "job_success", "JOB_SUCCESS ", "DELETED"])
def test_an_unknown_state_is_not_deletable(state: str) -> None:
    assert not AVATAR_JOB.is_deletable(state)


def test_the_official_sdk_documents_the_same_states() -> None:
    text = TrainingJobBasicInfo.state.__doc__ or ""
    assert set(re.findall(r"\* ([A-Z_]+)", text)) == STATES
