"""What an experiment proves: each kind of MetaStudio, the times in between, and what must not be concluded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.experiment import (
    SCHEDULE,
    Answer,
    Cascade,
    Change,
    Facts,
    Fate,
    Observation,
    Question,
    facts_of,
    proposals,
)

START = 1_800_000_000_000
DAY = 86_400
BEFORE = {"model_asset": "ACTIVED", "voice_job": "SUCCEED", "voice_asset": "ACTIVED"}
ABSENT_CODES = {"job": "MSS.00000003", "voice_job": "MSS.00000003", "model_asset": "MSS.10001001"}


def answer(look: int, after_s: float, kind: str, question: str, state: str | None, **more: Any) -> Observation:
    status, code = 200, None
    if state is None and question == "show":
        status, code = 400, ABSENT_CODES.get(kind, "MSS.10001001")
    fields: dict[str, Any] = {"status": status, "code": code, "state": state} | more
    return Observation(look, START + int(after_s * 1000), kind, f"{kind}-1", question, **fields)


def experiment(*rows: dict[str, str | None], listed: dict[str, str | None] | None = None) -> list[Observation]:
    """The answers of a whole experiment. rows: the state of each part, a row a look; listed: as Show unless given."""
    found = [answer(0, -1, kind, "show", state) for kind, state in BEFORE.items() if kind in rows[0]]
    found.append(answer(0, 0, "job", "delete", None))
    for look, (after_s, row) in enumerate(zip(SCHEDULE, rows, strict=False), 1):
        for kind, state in {"job": None, **row}.items():
            in_list = (listed or {}).get(kind, state)
            found += [answer(look, after_s, kind, "show", state), answer(look, after_s, kind, "list", in_list)]
    return found


def learnt(*rows: dict[str, str | None], **more: Any) -> Facts:
    return facts_of(experiment(*rows, **more))


def settings(facts: Facts) -> list[tuple[str, str]]:
    return [(one.setting, one.value) for one in proposals(facts)]


THERE = {"model_asset": "ACTIVED"}
BIN = {"model_asset": "DELETING"}
PURGED = {"model_asset": "DELETED"}
GONE: dict[str, str | None] = {"model_asset": None}


# --- what MetaStudio does -----------------------------------------------------------------------------------------


def test_a_service_that_deletes_only_the_job_is_found_out() -> None:
    facts = learnt(*[THERE] * 5)
    (part,) = facts.parts
    assert (part.cascade, part.changes, part.last, part.before) == (Cascade.NONE, (), Fate.PRESENT, "ACTIVED")
    assert settings(facts) == [("ERASER_RELATED", "delete"), ("ERASER_RELATED_ASSETS", "force")]
    assert "leaves the model asset" in proposals(facts)[0].why


def test_a_service_that_deletes_the_asset_at_once_is_only_verified() -> None:
    facts = learnt(*[PURGED] * 5)
    (part,) = facts.parts
    assert (part.cascade, part.changes) == (Cascade.PURGED, (Change(Fate.PURGED, 0.0, 60.0),))
    assert settings(facts) == [("ERASER_RELATED", "verify")]


def test_a_service_that_deletes_late_says_between_when() -> None:
    facts = learnt(THERE, THERE, PURGED, PURGED, PURGED)
    assert facts.parts[0].changes == (Change(Fate.PURGED, 600.0, 3600.0),)
    assert facts.parts[0].cascade is Cascade.PURGED


def test_a_service_that_uses_the_bin_and_empties_it_is_only_verified() -> None:
    facts = learnt(BIN, BIN, BIN, BIN, PURGED)
    (part,) = facts.parts
    assert part.cascade is Cascade.BIN
    assert part.changes == (Change(Fate.IN_BIN, 0.0, 60.0), Change(Fate.PURGED, DAY, 8 * DAY))
    assert settings(facts) == [("ERASER_RELATED", "verify")]


def test_a_bin_that_is_never_emptied_needs_deletions_of_ours() -> None:
    facts = learnt(*[BIN] * 5)
    assert settings(facts) == [("ERASER_RELATED", "delete"), ("ERASER_RELATED_ASSETS", "force")]
    assert "still there after the last look" in proposals(facts)[0].why


def test_what_came_back_out_of_the_bin_is_left() -> None:
    facts = learnt(BIN, BIN, THERE, THERE, THERE)
    assert facts.parts[0].cascade is Cascade.BIN
    assert settings(facts)[0] == ("ERASER_RELATED", "delete")


def test_what_is_no_longer_described_is_absent() -> None:
    facts = learnt(*[GONE] * 5)
    assert facts.parts[0].cascade is Cascade.ABSENT
    assert settings(facts) == [("ERASER_RELATED", "verify")]


def test_one_part_that_is_left_decides() -> None:
    row = {"model_asset": "DELETED", "voice_job": "SUCCEED", "voice_asset": "ACTIVED"}
    facts = learnt(*[row] * 5)
    assert {part.kind: part.cascade for part in facts.parts} == {
        "model_asset": Cascade.PURGED, "voice_job": Cascade.NONE, "voice_asset": Cascade.NONE,
    }  # fmt: skip
    assert "leaves the voice job and the voice asset" in proposals(facts)[0].why


# --- what must not be concluded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_before_a_day_has_passed_nothing_is_said_to_stay(looks: int) -> None:
    assert settings(learnt(*[THERE] * looks)) == [] if looks else proposals(facts_of(experiment({}))) == ()


def test_before_the_bin_s_seven_days_have_passed_nothing_is_said_of_it() -> None:
    facts = learnt(*[BIN] * 4)
    assert facts.parts[0].cascade is Cascade.BIN
    assert settings(facts) == []


def test_a_job_that_had_nothing_proves_nothing() -> None:
    facts = learnt(*[{}] * 5)
    assert (facts.parts, settings(facts)) == ((), [])
    assert facts.absent_job == Answer(400, "MSS.00000003")


def test_a_part_that_was_not_there_before_proves_nothing() -> None:
    found = [one for one in experiment(*[GONE] * 5) if one.look > 0 or one.question == "delete"]
    facts = facts_of(found)
    assert facts.parts[0].cascade is Cascade.UNKNOWN
    assert settings(facts) == []


@pytest.mark.parametrize("status", [401, 403, 429, 500, None])
@pytest.mark.parametrize("unanswered", [("show",), ("list",), ("show", "list")])
def test_a_look_that_was_not_answered_in_full_is_no_absence(status: int | None, unanswered: tuple[str, ...]) -> None:
    found = [
        replace(one, status=status, code=None, state=None)
        if one.look > 0 and one.kind != "job" and one.question in unanswered
        else one
        for one in experiment(*[GONE] * 5)
    ]
    facts = facts_of(found)
    assert facts.parts[0].cascade is Cascade.UNKNOWN
    assert facts.absent_part == {}
    assert settings(facts) == []


def test_a_show_that_denies_what_the_list_has_is_no_absence() -> None:
    facts = learnt(*[GONE] * 5, listed=THERE)
    assert facts.parts[0].cascade is Cascade.NONE
    assert facts.absent_part == {}


def test_without_a_delete_there_are_no_facts() -> None:
    found = [one for one in experiment(*[PURGED] * 5) if one.question != "delete"]
    assert facts_of(found).parts == ()


def test_looks_that_begin_anew_move_no_beginning() -> None:
    found = experiment(THERE, PURGED)
    again = answer(0, 3000, "job", "delete", None, status=None)
    assert facts_of([*found, again]) == facts_of(found)


# --- answers for what is not there --------------------------------------------------------------------------------


def test_the_answers_for_absent_things_are_kept() -> None:
    facts = learnt(THERE, {"model_asset": None, "voice_job": None})
    assert facts.delete == Answer(200, None)
    assert (facts.absent_job, facts.deleted_job_listed) == (Answer(400, "MSS.00000003"), False)
    assert facts.absent_part == {"model_asset": Answer(400, "MSS.10001001"), "voice_job": Answer(400, "MSS.00000003")}
    assert Answer(400, "MSS.10001001").in_words() == "400 MSS.10001001"


def test_a_job_that_is_still_listed_after_its_delete_is_said() -> None:
    assert learnt(THERE, THERE, listed={"job": "JOB_SUCCESS", **THERE}).deleted_job_listed is True


@pytest.mark.parametrize(("in_list", "expected"), [("DELETED", True), (None, False)])
def test_whether_the_list_shows_tombstones(in_list: str | None, expected: bool) -> None:
    facts = learnt(PURGED, PURGED, listed={"model_asset": in_list})
    assert facts.tombstone_listed is expected
    assert facts.bin_listed is None


@pytest.mark.parametrize(("in_list", "expected"), [("DELETING", True), (None, False)])
def test_whether_the_list_shows_the_bin(in_list: str | None, expected: bool) -> None:
    facts = learnt(BIN, BIN, listed={"model_asset": in_list})
    assert facts.bin_listed is expected
    assert facts.tombstone_listed is None


def test_a_tombstone_that_only_the_list_has_is_seen() -> None:
    facts = learnt(GONE, listed={"model_asset": "DELETED"})
    assert facts.tombstone_listed is True
    assert facts.parts[0].cascade is Cascade.PURGED


# --- what is stored -----------------------------------------------------------------------------------------------


def test_an_observation_is_read_as_it_was_stored() -> None:
    for one in experiment(PURGED, GONE):
        assert Observation.read(one.as_stored() | {"of_a_later_version": 1}) == one


@pytest.mark.parametrize(
    "stored", [{}, {"look": 1}, {"look": "1", "at": 2, "kind": "job", "id": "a", "question": "show"}]
)
def test_what_is_no_observation_counts_as_nothing(stored: dict[str, Any]) -> None:
    assert Observation.read(stored) is None


@pytest.mark.parametrize(
    ("question", "status", "missing"),
    [("show", None, True), ("list", 429, True), ("show", 503, True), ("list", 401, True), ("show", 400, False),
     ("list", 200, False), ("list", 403, False), ("delete", None, False), ("delete", 500, False)],
)  # fmt: skip
def test_what_has_to_be_asked_again(question: str, status: int | None, missing: bool) -> None:
    assert Observation(1, START, "job", "job-1", question, status).is_missing is missing


STATES = st.sampled_from([None, "ACTIVED", "DELETING", "DELETED", "of a later version"])
OBSERVATIONS = st.builds(
    Observation,
    look=st.integers(0, 6),
    at=st.integers(START - 1000, START + 10**9),
    kind=st.sampled_from(["job", *BEFORE]),
    id=st.sampled_from(["a", "b"]),
    question=st.sampled_from(list(Question)),
    status=st.sampled_from([None, 200, 400, 403, 404, 500]),
    code=st.none(),
    state=STATES,
)


@given(st.lists(OBSERVATIONS, max_size=30))
def test_whatever_was_answered_facts_are_found_and_no_deletion_is_claimed_without_one(found: list[Observation]) -> None:
    facts = facts_of(found)
    for part in facts.parts:
        if part.cascade not in (Cascade.NONE, Cascade.UNKNOWN):
            mine = [one for one in found if (one.kind, one.id) == (part.kind, part.id) and one.look > 0]
            assert any(one.state in ("DELETING", "DELETED") or one.status in (400, 404) for one in mine)
    assert bool(proposals(facts)) <= any(part.before for part in facts.parts)
