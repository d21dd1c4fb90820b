"""What stands in Redis as values of ours, or what to take it for where somebody has written something else there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from dataclasses import fields as fields_of
from functools import cache
from typing import Any, Generic, TypeVar

from worker.model.states import Lane, State
from worker.model.target import Target

_T = TypeVar("_T")


def loaded(response: bytes) -> Any:
    """What a script answered as JSON; names that another program wrote may be anything."""
    return json.loads(response.decode(errors="replace"))


def texts(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash as text, whatever is in it."""
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw.items()}


def names(raw: Iterable[bytes]) -> list[str]:
    """Members as text, whatever they are."""
    return [name.decode(errors="replace") for name in raw]


def targets(raw: Iterable[bytes]) -> list[Target]:
    """Members that are refs."""
    return [Target.parse(name) for name in names(raw)]


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


def numbers(text: Any) -> tuple[float, ...]:
    """A JSON list of numbers; what is none of them is left out."""
    found = _json(text)
    read = map(number, found) if isinstance(found, list) else ()
    return tuple(one for one in read if one is not None)


def is_list(text: Any) -> bool:
    """Whether it is a JSON list of objects."""
    found = _json(text)
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)


def fields(text: Any) -> dict[str, Any]:
    """A JSON object; an empty one for what is none."""
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def state(text: Any) -> State | None:
    """A state of ours, or None for what is none."""
    return State(text) if text in tuple(State) else None


def _counts(text: Any) -> dict[str, int]:
    return {name: whole(many) for name, many in (text if isinstance(text, dict) else fields(text)).items()}


# how a field is read, by its annotation; None: there is nothing that it could be
_READERS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "str | None": str,
    "int": lambda text: None if number(text) is None else whole(text),
    "int | None": whole,
    "float": number,
    "float | None": number,
    "bool": lambda text: text in (True, "1"),
    "Lane": Lane,
    "State | None": state,
    "dict[str, int]": _counts,
    "tuple[str, ...]": tuple,
}
_NOTHING = {"str": "?", "int": 0, "float": 0.0, "bool": False}


class Shape(Generic[_T]):
    """How a dataclass is read from a hash, or from what a script answered.

    stored: the name under which a field stands there, where it is not its own; `None`: `read` is told it.
    """

    def __init__(self, kind: Callable[..., _T], /, **stored: str | None) -> None:
        self._kind = kind
        self._defaults: dict[str, Any] = {}
        self._readers: dict[str, tuple[str, Callable[[Any], Any]]] = {}  # by what is stored: the field, how it is read
        for one in fields_of(kind):  # type: ignore[arg-type]
            name = stored.get(one.name, one.name)
            if name is not None and one.type in _READERS:
                self._defaults[one.name] = _NOTHING.get(one.type) if one.default is MISSING else one.default
                self._readers[name] = one.name, _READERS[one.type]
        self.stored = tuple(self._readers)

    def read(self, found: Mapping[str, Any], **given: Any) -> _T:
        """The dataclass, with what is given beside what was found; what is not there has its default."""
        fields = dict(self._defaults)
        for stored, value in found.items():
            if stored not in self._readers or value is None or value is False or value == "":
                continue
            name, reader = self._readers[stored]
            read = reader(value)
            if read is not None:
                fields[name] = read
        return self._kind(**fields | given)


@cache
def _names_of(kind: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields_of(kind))


_PLAIN = (str, bool, float, int)


def as_options(terms: Any) -> dict[str, Any]:
    """A dataclass as a script takes it: every field that says something, by its name."""
    found = ((name, getattr(terms, name)) for name in _names_of(terms.__class__))
    return {name: _option(value) for name, value in found if value is not None and value is not False}


def _option(value: Any) -> Any:
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, Target):
        return str(value)
    return as_options(value) if hasattr(value, "__dataclass_fields__") else value
