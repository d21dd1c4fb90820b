"""What a certificate says, in plain English, for a privacy officer or the person. Pure.

Nothing but its receipt is used. What could not be checked is part of what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.model.erasure import LEFT
from worker.model.states import State
from worker.model.target import JOB
from worker.receipts.certificate import Verified
from worker.receipts.commitments import redacted_places
from worker.services.labels import cause, count, evidence, plain

_PARTS = {"model_asset": "model asset", "voice_job": "voice training job", "voice_asset": "voice asset"}
_ERASURES = {
    "whole": "Nothing of it that can be asked about was left when we looked last.",
    "whole_by_acknowledgement": "Nothing of it that can be asked about was left when we looked last. Files that only "
    "the job knew cannot be asked about any more; for them MetaStudio's answer is the only word.",
    "pending": "Parts of it are still being looked at or deleted: a later receipt will supersede this one.",
    "partial": "Parts of it were left where they are, as the policy or MetaStudio has it: see below.",
    "incomplete": "Parts of it could not be deleted: see below.",
    "unverifiable": "Whether parts of it were left could not be found out.",
}
_PART_ENDS = {
    "purged": "gone",
    "absent_seen_before": "gone: MetaStudio had shown it before, and afterwards it was absent",
    "absent_never_seen": "absent; MetaStudio never showed it",
    "in_bin": "in MetaStudio's recycle bin, from which it can be restored for some days",
    "acknowledged": "its deletion was confirmed by MetaStudio",
    "kept": "still there: it was not to be deleted",
    "refused": "still there: MetaStudio refused to delete it",
    "blocked": "still there: MetaStudio has blocked it",
    "foreign": "of another project: nothing was done to it",
    "not_visible": "not visible to us, which proves nothing",
    "not_permitted": "we were not permitted to look",
    "unknown": "what became of it is not known",
}
_REMOVERS = {"service": ", removed by MetaStudio with the job", "us": ", removed by our call"}
_REMOVERS |= {"operator": ", removed by an operator"}
_EVENTS = {
    "restored": "it was taken up again, after it had been given up",
    "released": "a person removed the hold on it",
    "hold_ended": "the hold on it ended",
}
_SENT = {  # by whether a DELETE was sent
    "yes": "A call to delete it had been sent before; what became of it, MetaStudio did not confirm.",
    "perhaps": "Whether a call to delete it had been sent before is not known.",
    "no": "No call to delete it was sent: this is no proof of a deletion.",
}
GONE = ("purged", "absent_seen_before", "acknowledged")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with sentences, and names with values."""

    title: str
    sentences: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Words:
    """All of it. `verdict`: deleted, gone, cancelled or discarded. left: something that belonged to it was."""

    title: str
    verdict: str
    summary: str
    sections: list[Section]
    left: bool = False


def words(found: Verified, certificate: dict[str, Any]) -> Words:
    """What the certificate says."""
    line = found.receipt
    return Words(
        _title(line),
        line["state"],
        _summary(line),
        [
            Section("What was erased" if _is_over(line) else "What was to be erased", facts=list(_erased(line))),
            Section("By whose word", facts=list(_whose(line))),
            Section("How that is known", facts=list(_known(line))),
            Section("What could not be checked", list(_unchecked(line))),
            Section("Proof", list(_proof(found, certificate)), list(_hashes(found, certificate))),
        ],
        _left(line),
    )


def _title(line: dict[str, Any]) -> str:
    if line.get("event") == "came_back":
        return "Certificate of a deletion that did not last"
    if line.get("event") in _EVENTS:
        return "Certificate of a request that has not ended"
    return "Certificate of deletion" if _is_over(line) else "Certificate of a request that ended without a deletion"


def _is_over(line: dict[str, Any]) -> bool:
    """It was deleted, or is gone, as far as this receipt knows."""
    return line["state"] in (State.DELETED, State.GONE) and line.get("event") not in _EVENTS


