"""Asks for what jobs left behind: many assets with one list, voice jobs one by one, and nothing without a slot.

An absence counts if the same list showed others, or control questions around it did (see `worker.lookups.lookups`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.lookups.lookups import LookupResponse, Lookups
from worker.metastudio.response import Listing, Response
from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.registry import adapter_of
from worker.model.shares import batches, grouped
from worker.model.target import VOICE_JOB, Target
from worker.rules.classify import Lookup, Presence, ResponseKind, classify
from worker.rules.parts import Look, Sight

MOST: Final = 100  # ids of one list


@dataclass(frozen=True, slots=True)
class PartLookups:
    """Looks at parts. `lookups(project_id, kind, app_user)` makes what asks from one view; `now_ms` is the ledger's
    time."""

    lookups: Callable[[str, str, str | None], Lookups]
    now_ms: Callable[[], float]

    def look(self, parts: Iterable[Target], app_user: str | None = None) -> dict[Target, Look]:
        """A look at each. One that could not be asked now has none: it is asked again."""
        found: dict[Target, Look] = {}
        for (project_id, kind), targets in grouped(parts, lambda part: (part.project_id, part.kind)).items():
            lookups = self.lookups(project_id, kind, app_user)
            for batch in batches(targets, MOST):
                found |= self._one_by_one(lookups, batch) if kind == VOICE_JOB else self._together(lookups, batch)
        return found

    def _one_by_one(self, lookups: Lookups, targets: Sequence[Target]) -> dict[Target, Look]:
        looks = {target: self._of_lookup(lookups.find(target.id, listed=True)) for target in targets}
        return {target: look for target, look in looks.items() if look is not None}

    def _together(self, lookups: Lookups, targets: Sequence[Target]) -> dict[Target, Look]:
        answer = lookups.look_many([target.id for target in targets])
        listing = answer.listing
        if listing.rows is None or listing.count is None:
            look = self._of_response(listing.response)
            return dict.fromkeys(targets, look) if look is not None else {}
        rows = {row.id: row for row in listing.rows}
        found = {target: self._present(rows[target.id], listing) for target in targets if target.id in rows}
        missing = [target for target in targets if target.id not in rows]
        every = listing.count == len(listing.rows)  # else other assets were listed, and not all of them
        for target in missing:
            look = self._absent(lookups, target, answer, shown=bool(rows)) if every else self._alone(lookups, target)
            if look is not None:
                found[target] = look
        return found

    def _absent(self, lookups: Lookups, target: Target, answer: LookupResponse, *, shown: bool) -> Look | None:
        if shown:  # the same list shows others: this key sees the library
            return Look(Sight.ABSENT, self._at(), request_id=answer.listing.response.request_id)
        return self._of_lookup(lookups.prove(target.id, answer, listed=True))

    def _alone(self, lookups: Lookups, target: Target) -> Look | None:
        """Where a list ignores which ones are meant. That list showed others: this key sees the library."""
        shown = lookups.show(target)
        if shown is None:
            return None
        if shown.row is not None:
            return Look(Sight.PRESENT, self._at(), shown.row.state, shown.row.project_id, shown.response.request_id)
        absent = shown.response.status in (400, 404) and shown.response.code in adapter_of(target.kind).absent_codes
        found = Look(Sight.ABSENT, self._at(), request_id=shown.response.request_id)
        return found if absent else self._of_response(shown.response)

    def _of_lookup(self, lookup: Lookup) -> Look | None:
        request_id = lookup.listing.response.request_id
        if lookup.row is not None:
            return self._present(lookup.row, lookup.listing)
        match lookup.what:
            case Presence.ABSENT:
                return Look(Sight.ABSENT, self._at(), request_id=request_id)
            case Presence.UNSEEN:
                return Look(Sight.UNSEEN, self._at(), request_id=request_id)
        return self._of_response(lookup.listing.response)

    def _of_response(self, response: Response) -> Look | None:
        """What was not answered with a list: a right that is missing; anything else says nothing."""
        forbidden = classify(response) is ResponseKind.FORBIDDEN
        return Look(Sight.FORBIDDEN, self._at(), request_id=response.request_id) if forbidden else None

    def _present(self, row: Row, listing: Listing) -> Look:
        return Look(Sight.PRESENT, self._at(), row.state, row.project_id, listing.response.request_id)

    def _at(self) -> int:
        return math.floor(self.now_ms())
