"""A deletion whose record has left Redis: the rest is found in the archive, and what is not kept there is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from worker.execution.app_context import AppContext
from worker.ledger.archived import Archived
from worker.ledger.erasures import ErasureRecord
from worker.ledger.records import Deletion
from worker.model.erasure import Inventory, Verdict
from worker.model.moments import ms_of
from worker.model.target import Target
from worker.receipts import lookup
from worker.receipts.dayfiles import DayFiles, DayFileWrong, named
from worker.receipts.receipt import target_of

NOT_KEPT: Final = "its calls and looks one by one, its deadline"
_AS_NAMED: Final = (
    *("reason", "requested_by", "run", "cause", "evidence", "lane", "status", "code"),
    *("asset_id", "voice_train_job_id"),
)
_FACTS: Final = ("attempts", "status", "code", "request_id", "look_request_id", "finished_by", "finished_reason")


def with_the_rest(app: AppContext, d: Deletion) -> Deletion:
    """The same with what its receipt says, or why that was not found."""
    if d.archived is None:
        return d
    found = _found(app, d.account, d.ref, d.archived)
    line = found.line
    if line is None:
        return replace(d, archived=found)
    fields: dict[str, Any] = {name: line[name] for name in _AS_NAMED}
    return replace(
        d,
        **fields,
        requested_at=float(ms_of(line["requested_at"])),
        finished_at=float(ms_of(line["finished_at"])),
        claims=tuple(_claim(claim) for claim in line["claims"]),
        whole=_erasure(d.ref, line),
        archived=found,
    )


def _found(app: AppContext, account: str, ref: Target, mark: Archived) -> Archived:
    if app.receipts_dir is None:
        where = "the files of the workers: set ERASER_RECEIPTS_DIR to their directory"
        return replace(mark, problem=f"the rest is in receipt {mark.receipt:,}, in {where}")
    files = DayFiles(app.receipts_dir, mark.account or account)
    try:
        filed = lookup.numbered(files, mark.receipt)
        if target_of(filed.line) != ref:
            raise DayFileWrong(f"{named(filed.path)}: receipt {mark.receipt:,} is another one's")
    except (DayFileWrong, OSError) as error:
        lost = "the archive was lost or damaged, or this is another directory than the workers'"
        why = error if isinstance(error, DayFileWrong) else f"the files of receipts: {error.strerror}"
        return replace(mark, problem=f"the rest was not found: {why}. Bring the files back: {lost}")
    return replace(mark, line=filed.line, file=filed.path.name)


def as_json(archived: Archived | None) -> dict[str, Any] | None:
    """Where the rest was found or should be, and what its receipt says of the last call."""
    if archived is None:
        return None
    line = archived.line or {}
    return {"receipt": archived.receipt, "file": archived.file, "problem": archived.problem} | {
        name: line.get(name) for name in _FACTS
    }


def in_words(archived: Archived) -> str:
    """`receipt 12 of 2026-11-21; not kept: …`"""
    if archived.problem:
        return archived.problem
    day = str(archived.file).partition(".")[0]
    return f"receipt {archived.receipt:,} of {day} has what is shown here; not kept: {NOT_KEPT}"


def _claim(claim: dict[str, Any]) -> dict[str, Any]:
    return {"by": claim["requested_by"], "why": claim["reason"], "run": claim["run"]}


def _erasure(job: Target, line: dict[str, Any]) -> ErasureRecord | None:
    if not line.get("erasure"):
        return None
    parts = tuple(_stored(part) for part in line["related"])
    return ErasureRecord(job, None, Inventory(line["inventory"] or "none"), Verdict(line["erasure"]), parts)


def _stored(part: dict[str, Any]) -> dict[str, Any]:
    """A part as the ledger had it, as far as its receipt says."""
    due = part["due"] and ms_of(part["due"])
    return part | {"verified_at": [ms_of(at) for at in part["verified_at"]], "due": due}
