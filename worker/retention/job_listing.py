"""Reads all jobs of a project, although jobs are deleted while it pages. Errors are retried, then reported, never
guessed.

Deleting shifts all later pages. So the jobs are read in order of creation, and each page starts a little
before the end of the last one: if it shows a known job, there is no gap between the two. If it
does not, the reading goes back until it does. A job that is listed twice counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from worker.metastudio.response import Listing, Response
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.errors import Unreachable

PAGE: Final = 100
OVERLAP: Final = 10
TRIES: Final = 6  # of one page, while MetaStudio fails
THROTTLED_TRIES: Final = 12  # while it answers 429, which is not a failure
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


class ListPage(Protocol):
    """One list call: `worker.metastudio.client.Client.list` with the project and the rest filled in."""

    def __call__(self, *, offset: int, limit: int, **filters: Any) -> Listing: ...


class Incomplete(Unreachable):
    """The list could not be read to its end. What was read before is valid."""


@dataclass(slots=True)
class JobListing:
    """One reading of one project. `turn()` waits for a slot of the lookups' rate; `pause(s)` returns True to stop."""

    page: ListPage
    turn: Callable[[], None]
    pause: Callable[[float], bool]
    renew: Callable[[Response], bool] = lambda _: False
    filters: dict[str, Any] | None = None
    count: int | None = None  # the total that MetaStudio reports
    date: datetime | None = None  # MetaStudio's time of the first answer

    def rows(self) -> Iterator[JobRow]:
        """Every job once. Raises `Incomplete` if the list cannot be continued; earlier rows are valid."""
        known: set[str] = set()
        offset = furthest = back = longest = 0
        while True:
            rows = self._read(offset)
            if self.count and not (rows or known or self.filters):
                raise Incomplete(f"MetaStudio counts {self.count:,} jobs but shows none: its list cannot be trusted")
            fresh = [row for row in rows if row.id not in known]
            if offset > 0 and len(fresh) == len(rows):  # no known job: there may be a gap
                back = max(PAGE, back * 2)
                offset = max(0, offset - back)
                continue
            known.update(row.id for row in fresh)
            yield from _once(fresh)
            if not fresh and len(rows) < longest:
                return  # the end of the list
            longest = max(longest, len(rows))
            if not fresh and offset >= furthest:
                if len(rows) < PAGE:
                    return
                raise Incomplete(
                    f"MetaStudio's list shows the same page again at offset {offset:,}: it does not advance"
                )
            if len(rows) < PAGE and self.count == len(known):
                return
            back = 0
            furthest = max(furthest, offset)
            offset += max(1, len(rows) - OVERLAP)

    def _read(self, offset: int) -> tuple[JobRow, ...]:
        """One page, with retries."""
        failed = throttled = 0
        wait_s = FIRST_PAUSE_S
        while True:
            self.turn()
            listing = self.page(offset=offset, limit=PAGE, sort_key="create_time", sort_dir="asc", **self.filters or {})
            if listing.rows is not None:
                self.count, self.date = listing.count, self.date or listing.response.date
                return tuple(row for row in listing.rows if isinstance(row, JobRow))
            response = listing.response
            if response.status == 429:
                throttled += 1
                wait_s = max(wait_s, response.retry_after_s or 0.0)
            elif response.status in (400, 401) and failed == 0 and self.renew(response):
                failed += 1
                continue
            elif response.status is not None and 400 <= response.status < 500 and response.status != 408:
                raise Incomplete(f"MetaStudio refuses the list: {_in_words(response)}. See: eraser doctor")
            else:
                failed += 1
            if failed >= TRIES or throttled >= THROTTLED_TRIES:
                raise Incomplete(f"MetaStudio does not give the list at offset {offset:,}: {_in_words(response)}")
            if self.pause(min(wait_s, LONGEST_PAUSE_S)):
                raise Incomplete("stopped while the list was read")
            wait_s = min(wait_s * 2, LONGEST_PAUSE_S)


def _once(rows: list[JobRow]) -> Iterator[JobRow]:
    """Each job of a page only once."""
    return iter({row.id: row for row in rows}.values())


def _in_words(response: Response) -> str:
    return response.in_words() if response.status != 200 else "200, but no list of jobs"