def _left(line: dict[str, Any]) -> bool:
    return _is_over(line) and line.get("erasure") in LEFT


def time(text: str | None) -> str:
    """`22 November 2026, 05:10:03 UTC`."""
    if text is None:
        return "at an unknown time"
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def _thing(line: dict[str, Any]) -> str:
    kind = "avatar training job" if line["kind"] == JOB else _PARTS.get(line["kind"], line["kind"])
    return f"{kind} {line['id']}"


def _summary(line: dict[str, Any]) -> str:
    thing, when = _thing(line), time(line["finished_at"])
    event, recorded = line.get("event"), time(line.get("recorded_at") or line["finished_at"])
    if event == "came_back":
        return f"The {thing} was {line['state']} on {when}, and came back: on {recorded} MetaStudio had it again."
    if event in _EVENTS:
        return f"Deleting the {thing} has not ended: on {recorded} {_EVENTS[event]}. It may still exist."
    again = f" It was asked about again on {recorded}." if event == "verified" else ""
    again = f" It came back later, and on {recorded} it was gone again." if event == "gone_again" else again
    left = " Something that belonged to it was left behind: see below." if _left(line) else ""
    return _ended(line, thing, when) + again + left


def _ended(line: dict[str, Any], thing: str, when: str) -> str:
    match line["state"]:
        case State.DELETED:
            return f"The {thing} was deleted. MetaStudio, the service that held it, confirmed that on {when}."
        case State.GONE if line["evidence"] == "never_seen":
            return f"The {thing} was not there on {when}, and MetaStudio never listed it: no proof that it ever was."
        case State.GONE:
            return f"The {thing} is gone: when MetaStudio was asked on {when}, it did not have it any more."
        case State.CANCELLED:
            sent = _SENT.get(line.get("sent") or ("yes" if line["attempts"] else "perhaps"), "")
            return f"The request to delete the {thing} was withdrawn on {when}. {sent}"
    return f"Deleting the {thing} was given up by an operator on {when}. It may still exist."


