"""What one kind of resource needs to be deleted: everything that differs from one kind to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One resource as List and Show return it, without personal data that is not needed."""

    id: str
    state: str
    app_user_id: str | None = None
    project_id: str | None = None
    erased: bool = False  # it is only remembered: its files are deleted

    def related(self) -> dict[str, str | None]:
        """Ids of what belongs to it, by the names of the record's fields."""
        return {}


@dataclass(frozen=True, slots=True)
class Family:
    """Calls that share one of the documented limits, per tenant. `paces`: calls a second by region."""

    name: str
    paces: Mapping[str, float]

    def pace(self, region: str | None) -> float:
        """Of an unknown region the lowest."""
        return self.paces.get(region or "", min(self.paces.values()))


@dataclass(frozen=True, slots=True)
class Adapter:
    """How MetaStudio names and lists one kind, and how fast it may be asked.

    `GET <path>` lists them as `{"count": …, <rows>: […]}`, with `?<id_field>=<id>` one of them; `GET <path>/<id>` shows
    and `DELETE <path>/<id>` deletes one.
    """

    kind: str
    word: str  # for people
    path: str  # below the project
    rows: str
    deletable: frozenset[str]  # the states that allow the DELETE
    deleting: Family
    reading: Family
    id_field: str
    state_field: str = "state"
    mode: str = ""  # the query of a DELETE
    bin_mode: str | None = None  # the query of one that only moves it into a recycle bin; None: there is no bin
    gone: frozenset[str] = frozenset()  # the states of what is only remembered: its files are deleted
    in_bin: frozenset[str] = frozenset()  # the states of what can still be restored
    update_first: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # state -> a PUT before the DELETE
    absent_codes: frozenset[str] = frozenset()  # of a 400 that says that it is not there
    meanings: Mapping[tuple[int, str], str] = field(default_factory=dict)  # of (status, code): a `ResponseKind`
    make_row: Callable[[dict[str, Any], dict[str, Any]], Row] = lambda common, _: Row(**common)
    says_project: bool = False  # every answer about one says which project it belongs to
    why_not_ours: Callable[[Row, str], str | None] = lambda _row, _job_id: None  # of what a job left behind

    def is_deletable(self, state: str) -> bool:
        """Whether the documents allow the DELETE. The lists have grown over the years: an unknown state does not."""
        return state in self.deletable

    def read_row(self, resource: object) -> Row | None:
        """A row of a list, or what Show returned; None: it has no id or no state."""
        if not isinstance(resource, dict):
            return None
        common = {"id": text(resource, self.id_field), "state": text(resource, self.state_field)}
        if not all(common.values()):
            return None
        common |= {name: text(resource, name) for name in ("app_user_id", "project_id")}
        return self.make_row(common | {"erased": common["state"] in self.gone}, resource)


def text(source: Mapping[str, Any], *names: str) -> str | None:
    """The first of these values that is a text."""
    return next((value for name in names if isinstance(value := source.get(name), str)), None)


def read_time(value: object) -> datetime | None:
    """RFC 3339 with its offset. A time without one is unknown: a guess could make a job eight hours too old."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
