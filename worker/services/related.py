"""What deleted jobs left behind, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.erasures import ErasureRow, erasures
from worker.model.erasure import PartEvidence
from worker.services.show import erasure_json
from worker.services.times import rfc3339

EVIDENCE = {
    PartEvidence.PURGED: "gone: MetaStudio says that its files are deleted",
    PartEvidence.ABSENT_SEEN_BEFORE: "gone: it was there before, and twice no more",
    PartEvidence.ABSENT_NEVER_SEEN: "absent: the job named it, and nobody ever saw it",
    PartEvidence.IN_BIN: "in the recycle bin: it can still be restored",
    PartEvidence.ACKNOWLEDGED: "our DELETE was confirmed, and no look has shown its end yet",
    PartEvidence.KEPT: "still there",
    PartEvidence.REFUSED: "still there: its deletion failed",
    PartEvidence.BLOCKED: "still there: MetaStudio froze it",
    PartEvidence.FOREIGN: "of another project: not touched",
    PartEvidence.NOT_VISIBLE: "not known: this key sees nothing of its kind",
    PartEvidence.NOT_PERMITTED: "not known: this key may not ask",
    PartEvidence.UNKNOWN: "not known yet",
}


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
        words = EVIDENCE[PartEvidence(evidence)] if evidence in tuple(PartEvidence) else "not known"
        yield f"{part.get('part')} {part.get('id')}: {words}"
