"""One deletion for people and programs: the record, its timeline in words, its JSON form. Never the app user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.damage import DamageList, check
from worker.ledger.erasures import ErasureRecord
from worker.ledger.holds import Hold, HoldList
from worker.ledger.records import Attempt, Deletion, Event
from worker.model.erasure import LEFT, PartEvidence, part_json
from worker.model.errors import EraserError, Unreachable, UsageError
from worker.model.states import State
from worker.model.target import Target
from worker.services import archived, json_form, labels
from worker.services.calls_sent import sent, withdrawn
from worker.services.damage import what_to_do
from worker.services.times import rfc3339


class UnknownJob(EraserError):
    """There is no record of the job."""

    type = "unknown-deletion"


class DamagedJob(EraserError):
    """Another program damaged its record, which was set aside."""


class Step(StrEnum):
    """An action that a person may take on a deletion."""

    REPLAY = "replay"
    DISCARD = "discard"
    RESTORE = "restore"
    CANCEL = "cancel"
    RELEASE = "release"
    REQUEST = "request"
    RELATED_ERASE = "related-erase"
    RELATED_RESTORE = "related-restore"
    HOLD = "hold"  # almost any deletion can be put on hold, so no state suggests it


_STEPS = {
    State.DEAD: (Step.REPLAY, Step.DISCARD),
    State.DISCARDED: (Step.RESTORE,),
    State.PENDING: (Step.CANCEL,),
    State.HELD: (Step.RELEASE,),
    State.CANCELLED: (Step.REQUEST,),
}
COMMANDS = {
    **{step: f"eraser dead {step}" for step in (Step.REPLAY, Step.DISCARD, Step.RESTORE)},
    Step.CANCEL: "eraser cancel",
    Step.RELEASE: "eraser hold remove",
    Step.REQUEST: "eraser request",
    Step.RELATED_ERASE: "eraser related erase",
    Step.RELATED_RESTORE: "eraser related restore",
    Step.HOLD: "eraser hold add",
}
_NOT_SHOWN = ("used", "cancel_wanted", "status", "code", "cut", "whole", "archived")
_CLAIM = {"requested_by": "by", "reason": "why", "run": "run", "lane": "lane"}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a timeline. `at` in ms since 1970."""

    at: float
    text: str
    round: int | None = None  # of an attempt
    request_id: str | None = None


def find(app: AppContext, project: str, job_id: str) -> tuple[Deletion, float]:
    """The record with its history, and Redis's time. Raises `UnknownJob` and `UsageError`."""
    if why := Target.why_not_named(job_id):
        raise UsageError(why)
    target = Target.named(project, job_id)
    for account in app.homes_of(project):
        queries = app.queries(account)
        if (deletion := queries.show(target)) is not None:
            break
    if deletion is None:
        _refuse_damaged(app, target)
        raise UnknownJob(
            f"nothing is known of {target.kind} {target.id} in project {project}: "
            "its deletion was never requested here, or the "
            f"record has expired. To request it now: eraser request {job_id} --project {project}. "
            "In another project: eraser show JOB_ID --project P"
        )
    return archived.with_the_rest(app, deletion), queries.now_ms()


def _refuse_damaged(app: AppContext, ref: Target) -> None:
    """Raise `DamagedJob` if there is a damage entry for it."""
    ledger = app.ledger_of(ref.project_id)
    with suppress(Unreachable):  # a Redis user with read access only
        check(ledger, [ref])
    one = DamageList(app.redis, ledger.account, app.keys).of(ref)
    if one is not None:
        raise DamagedJob(f"the ledger's entry of {ref.name} was damaged: {one.why}. {what_to_do(one)}")


def hold_of(app: AppContext, d: Deletion) -> Hold | None:
    """The hold of this job, if there is one; not its app user's."""
    return HoldList(app.ledger(d.account)).of(d.ref) if d.state is State.HELD else None


def as_json(d: Deletion) -> dict[str, Any]:
    """The contract's fields, then further ones."""
    return json_form.as_json(d, but=_NOT_SHOWN) | {
        "attempts": [_attempt(attempt) for attempt in d.attempts],
        "claims": [_claim(claim) for claim in d.claims],
        "events": [_event(event) for event in d.events],
        **erasure_json(d.whole),
        "archived": archived.as_json(d.archived),
        **({} if d.deadline_at else {"deadline_at": None}),  # of one that was archived
    }


