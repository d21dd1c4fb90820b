"""The part of the OpenAPI document about what a deleted job leaves behind."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from worker.model.erasure import Inventory, PartEvidence, Verdict
from worker.model.target import PARTS

_TEXT: Final = {"type": ["string", "null"]}
_WHEN: Final = {**_TEXT, "format": "date-time"}


def _one_of(kind: type[StrEnum], text: str) -> dict[str, Any]:
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
ERASURE: Final[dict[str, Any]] = {
    "erasure": _one_of(Verdict, "What became of all that the job left behind; null: nobody looks."),
    "inventory": _one_of(Inventory, "Whether it is known what belonged to the job."),
    "related": {
        "type": ["array", "string", "null"],
        "description": "Each part; in a receipt without an erasure `not checked`, where the job named one.",
        "items": {"type": "object", "properties": _PART, "required": [*_PART]},
    },
}
