"""An experiment in words: what docs/learn.md shows is what people see."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.ledger.experiments import ExperimentRecord
from worker.model.states import State
from worker.model.target import Target
from worker.rules.experiment import SCHEDULE, Observation, facts_of, proposals
from worker.services.experiment import Report, in_words

START = 1_800_000_000_000
NOW = START + 8 * 86_400_000 + 60_000
JOB = Target("0605768a2c8026af2f8bc00f4b0d3b7c", "0f3a61c2")
ASSET, VOICE = "8cb2f48a2cb006154794741933421100", "26f065244f75"
PAGE = Path(__file__).parents[2] / "docs" / "learn.md"


def answers(look: int, after_s: float, kind: str, id: str, state: str | None, code: str | None) -> list[Observation]:
    at = START + int(after_s * 1000)
    return [
        Observation(look, at, kind, id, "show", 200 if state else 400, None if state else code, state),
        Observation(look, at, kind, id, "list", 200, None, state),
    ]


def log(looks: int = 5) -> list[Observation]:
    """The avatar goes into the bin, which is emptied; the voice job stays."""
    found = [Observation(0, START - 900, "model_asset", ASSET, "show", 200, None, "ACTIVED")]
    found += [Observation(0, START - 600, "voice_job", VOICE, "show", 200, None, "SUCCEED")]
    found += [Observation(0, START, "job", JOB.id, "delete", 200)]
    for look, after_s in enumerate(SCHEDULE[:looks], 1):
        found += answers(look, after_s, "job", JOB.id, None, "MSS.00000003")
        found += answers(look, after_s, "model_asset", ASSET, "DELETING" if look < 5 else "DELETED", None)
        found += answers(look, after_s, "voice_job", VOICE, "SUCCEED", None)
    return found


def report(
    looks: int = 5, *, closed: bool = True, state: State | None = State.DELETED, found: list[Observation] | None = None
) -> Report:
    found = log(looks) if found is None else found
    next_look = None if closed or state is not State.DELETED else NOW + 3_600_000
    stored = tuple(one.as_stored() for one in found)
    record = ExperimentRecord(JOB, START, "ops-7", "T-1", SCHEDULE, stored, NOW if closed else None, next_look)
    facts = facts_of(found)
    return Report("default", record, state, facts, proposals(facts))


def test_the_page_shows_what_people_see() -> None:
    shown = report()
    lines = [f"  {line}" for line in in_words(shown, NOW)]
    lines += [f"  → {one.setting}={one.value}   ({one.why})" for one in shown.proposals]
    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (report(2, closed=False), "2 of 5 looks made, the next in 1 h"),
        (report(0, closed=False, state=State.PENDING, found=[]), "waits for the deletion of the job, which is pending"),
        (report(0, closed=False, state=None, found=[]), "waits for the deletion of the job, which is not requested"),
        (report(0, closed=False, state=State.DEAD, found=[]), "ended: the deletion of the job is dead"),
        (report(), "ended: 5 of 5 looks made"),
    ],
)  # fmt: skip
def test_how_far_it_is_stands_first(given: Report, first: str) -> None:
    assert next(iter(in_words(given, NOW))).removesuffix(": repeat the command") == first
