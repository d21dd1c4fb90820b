"""Short lists page by page: all is read, and a page continues behind a place, so that no change between shifts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.interfaces.console.request_context import RequestContext
from worker.ledger.index_walk import Place
from worker.model.errors import UsageError
from worker.services.listing import LONGEST_CURSOR

T = TypeVar("T")
ROWS = 100


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """One page. cursor: where the next one starts; None at the end. total: on all pages."""

    rows: list[T]
    cursor: str | None
    total: int


def cut(context: RequestContext, every: Iterable[T], place: Callable[[T], Place]) -> ListPage[T]:
    """The page that the address asks for, in the order of the places. Raises `UsageError` for a wrong cursor."""
    after = begin_after(context)
    found = {place(one): one for one in every}
    rest = sorted(where for where in found if after is None or where > after)
    here = rest[:ROWS]
    return ListPage([found[where] for where in here], str(here[-1]) if len(rest) > ROWS else None, len(found))


def begin_after(context: RequestContext) -> Place | None:
    """The place behind which the page begins; None: it is the first. Raises `UsageError` for a wrong cursor."""
    cursor = context.query("from", LONGEST_CURSOR)
    try:
        return Place.parse(cursor) if cursor else None
    except ValueError:
        raise UsageError("from: this is no place in a list of ours; leave it out for the first page") from None
