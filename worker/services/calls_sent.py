"""What a deletion's history says of its DELETE calls: whether one was sent, and why nobody knows what became of it."""

from __future__ import annotations

from enum import StrEnum

from worker.ledger.records import Attempt, Deletion
from worker.model.states import Outcome


class Sent(StrEnum):
    """Whether a DELETE was ever sent for it, in any round."""

    NO = "no"
    PERHAPS = "perhaps"  # a worker was lost that may have sent one, or lines of its history went
    YES = "yes"


def sent(d: Deletion) -> Sent:
    """As `lua/_sent.lua` decides it. The deletion has to have its history."""
    if d.archived:
        return Sent(d.archived.sent)
    before = {event.fields.get("sent") for event in d.events if event.name == "deletion.archived"}
    if d.attempts or Sent.YES in before:
        return Sent.YES
    if Sent.PERHAPS in before:
        return Sent.PERHAPS
    return Sent.PERHAPS if d.cut or d.may_be_deleted else Sent.NO


def withdrawn(how: Sent) -> str:
    """What became of a cancelled one."""
    match how:
        case Sent.NO:
            return "withdrawn before anything was sent"
        case Sent.PERHAPS:
            return "withdrawn; a DELETE may have been sent before, and nothing says that it deleted the job"
        case Sent.YES:
            return "withdrawn after a DELETE was sent, which did not delete the job"


def doubt(d: Deletion) -> str:
    """Why an earlier call may have deleted it, or did."""
    answered = [number for number, a in enumerate(d.attempts) if a.fields.get("outcome") == Outcome.DELETED]
    last = d.attempts[answered[-1]] if answered else None
    since = last.at + float(last.fields.get("ms") or 0) if last else float("-inf")
    if any(_is_unclear(a) for a in d.attempts[answered[-1] + 1 if answered else 0 :]):
        return "a call had no clear answer"
    if any(e.name == "deletion.lost" and not e.fields.get("unsent") for e in d.events if e.at > since):
        return "a worker was lost, and its call may have been sent"
    if last:
        return f"a DELETE of round {last.round} was answered {last.fields.get('status')}"
    return "an earlier call may have reached MetaStudio"


def _is_unclear(attempt: Attempt) -> bool:
    """As `worker.rules.classify.outcome_unknown` decides it, by what the history keeps of an answer."""
    status, failure = attempt.fields.get("status"), attempt.fields.get("failure")
    if str(attempt.fields.get("message")).startswith("IAM: "):
        return False  # MetaStudio got no call
    if status is None:
        return failure is not None and failure != "not_sent"
    return bool(status >= 500 or (status < 300 and attempt.fields.get("outcome") != Outcome.DELETED))
