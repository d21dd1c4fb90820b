"""One reader for all TOML: it turns a table into checked values, and every error names file, table and key, and says
what to write instead.

A key has a reader: it takes the value and the key, and returns what the program uses, or raises `UsageError`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from worker.config.files import read_file
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id

Reader = Callable[[Any, str], Any]
Refuse = Callable[[str], UsageError]

CONFIG: Final = "ERASER_CONFIG"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
A_NAME: Final = "1 to 32 lower-case letters, digits or -, not beginning with -"
REFUSE: Final[Refuse] = partial(SettingsError, CONFIG)

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


def checked(check: Callable[[str], Any], expected: str = _TEXT) -> Reader:
    """A text that another function checks and converts."""
    return reader(expected, lambda value: isinstance(value, str), check)


def one_of(kind: type[StrEnum]) -> Reader:
    """One word of an enumeration."""
    return checked(kind, " or ".join(kind))


def texts(expected: str) -> Reader:
    """A list of texts, each once."""
    return reader(expected, lambda value: bool(value) and is_list(value), lambda value: tuple(dict.fromkeys(value)))


def project_ids(expected: str = 'a list: {key} = ["…"]', *, least: int = 0) -> Reader:
    """A list of ids of projects, each once."""

    def check(projects: list[str]) -> tuple[str, ...]:
        for project in projects:
            if why := why_bad_id(project, "project id"):
                raise UsageError(why)
        return tuple(dict.fromkeys(projects))

    return reader(expected, lambda value: is_list(value) and len(value) >= least, check)


text: Final = reader(_TEXT, is_text, secret=True)
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


def parse_toml(text: str, where: str | Path, refuse: Refuse = REFUSE) -> dict[str, Any]:
    """The content of a TOML text, unchecked; `where` it comes from, for the error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise refuse(f"{where} is not TOML: {error}") from None


def read_config(path: Path) -> dict[str, Any]:
    """The content of the file of ERASER_CONFIG, unchecked. Raises `SettingsError`."""
    return parse_toml(read_file(path, REFUSE), path)


def refuse_unknown(
    where: object,
    table: Mapping[str, Any],
    known: Collection[str],
    what: str = "key",
    *,
    meant: Mapping[str, str] | None = None,
    refuse: Refuse = REFUSE,
) -> None:
    """Raise for the first unknown name, with the nearest one. meant: names that are often written instead of ours."""
    for key in table:
        if key not in known:
            guess = f" (did you mean {meant[key]}?)" if meant and key in meant else nearest(key, known)
            raise refuse(f"{where}: unknown {what} {key!r}{guess}; known: {', '.join(known)}")


def read_table(
    where: str,
    table: Mapping[str, Any],
    keys: Mapping[str, Reader],
    *,
    required: Collection[str] = (),
    meant: Mapping[str, str] | None = None,
    refuse: Refuse = REFUSE,
) -> dict[str, Any]:
    """The checked values of the keys that the table has. Raises what `refuse` makes, with the place in the file."""
    refuse_unknown(where, table, keys, meant=meant, refuse=refuse)
    values = {}
    for key, reader in keys.items():
        if key in table or key in required:
            try:
                values[key] = reader(table.get(key, _MISSING), key)
            except UsageError as error:
                raise refuse(f"{where} {key}: {error}") from None
    return values


@dataclass(frozen=True, slots=True)
class Section:
    """A table of tables in the file of ERASER_CONFIG, such as [accounts.NAME]."""

    name: str
    item: str
    keys: Mapping[str, Reader]
    required: tuple[str, ...] = ()
    meant: Mapping[str, str] | None = None

    def read(self, path: Path, document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(name, where it is for errors, checked values) of each table. Raises `SettingsError`."""
        tables = document.get(self.name, {})
        if not isinstance(tables, dict):
            raise REFUSE(f"{path}: {self.name} must be tables: write [{self.name}.NAME]")
        for name, table in tables.items():
            if not NAME.fullmatch(name):
                raise REFUSE(f"{path}: {self.item} name {name!r}: expected {A_NAME}")
            if not isinstance(table, dict):
                raise REFUSE(f"{path}: {self.name}.{name} must be a table: write [{self.name}.{name}]")
            where = f"{path}: [{self.name}.{name}]"
            yield name, where, read_table(where, table, self.keys, required=self.required, meant=self.meant)
