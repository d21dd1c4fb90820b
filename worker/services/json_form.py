"""Records as JSON, the same for the command line, the console and the API: each field under its own name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from worker.model.target import Target
from worker.services.times import rfc3339

# Fields that hold ms since 1970, besides every `…_at`.
_TIMES = frozenset(
    ("at", "since", "until", "last", "slot", "started", "first_seen", "last_seen", "last_replay", "oldest_deadline")
)


def as_json(record: Any, *names: str, but: tuple[str, ...] = (), **renamed: str) -> dict[str, Any]:
    """Its fields (or these, which may be properties), without `but`: times in RFC 3339, a `Target` as project,
    kind and id, records within it likewise. renamed: fields that have another name in JSON, by that name.
    """
    left_out = {*but, *renamed.values()}
    chosen = names or [field.name for field in fields(record) if field.name not in left_out]
    made: dict[str, Any] = {}
    for name, field in {**{name: name for name in chosen}, **renamed}.items():
        value = getattr(record, field)
        if name == "ref":
            made |= _target(value)
        else:
            made[name] = rfc3339(value) if name.endswith("_at") or name in _TIMES else _plain(value)
    return made


def names(record: type, but: tuple[str, ...] = ()) -> list[str]:
    """The names that `as_json` gives the fields of such a record, without `but`."""
    chosen = [field.name for field in fields(record) if field.name not in but]
    return [name for field in chosen for name in (_target(None) if field == "ref" else (field,))]


def _target(target: Target | None) -> dict[str, Any]:
    if target is None:
        return dict.fromkeys(("project_id", "kind", "id", "job_id"))
    return {"project_id": target.project_id, **target.as_json()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return as_json(value) if is_dataclass(value) else value
