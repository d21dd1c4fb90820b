"""The part of the OpenAPI document about lists: the GET of a project's deletions, by filters or since a cursor."""

from __future__ import annotations

from typing import Any

from worker.interfaces.api.list_query import FEED, FILTERS
from worker.interfaces.api.request_schema import MOST
from worker.model.erasure import Verdict
from worker.model.states import State, WaitingFor
from worker.model.target import KINDS
from worker.services.filters import ALL, GROUP, ORDERS
from worker.services.listing import LOOKED_AT

Data = dict[str, Any]

_TEXT = {"type": "string", "minLength": 1}
_STATE = f"({'|'.join(State)})"
_ABOUT = f"""\
With any filter (`state={ALL}` is one), `order` or `cursor`: a list, page by page. A page looks at {LOOKED_AT:,}
deletions at most, so one with few items, or none, may still have a `cursor`: continue until it is null. Whatever
happens between, no deletion that stays as it is comes twice or is left out. Records that were archived are not listed.

Without filters: what has ended since the cursor, oldest first: receipts (deleted, gone, cancelled or discarded), and
dead letters, which wait for an operator and have no receipt: their `n` is null."""
_SCHEMAS: Data = {
    "state": {"type": "string", "pattern": f"^({ALL}|{_STATE}(,{_STATE})*)$", "example": "pending,held"},
    "waiting_for": {"enum": [*WaitingFor]},
    "kind": {"enum": KINDS},
    "erasure": {"enum": [*Verdict]},
    "group": {"type": "string", "pattern": f"^{GROUP.pattern}$"},
    "since": _TEXT | {"example": "24h"},
    "order": {"enum": [*ORDERS]},
}
_OTHERS: Data = {
    "cursor": (_TEXT, "The cursor of the last answer: the next page of the same list."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": MOST, "default": 100}, "At most so many."),
    FEED: ({"type": "string"}, "Without filters: the cursor of the last answer. Empty: from the oldest receipt kept."),
}
_ONLY_SHOWN = ("archived", "attempts", "claims", "events", "inventory", "related")  # of one deletion


def list_operation(schema: Data, wrong: Data) -> Data:
    """The GET. schema: of its answer."""
    every = {name: (_SCHEMAS.get(name, _TEXT), text) for name, text in FILTERS.items()} | _OTHERS
    return {
        "operationId": "deletions",
        "summary": "Deletions by state and filters, or what has finished since a cursor. Scope `read`.",
        "description": _ABOUT,
        "parameters": [
            {"name": name, "in": "query", "schema": each, "required": False, "description": text}
            for name, (each, text) in every.items()
        ],
        "responses": {"200": {"description": "A page.", "content": {"application/json": {"schema": schema}}}, **wrong},
    }


def listed(deletion: Data) -> Data:
    """The schema of a page of a list. deletion: of one."""
    row = {name: schema for name, schema in deletion["properties"].items() if name not in _ONLY_SHOWN}
    row |= {"status": {"type": ["integer", "null"]}, "code": {"type": ["string", "null"]}}
    items = {"type": "object", "properties": row, "required": [name for name in row if name != "job_id"]}
    page: Data = {
        "items": {"type": "array", "items": items},
        "cursor": {"type": ["string", "null"], "description": "Where to continue; null: at the end."},
        "more": {"type": "boolean", "description": "Whether there is a cursor."},
        "looked_at": {"type": "integer", "minimum": 0, "description": "Deletions that this page looked at."},
    }
    return {"type": "object", "properties": page, "required": [*page], "additionalProperties": False}
