"""One reader for all TOML: it turns a table into checked values, and every error names file, line, table and key, and
says what to write instead.

A key has a reader: it takes the value and the key, and returns what the program uses, or raises `UsageError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from worker.config.files import path_named
from worker.config.problems import Problems
from worker.config.toml import Place, Toml
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id

Reader = Callable[[Any, str], Any]

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
A_NAME: Final = "1 to 32 lower-case letters, digits or -, not beginning with -"

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")  # upper case only: a pasted secret key is mixed
_MISSING: Final = object()
_TEXT = 'a text: {key} = "…"'


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` with the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


# -- readers -----------------------------------------------------------------------------------------------------------


def reader(
    expected: str,
    fits: Callable[[Any], object],
    convert: Callable[[Any], Any] = lambda value: value,
    *,
    secret: bool = False,
) -> Reader:
    """Reads values that fit; `expected` says what to write, and may name the key. secret: never repeat the value."""

    def read(value: Any, key: str) -> Any:
        if not fits(value):
            found = "" if secret else "; it is missing" if value is _MISSING else f"; found {value!r}"
            raise UsageError(f"expected {expected.format(key=key)}{found}")
        return convert(value)

    return read


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def number(expected: str, most: float, kind: type[float]) -> Reader:
    """A number of this kind above 0."""
    expected += f", above 0 and at most {most:,}, without quotes"
    return reader(expected, lambda value: type(value) in (int, kind) and 0 < value <= most, kind)


def checked(check: Callable[[str], Any], expected: str = _TEXT, *, secret: bool = False) -> Reader:
    """A text that another function checks and converts."""
    return reader(expected, lambda value: isinstance(value, str), check, secret=secret)


def text_checked(check: Callable[[str, str], Any]) -> Reader:
    """A text that the check of a setting takes and converts."""
    return reader(_TEXT, is_text, lambda value: check(value, ""), secret=True)


def one_of(kind: type[StrEnum]) -> Reader:
    """One word of an enumeration."""
    return reader(" or ".join(kind), lambda value: isinstance(value, str) and value in tuple(kind), kind)


def texts(expected: str, check: Callable[[str], Any] = str, *, least: int = 1, secret: bool = False) -> Reader:
    """A list of texts, each once. check: what raises for one that is wrong."""

    def checked(values: list[str]) -> tuple[str, ...]:
        for value in values:
            check(value)
        return tuple(dict.fromkeys(values))

    return reader(expected, lambda value: is_list(value) and len(value) >= least, checked, secret=secret)


def project_ids(expected: str = 'a list: {key} = ["…"]', *, least: int = 0) -> Reader:
    """A list of ids of projects, each once."""

    return texts(expected, _check_project, least=least)


def _check_project(project: str) -> None:
    if why := why_bad_id(project, "project id"):
        raise UsageError(why)


text: Final = reader(_TEXT, is_text, secret=True)
path: Final = text_checked(path_named)
exact_text: Final = reader(
    'a text, matched exactly: {key} = "…"', lambda value: is_text(value) and value.isprintable() and len(value) <= 256
)
variable_name: Final = reader(
    "the NAME of an environment variable, in capitals, not the secret",
    lambda value: is_text(value) and _VARIABLE.fullmatch(value),
    secret=True,
)
flag: Final = reader("true or false, without quotes", lambda value: isinstance(value, bool))


# -- tables ------------------------------------------------------------------------------------------------------------


def refuse_unknown(
    place: Place,
    table: Mapping[str, Any],
    known: Collection[str],
    what: str = "key",
    *,
    meant: Mapping[str, str] | None = None,
) -> None:
    """Raise for unknown names, each with the nearest one. meant: names that are often written instead of ours."""
    problems = Problems()
    for key in table:
        if key not in known:
            guess = f" (did you mean {meant[key]}?)" if meant and key in meant else nearest(key, known)
            with problems:
                raise place.refuse(f"unknown {what} {key!r}{guess}; known: {', '.join(known)}", near=key)
    problems.settle()


def read_table(
    place: Place,
    table: Mapping[str, Any],
    keys: Mapping[str, Reader],
    *,
    required: Collection[str] = (),
    meant: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The checked values of the keys that the table has. Raises all that is wrong, with its place in the file."""
    problems = Problems()
    with problems:
        refuse_unknown(place, table, keys, meant=meant)
    values = {}
    for key, reader in keys.items():
        if key in table or key in required:
            with problems:
                values[key] = _read(place / key, table.get(key, _MISSING), reader)
    problems.settle()
    return values


def _read(place: Place, value: Any, reader: Reader) -> Any:
    try:
        return reader(value, place.key)
    except SettingsError as error:
        raise place.refuse(error.reason) from None
    except UsageError as error:
        raise place.refuse(str(error)) from None


@dataclass(frozen=True, slots=True)
class Section:
    """A table of tables in the file of ERASER_CONFIG, such as [accounts.NAME]."""

    name: str
    item: str
    keys: Mapping[str, Reader]
    required: tuple[str, ...] = ()
    meant: Mapping[str, str] | None = None

    def read(self, toml: Toml, problems: Problems) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Each table without a problem: its place, which ends with its name, and its checked values."""
        tables = toml.content.get(self.name, {})
        with problems:
            if not isinstance(tables, dict):
                raise toml.at().refuse(f"{self.name} must be tables: write [{self.name}.NAME]", near=self.name)
            for name, table in tables.items():
                place, values = toml.at(self.name, name), None
                with problems:
                    values = self._values(place, name, table)
                if values is not None:
                    yield place, values

    def _values(self, place: Place, name: str, table: object) -> dict[str, Any]:
        if not NAME.fullmatch(name):
            raise place.refuse(f"{self.item} name {name!r}: expected {A_NAME}")
        if not isinstance(table, dict):
            raise place.refuse(f"{self.name}.{name} must be a table: write [{self.name}.{name}]")
        return read_table(place, table, self.keys, required=self.required, meant=self.meant)
