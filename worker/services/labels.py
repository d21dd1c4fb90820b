"""Labels: the meaning of states, causes and evidence, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.ledger.records import Closure
from worker.model.erasure import PartEvidence, Verdict
from worker.model.states import Cause, Evidence, State, WaitingFor
from worker.model.target import MODEL_ASSET, VOICE_ASSET, VOICE_JOB
from worker.services.times import span

STATES = {
    State.PENDING: "waits",
    State.RUNNING: "a worker is calling MetaStudio",
    State.HELD: "on hold: nothing is sent until it is released",
    State.DELETED: "MetaStudio confirmed the deletion",
    State.GONE: "the job was not there when we asked",
    State.DEAD: "needs a person",
    State.CANCELLED: "withdrawn before it was deleted",
    State.DISCARDED: "a dead letter that was given up",
}

WAITS = {
    WaitingFor.TURN: "its turn",
    WaitingFor.GRACE: "the end of its grace period",
    WaitingFor.RETRY: "its next attempt",
    WaitingFor.NOT_DELETABLE_YET: "the job to reach a state in which MetaStudio allows deletion",
    WaitingFor.POLICIES: "a worker with the policies that requested it, or newer ones (ERASER_CONFIG)",
    WaitingFor.THROTTLED: "MetaStudio to accept calls again (it answered 429)",
    WaitingFor.OUTAGE: "the end of a MetaStudio outage",
    WaitingFor.CREDENTIALS: "credentials that MetaStudio accepts (see `eraser doctor`)",
    WaitingFor.PAUSED: "an operator to type `eraser resume --reason R`",
    WaitingFor.MISCONFIGURED: "region, project and permissions to be corrected (see `eraser doctor`)",
}

CAUSES = {
    Cause.SERVER_ERROR: "MetaStudio failed or did not answer until all attempts were used",
    Cause.REFUSED: "the job exists and looks deletable, but MetaStudio refuses to delete it",
    Cause.DEADLINE: "its deadline passed while it waited",
    Cause.WORKER_LOST: "three workers were lost while they processed it",
    Cause.NOT_OURS: "it is not provably the job's own",
    Cause.NOT_VISIBLE: "no proof that it is gone: MetaStudio shows no job at all (empty project, or hidden jobs)",
}

REMEDIES = {
    Cause.SERVER_ERROR: (
        "replay when MetaStudio has recovered: one dead letter goes first, the rest only if it succeeds"
    ),
    Cause.REFUSED: "look at the job in MetaStudio's console; its message says why it cannot be deleted",
    Cause.DEADLINE: "its history (`eraser show JOB_ID`) says what it waited for; when that is over, replay: each gets "
    "a new deadline",
    Cause.WORKER_LOST: "find out why workers die (memory, the platform's log), then replay",
    Cause.NOT_OURS: "look at it in MetaStudio's console, and delete it there if it is to go; then discard this one",
    Cause.NOT_VISIBLE: "check whether the key can see the project's jobs (`eraser doctor`) and whether the job needs "
    "`--app-user`, then replay; if it was the project's last job and you know that it is gone, close it: "
    "eraser dead discard JOB_ID --reason 'last job of the project'",
}

EVIDENCE = {
    Evidence.AFTER_OUR_CALL: "a DELETE had been sent, or may have been; afterwards the job was absent",
    Evidence.SEEN_BEFORE: "MetaStudio had listed the job before; afterwards it was absent",
    Evidence.NEVER_SEEN: "MetaStudio never listed the job: it was absent both times that we asked",
}

PARTS = {MODEL_ASSET: "model asset", VOICE_JOB: "voice job", VOICE_ASSET: "voice asset"}

PART_EVIDENCE = {
    PartEvidence.PURGED: "gone: MetaStudio says that its files are deleted",
    PartEvidence.ABSENT_SEEN_BEFORE: "gone: it was there before, and twice no more",
    PartEvidence.ABSENT_NEVER_SEEN: "the job named it, and nobody ever saw it",
    PartEvidence.IN_BIN: "in the recycle bin: not erased, it can be restored",
    PartEvidence.ACKNOWLEDGED: "its DELETE was confirmed; nobody looked since",
    PartEvidence.KEPT: "still there",
    PartEvidence.REFUSED: "still there: its deletion is a dead letter",
    PartEvidence.BLOCKED: "still there, frozen by MetaStudio: its deletion is a dead letter",
    PartEvidence.FOREIGN: "still there: it belongs to another project",
    PartEvidence.NOT_VISIBLE: "this key sees nothing of its kind, so nothing is proven",
    PartEvidence.NOT_PERMITTED: "this key may not ask for it",
    PartEvidence.UNKNOWN: "not known yet",
}

VERDICTS = {
    Verdict.WHOLE: "everything is gone",
    Verdict.WHOLE_BY_ACKNOWLEDGEMENT: "everything that can be asked for is gone",
    Verdict.PENDING: "not finished: looks, deletions or days in the recycle bin are still to come",
    Verdict.PARTIAL: "something was left behind",
    Verdict.INCOMPLETE: "a part could not be deleted",
    Verdict.UNVERIFIABLE: "it cannot be proven what became of what belonged to the job",
}

_REMOVED_BY = {"service": "MetaStudio removed it", "us": "deleted by us", "operator": "removed by a person"}

GATES = {
    "ok": "open",
    "throttled": "throttled",
    "outage": "closed: MetaStudio outage",
    "credentials": "closed: credentials refused",
    "clock": "open, with a corrected clock",
    "misconfigured": "closed: misconfigured",
    "paused": "paused by an operator",
}

SILENCES = {
    "not_sent": "no connection was made",
    "reset": "the connection broke before the response",
    "timeout": "the call timed out",
    "garbled": "the response was not HTTP",
}


def cause(name: str | None) -> str:
    """A cause in words; an unknown one unchanged."""
    return CAUSES[Cause(name)] if name in tuple(Cause) else str(name)


def remedy(name: str | None) -> str | None:
    """What to do about a cause, if it is known."""
    return REMEDIES[Cause(name)] if name in tuple(Cause) else None


def evidence(name: str | None) -> str:
    return EVIDENCE[Evidence(name)] if name in tuple(Evidence) else str(name)


def verdict(name: str | None) -> str:
    return VERDICTS[Verdict(name)] if name in tuple(Verdict) else str(name)


def part_evidence(name: Any) -> str:
    """What was found of a part, in words; an unknown word unchanged."""
    return PART_EVIDENCE[PartEvidence(name)] if name in tuple(PartEvidence) else str(name)


def part(stored: Mapping[str, Any]) -> str:
    """What became of one part: `model asset 8cb2f48a: gone …, deleted by us`."""
    kind = stored.get("part")
    text = part_evidence(stored.get("evidence"))
    by = f"; {_REMOVED_BY[stored['removed_by']]}" if stored.get("removed_by") in _REMOVED_BY else ""
    why = f" ({stored['why_not_own']})" if stored.get("why_not_own") and not by else ""
    return plain(f"{PARTS.get(str(kind), kind)} {stored.get('id')}: {text}{why}{by}")


def closure(one: Closure, now: float) -> str:
    """`closed: credentials refused since 3 min (401 …) by job J of project P, which R requested; next try in 50 s`."""
    since = "" if one.since is None else f" since {span((now - one.since) / 1000)}"
    where = f" of project {one.project_id}" if one.project_id and one.scope != "project" else ""
    by = f" by job {one.target}{where}" if one.target else ""
    by += f", which {one.requested_by} requested" if one.target and one.requested_by else ""
    again = "" if one.until is None else f"; next try in {span(max(0.0, one.until - now) / 1000)}"
    return f"{GATES.get(one.cause, one.cause)}{since}{f' ({plain(one.reason)})' if one.reason else ''}{by}{again}"


def first_call(rest_s: float) -> str:
    """What happens after a resume."""
    if rest_s <= 0:
        return "The first call is a probe."
    return f"Its key was refused twice within minutes and may soon be locked: the next try is in {span(rest_s)}."


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 job`, `1,378 jobs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def answer(*parts: object) -> str:
    """What MetaStudio answered, of what there is: `503 MSS.00000004 try later`."""
    return plain(" ".join(str(part) for part in parts if part))


def failure_text(failure: object) -> str:
    """Why there was no answer."""
    return SILENCES.get(str(failure), "the reason is unknown")


def plain(text: str) -> str:
    """Foreign text without control characters."""
    return "".join(c if c.isprintable() else "·" for c in text)
