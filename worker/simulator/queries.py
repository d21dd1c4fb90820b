"""The parameters of a List, read and checked; and what a caller may see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote

OFFSET_LIMIT = 2_147_483_647


class BadQuery(Exception):
    """A List parameter outside its documented range."""


class Owned(Protocol):
    """A resource of a project, and of an app user if its fields name one."""

    project: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Viewer:
    """The identity of a caller. With isolation on, what has an app user is visible only to a call that names this
    user.
    """

    project: str
    app_user: str | None = None
    sees_any: bool = True  # of the kind that it asks about
    isolated: bool = False

    def sees(self, one: Owned) -> bool:
        return one.project == self.project and self.may_see(one)

    def may_see(self, one: Owned) -> bool:
        """Whatever its project is."""
        owner = one.fields.get("app_user_id")
        return self.sees_any and (not self.isolated or owner is None or owner == self.app_user)


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list, and their order."""

    offset: int
    limit: int
    sort_key: str
    descending: bool

    @property
    def end(self) -> int:
        return self.offset + self.limit


def read_pairs(query: str) -> list[tuple[str, str]]:
    """Decode a query string; a name may be repeated."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def read_query(query: str) -> dict[str, str]:
    """Decode a query string; the last value of a repeated name is used, and an empty one is ignored."""
    return {name: value for name, value in dict(read_pairs(query)).items() if value != ""}


def read_page(given: Mapping[str, str], sort_keys: Collection[str], direction: str = "asc") -> Page:
    """Raises `BadQuery`."""
    sort_key, direction = given.get("sort_key", "create_time"), given.get("sort_dir", direction)
    if sort_key not in sort_keys or direction not in {"asc", "desc"}:
        raise BadQuery("sort_key or sort_dir")
    offset, limit = _number(given, "offset", 0, 0, OFFSET_LIMIT), _number(given, "limit", 10, 1, 100)
    return Page(offset, limit, sort_key, direction == "desc")


def parts_of(text: str) -> set[str]:
    """A comma list."""
    return {part.strip() for part in text.split(",") if part.strip()}


def read_moment(text: str) -> float:
    """Unix time of a time in RFC 3339; raises `BadQuery`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery("a time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
        raise BadQuery(name)
    return int(text)
