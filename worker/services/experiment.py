"""`eraser learn`: an experiment with one throw-away job that shows how MetaStudio treats what a job leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.experiments import ExperimentRecord, experiments
from worker.ledger.types import DeletionRequest
from worker.lookups.renewal import with_new_token
from worker.metastudio.targets.avatar_job import AVATAR_JOB, JobRow
from worker.model.erasure import Related
from worker.model.errors import RefusedBySafetyRule, UsageError
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.rules.experiment import (
    SCHEDULE,
    Cascade,
    Facts,
    Fate,
    Observation,
    PartFacts,
    Proposal,
    facts_of,
    proposals,
)
from worker.services import labels
from worker.services.act import Approval, Plan
from worker.services.times import rfc3339, span

CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True)
class Report:
    """One experiment, and what it has shown so far. Times in ms since 1970."""

    account: str
    record: ExperimentRecord
    state: State | None  # of the job's deletion; None: it was not asked for, or is forgotten
    facts: Facts
    proposals: tuple[Proposal, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will be looked at."""
        return self.record.closed is not None or self.state in (State.DEAD, State.CANCELLED, State.DISCARDED)


def look(app: AppContext, job: Target) -> JobRow:
    """What MetaStudio says of the job now. Raises `RefusedBySafetyRule` if it cannot be deleted or is not shown."""
    if why := Target.why_not_named(job.id):
        raise UsageError(why)
    client, _ = app.client(app.account_for(job.project_id))
    shown = with_new_token(client, lambda: client.show(job))
    if not isinstance(shown.row, JobRow):
        response = shown.response
        found = labels.answer(response.status, response.code, response.message) or labels.failure_text(response.failure)
        raise RefusedBySafetyRule("experiment", f"MetaStudio does not show job {job.id}: {found}. Nothing was done")
    if not AVATAR_JOB.is_deletable(shown.row.state):
        why = f"job {job.id} is {shown.row.state}, and MetaStudio allows no DELETE of it. Nothing was done"
        raise RefusedBySafetyRule("experiment", why)
    return shown.row


def plan(job: Target, row: JobRow, schedule: Sequence[float] = SCHEDULE) -> Plan:
    """What would be done."""
    named = {"model asset": row.asset_id, "voice job": row.voice_train_job_id}
    parts = [f"it names {word} {id}" for word, id in named.items() if id]
    remarks = [
        f"its state is {row.state}",
        *(parts or ["it names neither an avatar nor a voice: the experiment can only show what is answered for it"]),
        "workers look at what it leaves after " + ", ".join(span(seconds) for seconds in schedule),
        "the DELETE cannot be undone, and everything else only reads",
    ]
    fields: dict[str, Any] = {
        "project_id": job.project_id,
        "job_id": job.id,
        "state": row.state,
        "schedule_s": list(schedule),
    }
    fields |= {"asset_id": row.asset_id, "voice_train_job_id": row.voice_train_job_id}
    return Plan(f"learn from job {job.id} of project {job.project_id}: it is DELETED", {}, remarks, fields)


def check_typed(job: Target, typed: str | None, *, again: str) -> None:
    """The job's id has to be typed once more: `--yes` alone is how habit confirms. Raises `RefusedBySafetyRule`."""
    if typed != job.id:
        found = "it was not typed" if not typed else "another one was typed"
        why = f"the job's id confirms the experiment, and {found}. Nothing was done"
        raise RefusedBySafetyRule(CONFIRMATION, why, hint=f"{again} --confirm {job.id}")


def begin(app: AppContext, job: Target, approval: Approval, schedule: Sequence[float] = SCHEDULE) -> str:
    """Begin it and ask for the job's deletion; safe to repeat. Returns `begun`, or `running` if it had begun."""
    ledger = app.ledger_of(job.project_id)
    result = ledger.begin_experiment(job, schedule, **approval.who())
    if result == "requested":
        why = f"the deletion of job {job.id} was requested before: nobody looked at what it had. Take another one"
        raise RefusedBySafetyRule("experiment", why)
    terms = DeletionRequest(
        lane=Lane.USER,
        by=approval.by,
        why=approval.reason,
        deadline_s=app.settings.deadline,
        related=Related.VERIFY.value,
    )
    ledger.request([job], terms)
    return result


