"""The pieces of which the API's description is made."""

from __future__ import annotations

from typing import Any

from worker.model.ids import ID
from worker.model.states import State

Data = dict[str, Any]


JOB_ID = {"type": "string", "pattern": f"^{ID.pattern}$", "example": "26f06524-4f75-4b3a-a853-b649a21aaf66"}


OPAQUE = {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._:/#-]{0,63}$"}


REASON = {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z ._:;,/#()-]{0,63}$", "example": "TICKET-4711"}


DURATION = {"type": "string", "example": "24h", "description": "A number and s, m, h or d; fractions are allowed."}


MOMENT = {"type": "string", "format": "date-time", "example": "2026-12-01T00:00:00Z"}


WHEN = {"type": ["string", "null"], "format": "date-time"}


TEXT = {"type": ["string", "null"]}


STATE = {"type": "string", "enum": [state.value for state in State]}


NUMBER = {"type": ["integer", "null"]}


def as_json(schema: Data) -> Data:
    return {"content": {"application/json": {"schema": schema}}}


def ref(name: str) -> Data:
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(**properties: Data) -> Data:
    return {"type": "object", "required": list(properties), "properties": properties}


def each(items: Data, text: str) -> Data:
    return {"type": "array", "items": items, "description": text}
