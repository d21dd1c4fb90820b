"""The filters and the sorting of a list of training jobs, and their form in the query."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from worker.model.errors import UsageError
from worker.model.ids import why_bad_id

MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 2147483647
_STATE: Final = re.compile(r"[A-Z][A-Z_]{0,63}")


def query_of(**filters: Any) -> list[tuple[str, str]]:
    """The pairs of the query, not yet encoded; None and () mean "do not filter".

    Raises `UsageError` for anything that the service could misread.
    """
    if unknown := sorted(filters.keys() - FILTERS.keys()):
        raise UsageError(f"a list has no filter {unknown[0]!r}; use one of {', '.join(sorted(FILTERS))}")
    given = {"offset": 0, "limit": MAX_LIMIT} | {
        name: value for name, value in filters.items() if value is not None or name in ("offset", "limit")
    }
    pairs = [("state" if name == "states" else name, FILTERS[name](name, value)) for name, value in given.items()]
    return [(name, text) for name, text in pairs if name != "state" or text]


def _number(least: int, most: int) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return str(value)
        raise UsageError(f"{name}: use a whole number from {least} to {most}; found {value!r}")

    return check


def _states(name: str, states: Iterable[str]) -> str:
    names = (states,) if isinstance(states, str) else tuple(states)
    for state in names:
        if not _STATE.fullmatch(state):
            raise UsageError(f"{name}: a state is capital letters and '_'; found {state!r}")
    return ",".join(names)


def _id(_: str, value: object) -> str:
    if why := why_bad_id(value):
        raise UsageError(why)
    return str(value)


def _one_of(*allowed: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if value in allowed:
            return str(value)
        raise UsageError(f"{name}: use one of {', '.join(allowed)}; found {value!r}")

    return check


def _time(name: str, value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise UsageError(f"{name}: use a datetime with a time zone; found {value!r}")


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value.isprintable() and len(value) <= 256:
        return value
    raise UsageError(f"{name}: use at most 256 printable characters")


def _flag(_: str, value: object) -> str:
    return "true" if value else "false"


_TIMES: Final = ("create_since", "create_until", "update_since", "update_until")
_TEXTS: Final = ("name", "batch_name", "tag", "model_resolution", "train_location", "query_project_id")
FILTERS: Final[Mapping[str, Callable[[str, Any], str]]] = {
    "offset": _number(0, MAX_OFFSET),
    "limit": _number(1, MAX_LIMIT),  # the service's own default is 10
    "states": _states,
    "job_id": _id,
    "sort_key": _one_of("create_time", "update_time", "asset_order"),
    "sort_dir": _one_of("asc", "desc"),
    **dict.fromkeys(_TIMES, _time),  # update_until is documented as ">=": surely a copy error, so do not rely on it
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(("is_flexus", "is_live_copy", "is_ondemand_resource"), _flag),
}
"""The documented parameters, and what each may be."""
