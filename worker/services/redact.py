"""Takes texts of who and why, which should never have been written, out of what is stored of a few deletions.

The texts are those of the deletions that are named; they go from their records, from their receipts in Redis and in the
files of days, and from the acts of the audit that say the same. Names of runs stay: they are how a run is found. The
word by which an erasure finds what it asked for itself stays, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit import AuditEntry
from worker.ledger.receipts import Receipts
from worker.ledger.types import BY_ERASURE
from worker.model.errors import UsageError
from worker.model.target import Target
from worker.receipts import commitments, redaction
from worker.receipts.dayfiles import DayFiles
from worker.receipts.receipt import sealable, target_of
from worker.services.act import Approval, Plan, select
from worker.services.labels import count

MARK = "redacted"  # see `lua/redact_record.lua`


class What(StrEnum):
    """Which texts go."""

    REASON = "reason"
    REQUESTER = "requester"
    BOTH = "both"


_PLACES = {What.REASON: ("reason",), What.REQUESTER: ("by",), What.BOTH: ("reason", "by")}
_FIELDS = {What.REASON: ("why",), What.REQUESTER: ("by",), What.BOTH: ("why", "by")}


@dataclass(frozen=True, slots=True)
class Found:
    """What would be redacted: deletions of one account, their texts, and where these stand."""

    account: str
    refs: tuple[Target, ...]
    texts: frozenset[str]
    acts: tuple[str, ...]
    receipts: int


@dataclass(slots=True)
class Redacted:
    """What was redacted: records, receipts and acts. kept: receipts of schema version 1, which cannot be."""

    records: int = 0
    receipts: int = 0
    acts: int = 0
    kept: int = 0


def find(app: AppContext, project: str, job_ids: Iterable[str], what: What) -> Found:
    """The texts of these deletions and where they stand. Raises `UsageError` for an invalid id."""
    refs, bad = select(project, job_ids)
    if bad:
        raise UsageError(f"{bad[0].target.name[:64]!r}: {bad[0].text}")
    account = app.home_of(project)
    texts = _of_records(app, account, refs, what)
    receipts = [line for line in _receipts(app, account) if target_of(line) in refs]
    for line in receipts:
        texts |= {text for place, text in commitments.texts(line).items() if place.endswith(_PLACES[what])}
    texts -= {MARK, BY_ERASURE}
    acts = tuple(entry.id for entry in app.audit(account).newest() if _says(entry, texts))
    holding = sum(not texts.isdisjoint(commitments.texts(line).values()) for line in receipts)
    return Found(account, tuple(refs), frozenset(texts), acts, holding)


def plan(found: Found, what: What) -> Plan:
    """For people and programs: numbers only, never a text."""
    fields = {"what": what.value, "deletions": len(found.refs), "texts": len(found.texts)}
    fields |= {"receipts": found.receipts, "acts": len(found.acts)}
    numbers = {
        "different texts": len(found.texts),
        "receipts that have one": found.receipts,
        "acts of the audit that have one": len(found.acts),
    }
    remarks = ["this cannot be undone; copies that were exported, backups and logs elsewhere still have them"]
    return Plan(f"redact {what} of {count(len(found.refs), 'deletion')}", numbers, remarks, fields)


def redact(app: AppContext, found: Found, approval: Approval) -> Redacted:
    """Do it. Raises `RefusedBySafetyRule` for a plan that was not confirmed."""
    approval.check(len(found.refs), "deletion")
    ledger, refs = app.ledger(found.account), set(found.refs)
    who = approval.who(approval.action(count=len(found.refs)))
    done = Redacted(acts=len(found.acts))
    results = ledger.redact(found.refs, texts=found.texts, acts=found.acts, **who)
    done.records = sum(result == MARK for _, result in results)

    def wanted(line: dict[str, Any], _: str, text: str) -> bool:
        return text in found.texts and target_of(line) in refs

    receipts = redaction.redact(ledger, app.receipts_dir, wanted)
    done.receipts, done.kept = receipts.in_redis + receipts.in_files, receipts.kept
    return done


def _of_records(app: AppContext, account: str, refs: Iterable[Target], what: What) -> set[str]:
    texts: set[str | None] = set()
    for ref in refs:
        deletion = app.queries(account).show(ref)
        if deletion is None or deletion.archived:
            continue
        events = [event.fields for event in deletion.events]
        over = [
            claim for event in events for claim in event.get("claims") or ()
        ]  # given up, or met in an earlier round
        first = {"why": deletion.reason, "by": deletion.requested_by}
        for claim in (first, *deletion.claims, *events, *over):
            texts |= {claim.get(name) for name in _FIELDS[what]}
    return {text for text in texts if isinstance(text, str)}


def _receipts(app: AppContext, account: str) -> Iterable[dict[str, Any]]:
    receipts = Receipts(app.redis, account, app.keys)
    if app.receipts_dir is not None:
        yield from DayFiles(app.receipts_dir, account).lines(1)
    for entry in receipts.each(receipts.progress().archived.id):
        yield sealable(account, entry)


def _says(entry: AuditEntry, texts: Collection[str]) -> bool:
    return entry.reason in texts or entry.by in texts