def _erased(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "What", _thing(line)
    yield "Project", f"{line['project_id']} (account {line['account']})"
    yield "Outcome", f"{line['state']}, {time(line['finished_at'])}"
    if verdict := line.get("erasure"):
        yield "Erasure as a whole", _ERASURES.get(str(verdict), plain(str(verdict)))
    for part in _parts(line):
        name = _PARTS.get(str(part.get("part")), "part")
        end = _PART_ENDS.get(str(part.get("evidence")), plain(str(part.get("evidence"))))
        yield f"Its {name}", f"{part.get('id')}: {end}{_REMOVERS.get(str(part.get('removed_by')), '')}"


def _parts(line: dict[str, Any]) -> list[dict[str, Any]]:
    related = line.get("related")
    return [part for part in related if isinstance(part, dict)] if isinstance(related, list) else []


def _whose(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    gone = redacted_places(line)
    yield "Requested", f"{time(line['requested_at'])}, {_who(line, '', gone)}"
    for number, claim in enumerate(line["claims"]):
        yield "Also requested", _who(claim, f"claims/{number}/", gone)
    if line["finished_by"] or line["finished_reason"] or {"finished_by", "finished_reason"} & set(gone):
        ended = {"requested_by": line["finished_by"], "reason": line["finished_reason"]}
        names = [{"finished_by": "requested_by", "finished_reason": "reason"}.get(place, "") for place in gone]
        ways = {"cancelled": "Withdrawn", "discarded": "Given up", "restored": "Taken up again", "released": "Released"}
        yield ways.get(line.get("event") or line["state"], "Ended"), _who(ended, "", names, "by somebody unnamed")


def _who(claim: dict[str, Any], place: str, gone: list[str], nobody: str = "by an unnamed requester") -> str:
    by = "by somebody whose name was redacted" if f"{place}requested_by" in gone else nobody
    by = f"by {plain(claim['requested_by'])}" if claim["requested_by"] else by
    why = "; the reason was redacted" if f"{place}reason" in gone else ""
    why = f"; reason: {plain(claim['reason'])}" if claim["reason"] else why
    policy = f"; retention policy {claim['policy']}" if claim.get("policy") else ""
    return f"{by}{why}{policy}"


def _known(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    calls = count(line["attempts"], "DELETE call")
    yield "Calls", f"{calls} in round {line['round']}" if line["attempts"] else "no DELETE call was sent in this round"
    if line["status"] is not None:
        yield "Last answer", plain(" ".join(str(one) for one in (line["status"], line["code"]) if one is not None))
    if line["request_id"]:
        yield "MetaStudio's request id", plain(line["request_id"])
    if line["evidence"]:
        yield "Evidence", evidence(line["evidence"])
    if line["look_request_id"]:
        yield "Request id of that look", plain(line["look_request_id"])
    if line["cause"]:
        yield "Cause", cause(line["cause"])


def _unchecked(line: dict[str, Any]) -> Iterator[str]:
    over = _is_over(line) and line.get("event") != "came_back"
    if line.get("event") == "came_back":
        yield "How it came back: a backup that MetaStudio restored, for example. It has to be deleted again."
    elif not over:
        yield "Whether it still exists: this receipt ends a request, and is no proof that anything was deleted."
    if line["kind"] == JOB:
        yield from _unchecked_parts(line)
    if over and line["kind"] == JOB:
        yield (
            "Files that only the job named, such as videos, photos of identity cards and letters of authorization: "
            "once the job is gone nobody can ask for them, and MetaStudio's documents do not say what becomes of them."
        )
    if over:
        yield "Backups and logs that MetaStudio keeps for itself: nobody outside of it can see them."
        yield "Whether it came back later: this is about the moment above. To ask again: eraser receipts recheck"


def _unchecked_parts(line: dict[str, Any]) -> Iterator[str]:
    if line.get("inventory") == "none":
        yield "What else belonged to it: that could not be found out before the deletion, so what is left is not known."
    if parts := _parts(line):
        for part in parts:
            if part.get("evidence") not in GONE:
                end = _PART_ENDS.get(str(part.get("evidence")), "what became of it is not known")
                yield f"Its {_PARTS.get(str(part.get('part')), 'part')} {part.get('id')}: {end}."
        return
    if line.get("erasure"):
        return
    known = [("model asset", line["asset_id"]), ("voice training job", line["voice_train_job_id"])]
    named = [f"{name} {id}" for name, id in known if id]
    if named:
        yield f"What became of its {' and its '.join(named)}: it was not asked whether MetaStudio removed that too."
    else:
        yield "Whether a model asset or a voice belonged to it, and is left: it was not asked."


def _proof(found: Verified, certificate: dict[str, Any]) -> Iterator[str]:
    signature = certificate["signature"]
    if not signature and not found.origin:
        yield "Nobody signed it: by itself it proves nothing to others."
    if found.origin:
        yield (
            f"All receipts of its day ({found.size:,}) were signed together as one Merkle tree. The inclusion proof "
            "below shows that this receipt is among them, without showing any other."
        )
    else:
        yield "It has no inclusion proof: its day is not archived yet, or was archived without a key."
    yield "To verify this page with nothing but the public key: eraser receipts verify FILE --key receipts.pub"


def _hashes(found: Verified, certificate: dict[str, Any]) -> Iterator[tuple[str, str]]:
    line, signature = found.receipt, certificate["signature"]
    yield "Receipt", f"number {line['n']:,} of account {line['account']}"
    yield "Its hash", line["hash"]
    yield "Hash of the one before", line["prev"]
    if signature:
        yield "Signed by", f"{signature['algorithm']} key {signature['key']}"
        yield "Signature", signature["value"]
    if found.origin:
        yield "In the tree", f"{found.origin}, {count(found.size or 0, 'receipt')}"
