"""A TOML text and the lines of its tables and keys, so that an error says where it is.

tomllib knows no lines. But each header, and each key with its value, is TOML by itself: a text that is valid as a whole
is read once more in such pieces.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from worker.config.files import read_file
from worker.model.errors import SettingsError, UsageError

CONFIG: Final = "ERASER_CONFIG"
REFUSE: Final = partial(SettingsError, CONFIG)  # makes the error of a file that cannot be read

Refuse = Callable[[str, str], UsageError]  # makes an error of a place and a reason
KeyPath = tuple[str, ...]


def refuse_config(where: str, why: str) -> SettingsError:
    """What is wrong in the file of ERASER_CONFIG."""
    return SettingsError(CONFIG, why, where)


@dataclass(frozen=True)
class Toml:
    """The content of a TOML text, unchecked. `name`: where it comes from, for errors, which `refuse` makes."""

    name: str
    text: str
    content: dict[str, Any]
    refuse: Refuse = refuse_config

    @classmethod
    def parse(cls, text: str, name: str | Path, refuse: Refuse = refuse_config) -> Toml:
        try:
            return cls(str(name), text, tomllib.loads(text), refuse)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"\(at line (\d+)", str(error))
            raise refuse(f"{name}:{line[1]}" if line else str(name), f"this is not TOML: {error}") from None

    @classmethod
    def config(cls, path: Path) -> Toml:
        """The file of ERASER_CONFIG. Raises `SettingsError`."""
        return cls.parse(read_file(path, REFUSE), path)

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """On which line each table and key begins."""
        found: dict[KeyPath, int] = {}
        table: KeyPath = ()
        piece, first = "", 0
        for number, line in enumerate(self.text.split("\n"), 1):
            first = first if piece else number
            piece += line + "\n"
            try:
                paths = [(), *_paths(tomllib.loads(piece))]
            except tomllib.TOMLDecodeError:  # a value of several lines
                continue
            is_header, piece = piece.lstrip().startswith("["), ""
            for path in paths[1:]:
                found.setdefault(path if is_header else table + path, first)
            table = paths[-1] if is_header else table
        return found

    def at(self, *table: str) -> Place:
        """The place of a table; without names that of the whole text."""
        return Place(self, table)


def _paths(table: dict[str, Any], above: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


@dataclass(frozen=True, slots=True)
class Place:
    """A table of a TOML text, or one of its keys: `FILE:LINE: [table] key`. `place / "key"` is a key's."""

    toml: Toml
    table: KeyPath
    key: str = ""

    @property
    def name(self) -> str:
        """The last name of the table."""
        return self.table[-1]

    def __truediv__(self, key: str) -> Place:
        return replace(self, key=key)

    def __str__(self) -> str:
        return self._text(self.key)

    def refuse(self, why: str, *, near: str = "") -> UsageError:
        """An error here. near: it is on the line of this key, which the reason names."""
        return self.toml.refuse(self._text(near or self.key), why)

    def _text(self, key: str) -> str:
        path = (*self.table, key)
        line = next((found for n in range(len(path), 0, -1) if (found := self.toml.lines.get(path[:n]))), None)
        where = f"{self.toml.name}:{line}" if line else self.toml.name
        table = f"[{'.'.join(self.table)}]" if self.table else ""
        return ": ".join(filter(None, (where, " ".join(filter(None, (table, self.key))))))
