"""What stands in Redis as values of ours, or what to take it for where somebody has written something else there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def loaded(response: bytes) -> Any:
    """What a script answered as JSON; names that other hands wrote may be anything."""
    return json.loads(response.decode(errors="replace"))


def texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash as text, whatever is in it."""
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw.items()}


def number(text: Any) -> float | None:
    """A finite number, or None for what is none."""
    try:
        found = float(text)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def whole(text: Any, otherwise: int = 0) -> int:
    """A whole number, or the other one."""
    found = number(text)
    return otherwise if found is None else int(found)


def entries(text: Any) -> list[dict[str, Any]]:
    """A JSON list of objects; what is none of them is left out."""
    return [one for one in _json(text) or () if isinstance(one, dict)]


def fields(text: Any) -> dict[str, Any]:
    """A JSON object; an empty one for what is none."""
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None
