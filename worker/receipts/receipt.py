"""One receipt for people and programs: the stream's short names expanded, every field always present. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from worker.ledger.receipts import ReceiptEntry
from worker.model.erasure import part_json
from worker.model.moments import rfc3339
from worker.model.target import Target
from worker.receipts.commitments import COMMITTED, NAMES, OF_CLAIMS, committed

VERSION: Final = 2  # of the schema, since which receipts have these fields (see docs/upgrading.md)
NUMBERS: Final = ("v", "n", "round", "attempts", "status")
_STREAM: Final = {  # name -> its short name in the stream, as `lua/_receipt.lua` writes it
    "state": "s",
    "evidence": "e",
    "cause": "c",
    "requested_at": "at",
    "finished_at": "t",
    "requested_by": "by",
    "reason": "why",
    "run": "run",
    "policy": "pol",
    "lane": "l",
    "claims": "also",  # of other requesters
    "finished_by": "eb",  # who cancelled, discarded, restored or released it
    "finished_reason": "ew",
    "round": "r",
    "attempts": "k",  # DELETE calls in this round
    "status": "st",  # of the last DELETE, like the next two
    "code": "co",
    "request_id": "x",
    "look_request_id": "y",  # of the lookup that found it gone
    "asset_id": "as",
    "voice_train_job_id": "vo",
}
_CLAIM: Final = {"requested_by": "by", "reason": "why", "run": "run", "policy": "pol"}
EVENTS: Final = ("restored", "released", "hold_ended", "came_back", "gone_again", "verified")  # of what is no end
_SINCE_2: Final = {  # the same, of what version 2 added
    "event": "ev",  # one of `EVENTS`; null: it has ended so
    "sent": "se",  # yes, no or perhaps: whether a DELETE was sent, in any round
    "recorded_at": "t",  # when this receipt was written: of a later one after `finished_at`
    "erasure": "er",  # the verdict on what the job left behind; null: nobody looked
    "inventory": "iv",  # whether it was known what belonged to the job
}
# `related`: what became of each part (see `worker.model.erasure`). Without an erasure nobody looked: "not checked"
FIELDS: Final = ("v", "n", "account", "project_id", "kind", "id", "job_id", *_STREAM, "related", *_SINCE_2)
_KNOWN: Final = {"n", "ref", "v", "salt", *_STREAM.values(), *_SINCE_2.values(), "f", "pa", "kept"}


def expand(account: str, entry: ReceiptEntry) -> dict[str, Any]:
    """A receipt with its full names, in the order of `FIELDS`. No floats, because programs in other languages hash
    it, too.

    A receipt has the version of the program that wrote its entry, whoever expands it: else two versions side by side
    would make two chains. What the next version adds follows as text, under the name that it has in the stream.
    """
    ref, values = entry.ref, {name: _read(name, entry.fields[short] or None) for name, short in _STREAM.items()}
    about = (entry.version, entry.n, account, ref.project_id, ref.kind, ref.id, ref.job_id)
    related = "not checked" if values["asset_id"] or values["voice_train_job_id"] else None
    receipt = dict(zip(FIELDS, (*about, *values.values(), related), strict=False))
    if entry.version > 1:
        receipt |= {name: _read(name, entry.fields[short] or None) for name, short in _SINCE_2.items()}
        if receipt["erasure"]:
            receipt["related"] = [part_json(part) for part in json.loads(entry.fields["pa"] or "[]")]
        if entry.fields["f"]:
            receipt["finished_at"] = rfc3339(int(entry.fields["f"]))
    return receipt | {short: text or None for short, text in entry.fields.items() if short not in _KNOWN}


def sealable(account: str, entry: ReceiptEntry) -> dict[str, Any]:
    """A receipt as it enters the chain: with commitments to its texts. One of schema version 1 has none.

    One that was redacted has those that it had, and the salts of the texts that are left.
    """
    receipt = expand(account, entry)
    if kept := entry.fields.get("kept"):
        names: dict[str, Any] = json.loads(kept)
        return receipt | names
    return committed(receipt, f"{entry.fields['salt']} {entry.n}") if entry.version > 1 else receipt


def target_of(line: dict[str, Any]) -> Target:
    """What a receipt is about."""
    return Target(line["project_id"], line["id"], line["kind"])


def redacted_fields(entry: ReceiptEntry, line: dict[str, Any]) -> dict[str, str]:
    """The stream's fields of a receipt whose texts were redacted, as `line` has it. `kept`: its commitments, and the
    salts that are left; the secret that all of them were made of goes."""
    fields = entry.fields | {_STREAM[name]: line[name] or "" for name in COMMITTED}
    if entry.fields[_STREAM["claims"]]:
        claims = json.loads(entry.fields[_STREAM["claims"]])
        for stored, claim in zip(claims, line["claims"], strict=True):
            stored |= {_CLAIM[name]: claim[name] for name in OF_CLAIMS}
        fields[_STREAM["claims"]] = json.dumps(claims, separators=(",", ":"))
    return fields | {"salt": "", "kept": json.dumps({name: line[name] for name in NAMES}, separators=(",", ":"))}


def _read(name: str, text: str | None) -> Any:
    if name == "claims":
        claims = json.loads(text or "[]")
        return [{field: claim.get(short) for field, short in _CLAIM.items()} for claim in claims]
    if text is None:
        return None
    if name in NUMBERS:
        return int(text)
    return rfc3339(int(text)) if name.endswith("_at") else text
