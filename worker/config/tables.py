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
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from worker.config.files import read_file
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id

T = TypeVar("T")

Reader = Callable[[Any, str], Any]
Refuse = Callable[[str], UsageError]

CONFIG: Final = "ERASER_CONFIG"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
A_NAME: Final = "1 to 32 lower-case letters, digits or -, not beginning with -"
REFUSE: Final[Refuse] = partial(SettingsError, CONFIG)

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")  # upper case only: a pasted secret key is mixed
_MISSING: Final = object()


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` with the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


# -- readers -----------------------------------------------------------------------------------------------------------


def text(value: Any, key: str) -> str:
    """Any text but an empty one. The error does not repeat the value: it may be a secret."""
    if not isinstance(value, str) or not value:
        raise UsageError(f'expected a text: {key} = "…"')
    return value


def exact_text(value: Any, key: str) -> str:
    """A text that is compared exactly."""
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 256:
        raise UsageError(f'expected a text, matched exactly: {key} = "…"{_found(value)}')
    return value


def variable_name(value: Any, key: str) -> str:
    """The name of an environment variable. The error does not repeat the value: it may be the secret itself."""
    if not _VARIABLE.fullmatch(text(value, key)):
        raise UsageError("expected the NAME of an environment variable, in capitals, not the secret")
    return str(value)


def flag(value: Any, _key: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"expected true or false, without quotes{_found(value)}")
    return value


def checked(check: Callable[[str], T], expected: str = 'a text: {key} = "…"') -> Callable[[Any, str], T]:
    """A text that another function checks and converts."""

    def read(value: Any, key: str) -> T:
        if not isinstance(value, str):
            raise UsageError(f"expected {expected.format(key=key)}{_found(value)}")
        return check(value)

    return read


def number(expected: str, most: float, kind: type[float]) -> Reader:
    """A number of this kind above 0."""

    def read(value: Any, _key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | kind) or not 0 < value <= most:
            raise UsageError(f"expected {expected}, above 0 and at most {most:,}, without quotes{_found(value)}")
        return kind(value)

    return read


def choice(*choices: str) -> Reader:
    """One of these texts."""

    def read(value: Any, _key: str) -> str:
        if value not in choices:
            raise UsageError(f"expected {' or '.join(choices)}{_found(value)}")
        return str(value)

    return read


def texts(expected: str = 'a list of texts: {key} = ["…"]', *, least: int = 1) -> Callable[[Any, str], tuple[str, ...]]:
    """A list of texts, each once."""

    def read(value: Any, key: str) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least or not all(isinstance(each, str) for each in value):
            raise UsageError(f"expected {expected.format(key=key)}{_found(value)}")
        return tuple(dict.fromkeys(value))

    return read


def project_ids(expected: str = 'a list: {key} = ["…"]', *, least: int = 0) -> Callable[[Any, str], tuple[str, ...]]:
    """A list of ids of projects."""
    listed = texts(expected, least=least)

    def read(value: Any, key: str) -> tuple[str, ...]:
        projects = listed(value, key)
        for project in projects:
            if why := why_bad_id(project, "project id"):
                raise UsageError(why)
        return projects

    return read


def _found(value: Any) -> str:
    return "; it is missing" if value is _MISSING else f"; found {value!r}"


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
