"""One receipt for people and programs: the stream's short names expanded, every field always present. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.ledger.receipts import ReceiptEntry

VERSION: Final = 1  # of the schema, since which receipts have these fields (see docs/upgrading.md)
_STORED: Final = {
    *("n", "ref", "s", "e", "c", "l", "by", "why", "run", "pol", "also", "at", "t", "r", "k"),
    *("st", "co", "x", "y", "as", "vo", "eb", "ew", "v"),
}
NUMBERS: Final = ("v", "n", "round", "attempts", "status")
FIELDS: Final = (
    *("v", "n", "account", "project_id", "kind", "id", "job_id", "state", "evidence", "cause"),
    *("requested_at", "finished_at", "requested_by", "reason", "run", "policy", "lane"),
    "claims",  # of other requesters
    *("finished_by", "finished_reason"),  # who cancelled or discarded it, and why
    *("round", "attempts"),  # DELETE calls in this round
    *("status", "code", "request_id"),  # of the last DELETE
    "look_request_id",  # of the lookup that found it gone
    *("asset_id", "voice_train_job_id"),
    "related",  # the documents do not say whether the DELETE removes those two as well
)
_CLAIM: Final = {"requested_by": "by", "reason": "why", "run": "run", "policy": "pol"}


def expand(account: str, entry: ReceiptEntry) -> dict[str, Any]:
    """A receipt with its full names, in the order of `FIELDS`. No floats, because programs in other languages hash
    it, too.

    A receipt has the version of the program that wrote its entry, whoever expands it: else two versions side by side
    would make two chains. What the next version adds follows as text, under the name that it has in the stream.
    """
    values = {name: value or None for name, value in entry.fields.items()}
    return {
        "v": entry.version,
        "n": entry.n,
        "account": account,
        "project_id": entry.ref.project_id,
        "kind": entry.ref.kind,
        "id": entry.ref.id,
        "job_id": entry.ref.job_id,
        "state": values["s"],
        "evidence": values["e"],
        "cause": values["c"],
        "requested_at": _time(values["at"]),
        "finished_at": _time(values["t"]),
        "requested_by": values["by"],
        "reason": values["why"],
        "run": values["run"],
        "policy": values["pol"],
        "lane": values["l"],
        "claims": [
            {name: claim.get(stored) for name, stored in _CLAIM.items()} for claim in json.loads(values["also"] or "[]")
        ],
        "finished_by": values["eb"],
        "finished_reason": values["ew"],
        "round": int(entry.fields["r"]),
        "attempts": int(entry.fields["k"]),
        "status": int(values["st"]) if values["st"] else None,
        "code": values["co"],
        "request_id": values["x"],
        "look_request_id": values["y"],
        "asset_id": values["as"],
        "voice_train_job_id": values["vo"],
        "related": "not checked" if values["as"] or values["vo"] else None,
        **{name: value for name, value in values.items() if name not in _STORED},
    }


def _time(ms: str | None) -> str | None:
    if ms is None:
        return None
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(ms))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
