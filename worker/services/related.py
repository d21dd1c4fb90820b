"""What deleted jobs left behind, for people and programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.config.personal import check_app_user
from worker.execution.app_context import AppContext
from worker.ledger.erasures import ErasureRow, erasures, erasures_of
from worker.ledger.holds import HoldList
from worker.model.erasure import AssetMode, PartEvidence
from worker.model.shares import grouped
from worker.model.target import JOB, Target
from worker.rules.erasure import ACT_AT_LOOK
from worker.rules.parts import FAILED, Part
from worker.services.act import CAP, Approval, Outcome, Plan, outcomes, select
from worker.services.labels import count, part_evidence
from worker.services.show import erasure_json
from worker.services.times import rfc3339


def each(app: AppContext, *, left: bool, project: str | None = None) -> Iterator[tuple[str, ErasureRow]]:
    """Every erasure that is open or left something, with its account. left: only those that left something."""
    for account in app.known_accounts():
        app.check_schema()
        for row in erasures(app.redis, app.keys.account(account), left=left):
            if project in (None, row.record.job.project_id):
                yield account, row


def as_json(account: str, row: ErasureRow) -> dict[str, Any]:
    """One erasure for programs."""
    record = row.record
    return {
        "account": account,
        "project_id": record.job.project_id,
        "job_id": record.job.id,
        "policy": record.related.value if record.related else None,
        **erasure_json(record),
        "next_look_at": rfc3339(row.next_look),
    }


def parts(row: ErasureRow) -> Iterator[str]:
    """Each part with its evidence in words: `model_asset 8cb2…: still there`."""
    if row.record.damaged:
        yield "what belonged to the job cannot be read"
    for part in row.record.parts:
        evidence = part.get("evidence")
        words = part_evidence(evidence)
        yield f"{part.get('part')} {part.get('id')}: {words}"


# -- what can be done with it ------------------------------------------------------------------------------------------

GONE = (PartEvidence.PURGED, PartEvidence.ABSENT_SEEN_BEFORE, PartEvidence.ABSENT_NEVER_SEEN)
_WORDS = {
    "erasing": ("what is left of it and proven to be its own is deleted: see eraser related list", True),
    "nothing_left": ("nothing is left that is proven to be its own: see eraser related list", False),
    "on_hold": ("on hold: nothing of it is deleted until the hold is removed", False),
    "not_over": ("the job itself is not deleted: see eraser show {job}", False),
    "unknown": ("nobody looked at what it left behind", False),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One job of an act: its parts that are meant, those that are not, and why; `why`: nothing of it is."""

    account: str
    job: Target
    parts: tuple[Part, ...] = ()
    skipped: tuple[tuple[Part, str], ...] = ()
    why: str | None = None
    app_user: str | None = None  # in whose name the parts are looked for, as far as it is known


@dataclass(frozen=True, slots=True)
class Selection:
    """What was named: jobs of which something is meant, others, and words that name no job."""

    meant: Sequence[Choice]
    others: Sequence[Choice]
    bad: Sequence[Outcome] = ()

    def skipped(self) -> list[Outcome]:
        """Outcomes of jobs of which nothing is meant."""
        return [*self.bad, *(Outcome(one.job, "skipped", one.why or "", done=False) for one in self.others)]


def to_erase(app: AppContext, project: str, job_ids: Iterable[str]) -> Selection:
    """These jobs, and what would be deleted of each."""
    jobs, bad = select(project, job_ids)
    bad += [Outcome(one, "bad_id", "give the job's id, not a part's", done=False) for one in jobs if one.kind != JOB]
    return selected(app, [_found(app, one, erasable(app)) for one in jobs if one.kind == JOB], bad)


def to_restore(app: AppContext, project: str, job_id: str) -> Selection:
    """This job, and what would come out of the recycle bin."""
    jobs, bad = select(project, [job_id])
    return selected(app, [_found(app, one, [PartEvidence.IN_BIN]) for one in jobs], bad, held=True)


def all_left(app: AppContext, project: str | None) -> Selection:
    """Every job that left something behind, and what would be deleted of each."""
    every = each(app, left=True, project=project)
    return selected(app, [_judged(account, row, erasable(app)) for account, row in every])


def erasable(app: AppContext) -> tuple[PartEvidence, ...]:
    """Evidence of parts that a DELETE still removes: what is in the bin only where it does not go there."""
    bin_too = app.settings.related_assets is AssetMode.FORCE
    return (PartEvidence.KEPT, PartEvidence.IN_BIN) if bin_too else (PartEvidence.KEPT,)


