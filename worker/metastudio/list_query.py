"""The filters and the sorting of a list of training jobs, and their form in the query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypedDict, Unpack

from worker.model.errors import UsageError
from worker.model.ids import why_bad_id

MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 2147483647
_STATE: Final = re.compile(r"[A-Z][A-Z_]{0,63}")
_SORT: Final[Mapping[str, tuple[str, ...]]] = {
    "sort_key": ("create_time", "update_time", "asset_order"),
    "sort_dir": ("asc", "desc"),
}
_TIMES: Final = ("create_since", "create_until", "update_since", "update_until")
_TEXTS: Final = ("name", "batch_name", "tag", "model_resolution", "train_location", "query_project_id")
_FLAGS: Final = ("is_flexus", "is_live_copy", "is_ondemand_resource")


class Filters(TypedDict, total=False):
    """The documented parameters; None and () mean "do not filter". Times need a time zone."""

    job_id: str | None
    states: Iterable[str]
    offset: int
    limit: int  # 1 to 100; the service's own default is 10, ours is 100
    sort_key: str | None
    sort_dir: str | None
    create_since: datetime | None
    create_until: datetime | None
    update_since: datetime | None
    update_until: datetime | None  # documented as ">=" like update_since; surely a copy error, so do not rely on it
    name: str | None
    batch_name: str | None
    tag: str | None
    model_resolution: str | None
    train_location: str | None
    query_project_id: str | None
    is_flexus: bool | None
    is_live_copy: bool | None
    is_ondemand_resource: bool | None


def query_of(**filters: Unpack[Filters]) -> list[tuple[str, str]]:
    """The pairs of the query, not yet encoded. Raises `UsageError` for anything that the service could misread."""
    given: Mapping[str, Any] = filters
    unknown = sorted(set(given) - set(Filters.__annotations__))
    if unknown:
        raise UsageError(
            f"a list has no filter {unknown[0]!r}; use one of {', '.join(sorted(Filters.__annotations__))}"
        )
    pairs = [
        ("offset", _number("offset", given.get("offset", 0), 0, MAX_OFFSET)),
        ("limit", _number("limit", given.get("limit", MAX_LIMIT), 1, MAX_LIMIT)),
    ]
    states = _states(given.get("states", ()))
    if states:
        pairs.append(("state", states))
    for name, value in given.items():
        if value is None or name in ("offset", "limit", "states"):
            continue
        if name == "job_id":
            pairs.append((name, _job_id(value)))
        elif name in _SORT:
            pairs.append((name, _one_of(name, value, _SORT[name])))
        elif name in _TIMES:
            pairs.append((name, _time(name, value)))
        elif name in _FLAGS:
            pairs.append((name, "true" if value else "false"))
        elif name in _TEXTS:
            pairs.append((name, _text(name, value)))
    return pairs


def _number(name: str, value: object, least: int, most: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return str(value)
    raise UsageError(f"{name}: use a whole number from {least} to {most}; found {value!r}")


def _states(states: Iterable[str]) -> str:
    names = (states,) if isinstance(states, str) else tuple(states)
    for name in names:
        if not _STATE.fullmatch(name):
            raise UsageError(f"states: a state is capital letters and '_'; found {name!r}")
    return ",".join(names)


def _job_id(value: object) -> str:
    why = why_bad_id(value)
    if why:
        raise UsageError(why)
    return str(value)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    if value in allowed:
        return str(value)
    raise UsageError(f"{name}: use one of {', '.join(allowed)}; found {value!r}")


def _time(name: str, value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise UsageError(f"{name}: use a datetime with a time zone; found {value!r}")


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value.isprintable() and len(value) <= 256:
        return value
    raise UsageError(f"{name}: use at most 256 printable characters")