def reports(app: AppContext, account: str | None = None) -> Iterator[Report]:
    """Every experiment, the newest of each account first. Raises `Unreachable`."""
    for name in [account] if account else app.known_accounts():
        for record in experiments(app.redis, app.keys.account(name)):
            deletion = app.queries(name).show(record.job)
            found = [one for one in map(Observation.read, record.log) if one is not None]
            facts = facts_of(found)
            yield Report(
                name, record, deletion.state if deletion else None, facts, proposals(facts, record.schedule or SCHEDULE)
            )


def as_json(report: Report) -> dict[str, Any]:
    """One experiment for programs."""
    record, facts = report.record, report.facts
    parts = [asdict(part) | {"cascade": part.cascade.value} for part in facts.parts]
    return {
        "account": report.account,
        "project_id": record.job.project_id,
        "job_id": record.job.id,
        "by": record.by,
        "reason": record.reason,
        "began_at": rfc3339(record.began),
        "state": report.state.value if report.state else None,
        "schedule_s": list(record.schedule),
        "next_look_at": rfc3339(record.next_look),
        "closed_at": rfc3339(record.closed),
        "facts": asdict(facts) | {"parts": parts},
        "proposals": [asdict(one) for one in report.proposals],
    }


def in_words(report: Report, now: float) -> Iterator[str]:
    """The same for people, a line each."""
    facts = report.facts
    yield _progress(report, now)
    if facts.delete is not None:
        yield f"the DELETE was answered {facts.delete.in_words() or 'by nothing that is known'}"
    yield from map(_part, facts.parts)
    if facts.absent_job is not None:
        shown = {True: "and a list has it", False: "and no list has it", None: "its list was not answered"}
        yield f"a deleted job is answered {facts.absent_job.in_words()}, {shown[facts.deleted_job_listed]}"
    for kind, answer in facts.absent_part.items():
        yield f"a {kind.replace('_', ' ')} that is not there is answered {answer.in_words()}"
    for where, listed in {"in the bin": facts.bin_listed, "that are purged": facts.tombstone_listed}.items():
        if listed is not None:
            yield f"assets {where} are {'' if listed else 'not '}listed"
    if facts.looks and not facts.parts:
        yield "nothing is known that the job had: no setting can be proposed"


def summary(report: Report, now: float) -> str:
    """On one line: `model asset into the recycle bin, voice job stays (job 0f3a61c2: 3 of 5 looks made, …)`."""
    parts = [f"{part.kind.replace('_', ' ')} {_CASCADES[part.cascade]}" for part in report.facts.parts]
    return f"{', '.join(parts) or 'nothing is known yet'} (job {report.record.job.id}: {_progress(report, now)})"


def _progress(report: Report, now: float) -> str:
    record, looks = report.record, report.facts.looks
    made = f"{looks} of {len(record.schedule)} looks made"
    if record.closed is not None:
        return f"ended: {made}"
    if report.state in (State.DEAD, State.CANCELLED, State.DISCARDED):
        return f"ended: the deletion of the job is {report.state}"
    if record.next_look is None:
        return f"waits for the deletion of the job, which is {report.state or 'not requested: repeat the command'}"
    return f"{made}, the next in {span(max(0.0, record.next_look - now) / 1000)}"


_CASCADES = {
    Cascade.NONE: "stays",
    Cascade.BIN: "into the recycle bin",
    Cascade.PURGED: "purged",
    Cascade.ABSENT: "no longer there",
    Cascade.UNKNOWN: "unknown",
}
_FATES = {
    Fate.PRESENT: "there",
    Fate.IN_BIN: "in the recycle bin",
    Fate.PURGED: "purged",
    Fate.ABSENT: "no longer there",
}


def _part(part: PartFacts) -> str:
    """`model asset 8cb2…: ACTIVED before the DELETE; in the recycle bin between 1 min and 10 min after it`."""
    name = f"{part.kind.replace('_', ' ')} {part.id}"
    if part.last is None:
        return f"{name}: {part.before or 'not shown'} before the DELETE; no look was answered"
    changes = [f"{_FATES[one.fate]} between {span(one.after_s)} and {span(one.by_s)} after it" for one in part.changes]
    last = [] if changes else [f"{_FATES[part.last]} {span(part.last_s)} after it"]
    return f"{name}: " + "; ".join([f"{part.before or 'not shown'} before the DELETE", *changes, *last])