def selected(
    app: AppContext, choices: Sequence[Choice], bad: Sequence[Outcome] = (), *, held: bool = False
) -> Selection:
    """Those of which something is meant, apart. held: also what is on hold."""
    on_hold = {
        account: frozenset[Target]() if held else HoldList(app.ledger(account)).now().refs
        for account in {one.account for one in choices}
    }
    free = [one for one in choices if one.job not in on_hold[one.account]]
    kept = [Choice(one.account, one.job, why=_WORDS["on_hold"][0]) for one in choices if one not in free]
    return Selection([one for one in free if one.parts], [*(one for one in free if not one.parts), *kept], bad)


def _found(app: AppContext, job: Target, evidence: Collection[PartEvidence]) -> Choice:
    homes = app.homes_of(job.project_id)
    for account in homes:
        for row in erasures_of(app.redis, app.keys.account(account), [job]):
            return _judged(account, row, evidence)
    return Choice(homes[0], job, why=_WORDS["unknown"][0])


def _judged(account: str, row: ErasureRow, evidence: Collection[PartEvidence]) -> Choice:
    job, parts, skipped = row.record.job, [], []
    try:
        every = [Part.read(found) for found in row.record.parts]
    except ValueError:
        return Choice(account, job, why="what belonged to the job cannot be read")
    for part in every:
        if why := _why_not(part, row, evidence):
            skipped.append((part, why))
        elif part.evidence not in GONE:
            parts.append(part)
    why = (
        None if parts else "; ".join(f"{part.target.name}: {text}" for part, text in skipped) or "nothing is left of it"
    )
    return Choice(account, job, tuple(parts), tuple(skipped), why, row.record.app_user)


def _why_not(part: Part, row: ErasureRow, evidence: Collection[PartEvidence]) -> str | None:
    """Why a part is left alone though it may be there; None: it is meant, or gone."""
    found = PartEvidence(part.evidence)
    if found in GONE:
        return None
    if part.id in row.shared:
        return "another job named it, too"
    if not part.own:
        return part.why_not_own or "it is not proven to be this job's own"
    if found in evidence:
        return None
    if found in FAILED:
        return f"{part_evidence(found)}; replay it: eraser dead replay {part.target.name} --reason TICKET"
    return part_evidence(found)


def plan(verb: str, done: str, selection: Selection) -> Plan:
    """What would be done, part by part; and what would not, and why."""
    jobs = len(selection.meant)
    parts = [(one.job, part) for one in selection.meant for part in one.parts]
    left_out = [(one.job, part, why) for one in selection.meant for part, why in one.skipped]
    remarks = [f"{verb}: {part.target.name} of job {job.name}" for job, part in parts[:CAP]]
    remarks += [f"skipped: {part.target.name} of job {job.name}: {why}" for job, part, why in left_out]
    remarks += [f"skipped: {one.target.name[:128]}: {one.text}" for one in selection.skipped()]
    skipped: list[dict[str, Any]] = [
        {"project_id": job.project_id, **job.as_json(), "part": part.part, "part_id": part.id, "skip_reason": why}
        for job, part, why in left_out
    ]
    skipped += [{**one.about(), "part": None, "part_id": None, "skip_reason": one.text} for one in selection.skipped()]
    fields = {f"will_be_{done}": [{**part.target.as_json(), "project_id": part.project_id} for _, part in parts]}
    more = {"jobs": jobs, "skipped": skipped, "cap": CAP, "over_cap": jobs > CAP}
    return Plan(f"{verb} what {count(jobs, 'job')} left behind", {"parts": len(parts)}, remarks, fields | more)


def erase(
    app: AppContext, selection: Selection, approval: Approval, *, app_user: str | None, of: str | None
) -> list[Outcome]:
    """Ask for it; workers do it, after one more look. Raises `RefusedBySafetyRule`, also for a plan that was not
    confirmed."""
    check_app_user(app_user)
    number = len(selection.meant)
    approval.check(number, "job")
    action, found = approval.action(of, count=number), []
    looks = min(ACT_AT_LOOK, len(app.settings.related_schedule)) - 1
    evidence = [one.value for one in erasable(app)]
    for account, chosen in grouped(selection.meant, lambda one: one.account).items():
        jobs, who = [one.job for one in chosen], approval.who(action)
        results = app.ledger(account).erase_related(jobs, looks=looks, evidence=evidence, app_user=app_user, **who)
        app.wake(account, 0)
        found += outcomes(results, _WORDS)
    return found + selection.skipped()
