"""An experiment on its real schedule, a minute to eight days: the clocks of Redis and of the simulator are moved."""

from __future__ import annotations

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate, estate
from worker.ledger.erasures import ErasureStep
from worker.ledger.experiments import ExperimentRecord, experiments
from worker.model.erasure import Verdict
from worker.model.target import Target
from worker.rules.experiment import SCHEDULE, Cascade, Facts, Fate, Observation, facts_of, proposals
from worker.simulator import DEMO_PROJECT

__all__ = ["estate"]

NEXT = (66, 540, 3000, DAY_S - 3600, 7 * DAY_S)  # from look to look


def begin(estate: Estate) -> None:
    assert estate.ledger.begin_experiment(Target(DEMO_PROJECT, JOB), SCHEDULE, by="ops-7", why="T-1") == "begun"
    estate.delete(JOB, related="verify")


def record(estate: Estate) -> ExperimentRecord:
    (found,) = experiments(estate.redis, estate.ledger.prefix)
    return found


def facts(estate: Estate) -> Facts:
    return facts_of([one for one in map(Observation.read, record(estate).log) if one is not None])


def settings(estate: Estate) -> dict[str, str]:
    return {one.setting: one.value for one in proposals(facts(estate))}


def test_what_stays_is_known_after_a_day_and_not_before(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    begin(estate)
    known = []
    for after_s in NEXT:
        estate.later(after_s)
        known.append((facts(estate).looks, settings(estate).get("ERASER_RELATED")))
    assert known == [(1, None), (2, None), (3, None), (4, "delete"), (5, "delete")]
    assert record(estate).closed is not None
    estate.later(30 * DAY_S)
    assert facts(estate).looks == 5, "nobody looks any more"


def test_a_bin_is_seen_to_be_emptied_after_its_seven_days(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    begin(estate)
    estate.later(*NEXT[:4])
    assert settings(estate) == {}
    estate.later(NEXT[4])
    (part,) = facts(estate).parts
    assert part.cascade is Cascade.BIN
    assert [(one.fate, one.after_s <= 7 * DAY_S + 61 <= one.by_s) for one in part.changes][-1] == (Fate.PURGED, True)
    assert settings(estate) == {"ERASER_RELATED": "verify"}
    assert record(estate).closed is not None


def test_a_bin_that_is_never_emptied_ends_the_experiment_as_well(estate: Estate) -> None:
    estate.simulator.set_library(bin_days=None)
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    begin(estate)
    estate.later(*NEXT, DAY_S, DAY_S, DAY_S)
    assert record(estate).closed is not None
    assert settings(estate) == {"ERASER_RELATED": "delete", "ERASER_RELATED_ASSETS": "force"}
    looks = facts(estate).looks
    estate.later(DAY_S, DAY_S)
    assert facts(estate).looks == looks


def test_a_look_that_everybody_slept_through_is_made_late(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, cascade="purge")
    begin(estate)
    estate.later(30 * DAY_S)
    found = facts(estate)
    assert found.parts[0].cascade is Cascade.PURGED
    assert record(estate).closed is not None


def test_answers_of_whoever_lost_the_lease_are_not_kept(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    begin(estate)
    estate.pass_time(NEXT[0])
    ((slow,), now) = estate.ledger.lease_erasures()
    assert slow.watch is not None
    estate.later(600)  # its lease ran out, somebody else looks
    kept = record(estate).log
    step = ErasureStep(
        slow.record.job, slow.record.leases, slow.record.parts, 1, Verdict.PENDING, int(now) + 1, left=False,
        answers=[{"look": 1, "at": int(now), "kind": "job", "id": JOB, "question": "show"}], watched=False,
    )  # fmt: skip
    assert estate.ledger.record_looks([step]) == ["stale"]
    assert (record(estate).log, record(estate).closed) == (kept, None)


def test_what_somebody_else_has_us_delete_proves_nothing_about_metastudio(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    assert estate.ledger.begin_experiment(Target(DEMO_PROJECT, JOB), SCHEDULE) == "begun"
    estate.delete(JOB, related="delete")
    estate.later(*NEXT)
    assert [call["kind"] for call in estate.simulator.calls() if call["method"] == "DELETE"] == ["job", "asset"]
    (part,) = facts(estate).parts
    assert part.cascade is Cascade.NONE
    assert (part.last, settings(estate)) == (Fate.PRESENT, {}), (
        "the last look was before we deleted it: too early to say"
    )


@pytest.mark.parametrize("spoilt", ["no json", '{"look": "first"}', "[1, 2]"])
def test_what_another_program_writes_into_a_log_counts_as_nothing(estate: Estate, spoilt: str) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    begin(estate)
    name = f"{estate.ledger.prefix}experiment:{DEMO_PROJECT}/{JOB}"
    estate.redis.hset(name, "answers", spoilt)
    estate.later(NEXT[0])
    assert facts(estate).looks == 1