def erasure_json(whole: ErasureRecord | None) -> dict[str, Any]:
    """The verdict on what a job left behind, and what became of each part. All null: nobody looked."""
    if whole is None:
        return {"erasure": None, "inventory": None, "related": []}
    verdict, inventory = (word.value if word else None for word in (whole.verdict, whole.inventory))
    return {"erasure": verdict, "inventory": inventory, "related": [part_json(part) for part in whole.parts]}


def timeline(d: Deletion) -> list[Moment]:
    """Everything that happened, newest first."""
    moments = [_called(attempt) for attempt in d.attempts] + [_happened(event) for event in d.events]
    first = {"at": d.requested_at, "by": d.requested_by, "why": d.reason, "run": d.run}
    let_go = [event.fields["claims"] for event in d.events if "claims" in event.fields]  # when another round started
    anew = {event.at for event in d.events if event.name == "deletion.requested"}  # these name their requester
    for claims in (*let_go, (first, *d.claims)):
        for how, claim in zip(chain(["requested"], repeat("requested again")), claims, strict=False):
            if claim.get("at") is not None and claim["at"] not in anew:
                who = _who(claim.get("by"), claim.get("why"), claim.get("run"))
                moments.append(Moment(float(claim["at"]), how + who))
    return sorted(dict.fromkeys(moments), key=lambda moment: moment.at, reverse=True)


def left_out(d: Deletion) -> int:
    """How many attempts of this round's history were removed: the first and the last ones stay."""
    mine = [attempt.n for attempt in d.attempts if attempt.round == d.round]
    return max(mine, default=0) - len(mine)


def headline(d: Deletion) -> str:
    """The state in words."""
    if d.state is State.PENDING and d.waiting_for is not None:
        return f"waiting for {labels.WAITS[d.waiting_for]}"
    return withdrawn(sent(d)) if d.state is State.CANCELLED else labels.STATES[d.state]


def steps(d: Deletion, hold: Hold | None = None) -> tuple[Step, ...]:
    """The possible actions now, the likeliest first. hold: the job's own, see `hold_of`."""
    left = d.whole is not None and d.whole.verdict in LEFT
    in_bin = d.whole is not None and any(part.get("evidence") == PartEvidence.IN_BIN for part in d.whole.parts)
    erase, restore = [Step.RELATED_ERASE] * left, [Step.RELATED_RESTORE] * in_bin
    of_a_user = hold is None and _of_a_user(d)
    of_the_job = [step for step in _STEPS.get(d.state, ()) if step is not Step.RELEASE or not of_a_user]
    return (*of_the_job, *erase, *restore)


def next_steps(d: Deletion, hold: Hold | None = None) -> Iterator[str]:
    """The same as commands."""
    for step in steps(d, hold):
        reason = "" if step is Step.REQUEST else " --reason TICKET"
        yield f"{COMMANDS[step]} {d.ref.name} --project {d.ref.project_id}{reason}"
    if d.state is State.HELD:
        if _of_a_user(d):  # whose id is stored as a hash only
            yield f"{COMMANDS[Step.RELEASE]} --app-user U --reason TICKET"
        yield "eraser hold list"


def _of_a_user(d: Deletion) -> bool:
    """Whether the hold that stopped it is an app user's. The job's own may have come since."""
    held = max((event for event in d.events if event.name == "deletion.held"), key=lambda event: event.at, default=None)
    return held is not None and held.fields.get("hold") in ("user", "user_unknown")


def _attempt(a: Attempt) -> dict[str, Any]:
    answer = {name: a.fields.get(name) for name in ("status", "code", "message", "request_id", "ms", "outcome")}
    if not answer["message"] and (failure := a.fields.get("failure")):
        answer["message"] = f"no answer: {labels.failure_text(failure)}"
    return json_form.as_json(a, "n", "round", "at") | answer


def _event(event: Event) -> dict[str, Any]:
    earlier = {"claims": [_claim(claim) for claim in event.fields["claims"]]} if event.fields.get("claims") else {}
    died = {"finished_at": rfc3339(event.fields["finished_at"])} if event.fields.get("finished_at") else {}
    return {"at": rfc3339(event.at), "event": event.name, **event.fields, **earlier, **died}


