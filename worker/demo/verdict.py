"""The ledger against the simulator's own log: is each result as expected, and is it true?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from worker.demo import scenario
from worker.demo.scenario import PLAIN, TROUBLES, Part, Then, Trouble
from worker.demo.stage import Stage
from worker.ledger.records import Deletion
from worker.model.shares import grouped
from worker.model.states import Evidence, State
from worker.model.target import JOB, Target
from worker.services.json_form import as_json
from worker.simulator import DEMO_PROJECT

Calls = dict[str, list[dict[str, object]]]  # job id -> DELETE calls in the simulator's log


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of failure and the results of its jobs. `wrong` has one line for each job with an unexpected result."""

    trouble: Trouble
    jobs: int
    ended: tuple[str, ...]
    attempts: tuple[int, int]  # fewest, most; what the ledger has
    really_deleted: int  # from the simulator's log
    sample: str | None  # a job id
    request_id: str | None  # of the last answer that named one
    wrong: tuple[str, ...]
    after_replay: str | None = None  # the results of its dead letters after the replay

    def as_json(self) -> dict[str, object]:
        names = ("jobs", "after_replay", "really_deleted", "sample", "request_id", "wrong")
        return {
            **as_json(self.trouble, "title", trouble="slug", expected="ends"),
            **as_json(self, *names, outcomes="ended"),
            "attempts": {"fewest": self.attempts[0], "most": self.attempts[1]},
            "ok": not self.wrong,
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement that must be true, and whether it is."""

    text: str
    holds: bool


def rows(stage: Stage, parts: Sequence[Part]) -> list[Row]:
    """The results of each kind of failure."""
    records = {d.ref.id: d for state in State for d in stage.queries.each(state, history=True)}
    calls = _delete_calls(stage)
    by_trouble = grouped(parts, lambda part: part.trouble.slug)
    known = (PLAIN, *TROUBLES)
    return [_row(trouble, by_trouble[trouble.slug], records, calls) for trouble in known if trouble.slug in by_trouble]


def _delete_calls(stage: Stage) -> Calls:
    every = (one for one in stage.simulator.calls() if one["operation"] == "delete" and one["kind"] == JOB)
    return grouped(every, lambda call: str(call["job_id"]))


def _row(trouble: Trouble, parts: Sequence[Part], records: dict[str, Deletion], calls: Calls) -> Row:
    found = [records[part.job_id] for part in parts if part.job_id in records]
    wrong = [why for part in parts if (why := _what_is_wrong(part, records.get(part.job_id), calls)) is not None]
    attempts = [len(d.attempts) for d in found] or [0]
    ids = [str(a.fields["request_id"]) for d in found for a in d.attempts if a.fields.get("request_id")]
    return Row(
        trouble=trouble,
        jobs=len(parts),
        ended=tuple(sorted({end_of(d) for d in found})),
        attempts=(min(attempts), max(attempts)),
        really_deleted=sum(_effects(calls, part.job_id) for part in parts),
        sample=parts[0].job_id,
        request_id=ids[-1] if ids else None,
        wrong=tuple(wrong),
    )


def end_of(record: Deletion) -> str:
    """The state, with its evidence or cause."""
    return " ".join(filter(None, (record.state.value, record.evidence or record.cause)))


def _what_is_wrong(part: Part, record: Deletion | None, calls: Calls) -> str | None:
    """None, or what is not as expected."""
    trouble, job = part.trouble, part.job_id
    if record is None:
        return f"{job}: the ledger has no record"
    ended, effects, made = end_of(record), _effects(calls, job), len(calls.get(job, []))
    lost = any(event.name == "deletion.lost" for event in record.events)
    if ended != trouble.ends and not (lost and ended == scenario.AFTER_OUR_CALL):
        return f"{job}: ended {ended}, expected {trouble.ends}"
    really = record.state is State.DELETED or record.evidence in (Evidence.AFTER_OUR_CALL, Evidence.SEEN_BEFORE)
    if effects != int(really):
        return f"{job}: {ended}, yet the simulator deleted it {effects} times"
    recorded = len(record.attempts)
    if trouble.then is Then.DELETED_ELSEWHERE:
        made -= sum(bool(call["effect"]) or call["status"] == 429 for call in calls.get(job, []))
    if not lost and recorded != made:
        return f"{job}: the ledger has {recorded} attempts, the simulator {made} calls"
    if recorded + lost < trouble.calls:
        return f"{job}: {recorded} attempts, expected {trouble.calls} at least"
    return None


def _effects(calls: Calls, job_id: str) -> int:
    return sum(bool(call["effect"]) for call in calls.get(job_id, []))


def facts(stage: Stage, parts: Sequence[Part]) -> list[Fact]:
    """The statements about the whole run, checked against the simulator's log."""
    stats = stage.simulator.stats()
    left = set(stage.simulator.job_ids())
    bystanders = {job_id for job_id in left if job_id.endswith("-not-requested")}
    records = {part.job_id: stage.queries.show(Target(DEMO_PROJECT, part.job_id)) for part in parts}
    should_be_left = {part.job_id for part in parts if part.trouble.exists and _stays(records[part.job_id])}
    deletes = stats["by_operation"].get("delete", 0)
    over = sum(call["status"] == 429 and call["fault"] is None for call in stage.simulator.calls())
    peak = max((each.get("DELETE", 0) for each in stats["peak_per_second"].values()), default=0)
    return [
        Fact(
            f"{deletes} DELETE calls, every signature verified; {peak} in the fullest second, {over} over the limit of "
            f"{scenario.RATE}",
            stats["refused_signatures"] == 0 and over <= deletes / 100,
        ),
        Fact(
            f"{stats['effects']} jobs really deleted, none twice; never two calls for one job at once",
            stats["most_effects_of_a_job"] == 1 and stats["max_overlap"] == 1,
        ),
        Fact(
            f"the {scenario.BYSTANDERS} jobs that were not requested are still there, "
            "and so is every job that is not deleted",
            len(bystanders) == scenario.BYSTANDERS and left - bystanders == should_be_left,
        ),
    ]


def _stays(record: Deletion | None) -> bool:
    return record is None or record.state in (State.DEAD, State.CANCELLED, State.DISCARDED)


def with_replay(found: Iterable[Row], replay_wrong: Sequence[str]) -> list[Row]:
    """The rows, with the results of the replay."""
    return [
        replace(row, after_replay="not deleted" if replay_wrong else "deleted") if row.trouble.dies else row
        for row in found
    ]


def replayed(stage: Stage, before: Iterable[Deletion]) -> list[str]:
    """What is not as expected after the replay: each must be deleted, in a new round with a full new budget."""
    effects = stage.simulator.effects()
    wrong = []
    for old in before:
        now = stage.queries.show(old.ref)
        if now is None or now.state is not State.DELETED or effects.get(old.ref.id) != 1:
            wrong.append(f"{old.ref.id}: {end_of(now) if now else 'no record'} after the replay, expected deleted")
        elif now.round != old.round + 1 or now.used > 1:
            wrong.append(f"{old.ref.id}: round {now.round} with {now.used} attempts used")
    return wrong
