"""What a deletion deletes, as text and as JSON: one form each."""

from __future__ import annotations

import pytest

from worker.model.target import JOB, Target

ASSET = Target("p-1", "a1b2", "model_asset")


@pytest.mark.parametrize(
    ("target", "ref", "name"),
    [(Target("p-1", "job-1"), "p-1/job-1", "job-1"), (ASSET, "p-1/model_asset:a1b2", "model_asset:a1b2")],
)
def test_a_ref_is_read_as_it_was_written(target: Target, ref: str, name: str) -> None:
    assert (str(target), target.name) == (ref, name)
    assert Target.parse(ref) == target == Target.named("p-1", name)


def test_a_bare_id_is_a_job_and_may_be_typed_with_its_kind() -> None:
    assert Target.named("p-1", "job-1").kind == JOB
    assert Target.named("p-1", "job:job-1") == Target("p-1", "job-1")


def test_json_names_kind_and_id_and_a_job_by_its_own_name_as_well() -> None:
    assert Target("p-1", "job-1").as_json() == {"kind": "job", "id": "job-1", "job_id": "job-1"}
    assert ASSET.as_json() == {"kind": "model_asset", "id": "a1b2"}
    assert ASSET.job_id is None


@pytest.mark.parametrize("name", ["job-1", "job:job-1"])
def test_what_people_type_may_be_a_bare_id(name: str) -> None:
    assert Target.why_not_named(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("clip:c-1", "KIND:ID with a kind of job, voice_job, voice_asset, model_asset"),
        ("job:..", "a job id is"),
        ("job:", "found nothing"),
        ("..", "a job id is"),
        ("", "found nothing"),
        (7, "a int"),
        ("job:a:b", "found ':'"),
    ],
)
def test_what_must_not_reach_a_url_is_no_name(name: object, why: str) -> None:
    found = Target.why_not_named(name) or ""
    assert why in found
    assert "clip" not in found, "what it is stands in no error"