def _claim(claim: dict[str, Any]) -> dict[str, Any]:
    fields = {name: claim.get(key) for name, key in _CLAIM.items()}
    return fields | {"requested_at": rfc3339(claim.get("at"))}


def _called(a: Attempt) -> Moment:
    get = a.fields.get
    no_answer = f"no answer: {get('message') or labels.failure_text(get('failure'))}"
    response = _answer(a.fields) if "status" in a.fields else no_answer
    took = f" after {get('ms')} ms" if get("ms") is not None else ""
    text = f"attempt {a.n}: {response}{took} → {_OUTCOMES.get(str(get('outcome')), get('outcome'))}"
    return Moment(a.at, labels.plain(text), a.round, get("request_id"))


def _happened(event: Event) -> Moment:
    get, text = event.fields.get, _EVENTS.get(event.name, event.name)
    match event.name:
        case "deletion.looked":
            text += f": {_FOUND.get(str(get('found')), get('found'))}"
            text += f", in state {get('job_state')}" if get("job_state") else ""
            text += f" ({labels.answer(get('status'), get('code'))})" if get("status") else ""
            text += f"; no longer matches: {get('no_longer_matches')}" if get("no_longer_matches") else ""
        case "deletion.died":
            text += f": {labels.cause(get('cause'))}"
        case "deletion.lost":
            text += " before any call" if get("unsent") else "; it may have been deleted"
            text += "" if get("counted") else "; not counted: no worker could be seen then"
        case "deletion.deleted" if get("late"):
            text += f", late; it had become {get('was')}"
        case "deletion.postponed" if get("probe"):
            text = f"not sent: probe failed: {_answer(event.fields) or 'no answer'}"
        case "deletion.postponed" if get("error"):
            text = f"not sent: {get('error')}"
        case "deletion.requested":
            text += f" (it was {get('was')})" if get("was") else ""
        case "deletion.moved":
            text += f" from account {get('from')}"
        case "deletion.archived":
            text += f", receipt {get('receipt')}" + (f" of account {get('account')}" if get("account") else "")
        case "deletion.held":
            text += f": {_HOLDS.get(str(get('hold')), get('hold'))}"
    return Moment(event.at, labels.plain(text + _who(get("by"), get("why"), get("run"))))


def _answer(fields: dict[str, Any]) -> str:
    return labels.answer(fields.get("status"), fields.get("code"), fields.get("message"))


def _who(by: str | None, why: str | None, run: str | None) -> str:
    parts = [f" by {by}" if by else "", f" for {run}" if run else "", f": {why}" if why else ""]
    return "".join(parts)


_OUTCOMES = {  # whatever says more than its name
    "throttled": "throttled, uses no attempt",
    "credentials": "the account is stopped, uses no attempt",
    "clock": "signed with a wrong clock, uses no attempt",
    "forbidden": "forbidden; a control call finds out why, uses no attempt",
    "misconfigured": "the whole account is misconfigured, uses no attempt",
    "absent": "the job is absent; checked once more later",
    "unseen": "the job is not listed, but neither is any other: no proof, asked again over hours",
    "unknown": "asked without result; asked again later",
    "not_deletable_yet": "not deletable yet, uses no attempt",
}
_FOUND = {
    "present": "it is there",
    "absent": "it is not there",
    "unseen": "it is not listed, but neither is any other job: no proof, asked again over hours",
    "unknown": "no usable answer",
}
_HOLDS = {
    "job": "this job is on the hold list",
    "user": "its app user is on the hold list",
    "user_unknown": "an app user is on hold, and MetaStudio did not say whose job this is",
}
_AS_NAMED = ("held", "released", "died", "discarded", "restored", "cancelled", "deleted", "postponed")
_EVENTS = {
    **{f"deletion.{name}": name for name in _AS_NAMED},
    "deletion.requested": "requested again, a new round",
    "deletion.looked": "asked MetaStudio for the job",
    "deletion.lost": "its worker was lost",
    "deletion.archived": "archived: what was before is in the archive",
    "deletion.moved": "its project was moved here",
    "deletion.replayed": "replayed, a new round",
    "deletion.replay_cancelled": "the replay stopped before the call: dead as before",
    "deletion.cancel_requested": "cancel requested",
    "deletion.came_back": "came back: a recheck found that MetaStudio has it again",
    "deletion.gone_again": "gone again: a recheck no longer found it",
}
