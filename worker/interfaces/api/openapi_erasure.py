"""The parts of the OpenAPI document about what a deleted job leaves behind, and about what is archived."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from worker.model.erasure import Inventory, PartEvidence, Verdict
from worker.model.target import PARTS

Data = dict[str, Any]

_TEXT: Final = {"type": ["string", "null"]}
_WHEN: Final = {**_TEXT, "format": "date-time"}


def _one_of(kind: type[StrEnum], text: str) -> Data:
    return {"enum": [*kind, None], "description": text}


_PART: Final = {
    "part": {"enum": [*PARTS]},
    "id": {"type": "string"},
    "project_id": {"type": "string"},
    "before": _TEXT | {"description": "Its state before the job's DELETE."},
    "after": _TEXT | {"description": "Its state at the last look; null: it was not there."},
    "removed_by": {"enum": ["service", "us", "operator", None]},
    "evidence": {"enum": [*PartEvidence]},
    "calls": {"type": "integer"},
    "verified_at": {"type": "array", "items": {"type": "string", "format": "date-time"}},
    "due": _WHEN | {"description": "Of one in the recycle bin: when it is looked at again."},
}
ERASURE: Final[Data] = {
    "erasure": _one_of(Verdict, "What became of all that the job left behind; null: nobody looks."),
    "inventory": _one_of(Inventory, "Whether it is known what belonged to the job."),
    "related": {
        "type": ["array", "string", "null"],
        "description": "Each part; in a receipt without an erasure `not checked`, where the job named one.",
        "items": {"type": "object", "properties": _PART, "required": [*_PART]},
    },
}
_NUMBER: Final = {"type": ["integer", "null"]}
_ARCHIVED: Final = {
    "receipt": {"type": "integer", "description": "The number of the receipt that has the rest."},
    "file": _TEXT | {"description": "The archive's file in which it was found."},
    "problem": _TEXT | {"description": "Why it was not found."},
    "attempts": _NUMBER | {"description": "DELETE calls of the last round; status and code are the last one's."},
    "status": _NUMBER,
    **dict.fromkeys(("code", "request_id", "look_request_id", "finished_by", "finished_reason"), _TEXT),
}
ARCHIVED: Final[Data] = {
    "type": ["object", "null"],
    "description": "Its record has left the ledger; null: it is there.",
    "properties": _ARCHIVED,
    "required": [*_ARCHIVED],
}


def _schema(name: str) -> Data:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(description: str, schema: Data) -> Data:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def act_paths(parameters: list[Data], wrong: Data) -> Data:
    """The acts on what a job left behind. wrong: the refusals."""

    def act(verb: str, summary: str, status: str, text: str) -> Data:
        body = {"required": True, "content": {"application/json": {"schema": _schema("Act")}}}
        planned = {"200": _content("Each part, and what is left alone, with why.", _schema("PartsPlan"))}
        done = {status: _content(text, _schema("PartsDone"))}
        return {
            "parameters": parameters,
            "get": {
                "operationId": f"{verb}Plan",
                "summary": f"What the same as a POST would {verb}. Scope `read`.",
                "responses": planned | wrong,
            },
            "post": {
                "operationId": f"{verb}Related",
                "summary": f"{summary} Scope `operate`.",
                "requestBody": body,
                "responses": done | wrong,
            },
        }

    accepted, answered = "Asked for: workers look once more, then delete.", "What became of each part."
    one = "/api/projects/{project_id}/deletions/{job_id}/related"
    return {
        f"{one}/erase": act("erase", "Delete what the job left and is provably its own.", "202", accepted),
        f"{one}/restore": act("restore", "Take what the job left out of the recycle bin.", "200", answered),
    }


def act_schemas(target: Data, texts: Data) -> Data:
    """What an act is sent and answers. target: how a thing is named; texts: of a reason, and of an app user."""
    target = target | {"project_id": _TEXT}
    named = [name for name in target if name != "job_id"]
    skipped = {**target, "part": _TEXT, "part_id": _TEXT, "skip_reason": {"type": "string"}}
    result = {**target, "result": _TEXT, "done": {"type": "boolean"}, "detail": {"type": "string"}}

    def each(properties: Data, required: list[str]) -> Data:
        return {"type": "array", "items": {"type": "object", "properties": properties, "required": required}}

    planned = each(target, named)
    plans = {"will_be_erased": planned, "will_be_restored": planned, "skipped": each(skipped, [*named, "skip_reason"])}
    counts = {"jobs": {"type": "integer"}, "cap": {"type": "integer"}, "over_cap": {"type": "boolean"}}
    return {
        "Act": {"type": "object", "properties": texts, "required": ["reason"], "additionalProperties": False},
        "PartsPlan": {"type": "object", "properties": plans | counts, "required": ["skipped", *counts]},
        "PartsDone": {
            "type": "object",
            "properties": {"results": each(result, [*named, "result", "done", "detail"])},
            "required": ["results"],
        },
    }
