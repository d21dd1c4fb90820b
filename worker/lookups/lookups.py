"""Asks from one view, and decides what an absence proves.

    look ──▶ present, unknown                                               as it is
      └────▶ absent ──▶ control before? ──no──▶ control, look up again ──▶ control after? ──no──▶ control
                        all three showed what they should: absent. A control that shows no job: unseen.
                        A control that is not answered, or shows the job itself: unknown.

Every call except a lookup that has its own slot follows the rate of lookups, which all processes share; if that
allows no call, nothing is asked, and the lookup has no result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from worker.ledger.deletions import Ledger
from worker.lookups.renewal import with_new_token
from worker.lookups.sightings import NEAR_S, Sighting, Sightings, View
from worker.metastudio.client import Client
from worker.metastudio.response import Listing, Response, Shown, TransportFailure
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.rules.classify import NOT_SENT, Lookup, Presence, ResponseKind, classify, is_of, presence, shows_jobs

log = logging.getLogger(__name__)
T = TypeVar("T")

LEAST_S: Final = 0.5  # for a question whose answer is needed in time: it ends by then
THROTTLED_S: Final = 2.0  # without a lookup of its family after a 429 that does not say how long
ROWS: Final = 100  # of a control question: this many jobs are known to exist, and whether app users' jobs are listed


class LookupResponse(NamedTuple):
    """One question and its answer, and when it was in progress."""

    listing: Listing
    sent: float
    answered: float


@dataclass(frozen=True, slots=True)
class Lookups:
    """The lookups of one view. `time_left` says for how long an answer can still be used; `pause(s)` returns True
    to stop.
    """

    remote: Client
    pace: Ledger
    sightings: Sightings
    view: View
    pause: Callable[[float], bool]
    time_left: Callable[[], float] = lambda: math.inf
    signed_at: Callable[[], datetime | None] = lambda: None
    patience_s: float = 2.0  # for a slot

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask_in_turn(self, *, rows: int = ROWS) -> Listing:
        """Ask for the first ones at the rate of lookups; `NOT_SENT` if the rate, the time left, Redis or an internal
        error prevents it. Never raises: the caller may hold an answer to a DELETE.
        """
        return self._in_turn(rows=rows).listing

    def find(self, id: str, *, listed: bool, has_slot: bool = False, doubtful: bool = False) -> Lookup:
        """Look up one job. has_slot: it may be asked at once, and errors before an answer are raised.

        listed: a list showed it before. doubtful: it is probably absent, so the control question goes first and the
        lookup need not be repeated.
        """
        if doubtful and (problem := self.begin()):
            return Lookup(problem, Presence.UNKNOWN)
        return self.prove(id, self._ask((id,)) if has_slot else self.look(id), listed=listed)

    # -- many that share their control questions ---------------------------------------------------------------------

    def begin(self) -> Listing | None:
        """Make sure that a recent control question precedes the next lookup. Returns the answer of one without a
        result.
        """
        now = self.sightings.clock()
        control = self.sightings.before(self.view, now) or self._control(now)
        return control if isinstance(control, Listing) else None

    def look(self, id: str) -> LookupResponse:
        """Look up one job at the rate of lookups, for `prove`. Never raises."""
        return self._in_turn((id,))

    def look_many(self, ids: Sequence[str]) -> LookupResponse:
        """The same of several with one list, where the kind's list takes several ids."""
        return self._in_turn(ids)

    def show(self, target: Target) -> Shown | None:
        """What Show says of one, at the rate of lookups; None: it was not asked. Never raises."""
        if not self._turn():
            return None

        def question() -> Shown:
            return self.remote.show(target, app_user=self.view.app_user, signed_at=self.signed_at())

        shown = self._guarded(lambda: with_new_token(self.remote, question), None)
        if shown is not None:
            self._note_throttled(shown.response)
        return shown

    def prove(self, id: str, look: LookupResponse, *, listed: bool = False) -> Lookup:
        """The result of a lookup. Of several prove the last one first: its control question then serves the others."""
        looked = self._looked(look, id)
        return self._proven(id, look, listed=listed) if looked.what is Presence.ABSENT and not looked.row else looked

    def _looked(self, look: LookupResponse, id: str) -> Lookup:
        return Lookup(look.listing, *presence(look.listing, id, self.view.project_id))

    # -- what an absence proves --------------------------------------------------------------------------------------

    def _proven(self, id: str, look: LookupResponse, *, listed: bool) -> Lookup:
        """The result of a well-formed list without the job."""
        looked = self._looked(look, id)
        before = self.sightings.before(self.view, look.sent)
        if before is None:
            control = self._control(look.answered)
            if isinstance(control, Listing):
                return Lookup(control, Presence.UNKNOWN)
            if not control.jobs:
                return Lookup(look.listing, Presence.UNSEEN)
            look = self._in_turn((id,))
            looked = self._looked(look, id)
            before = self.sightings.before(self.view, look.sent)
        if looked.what is not Presence.ABSENT:
            return looked
        if before is None:  # the lookup came too late after it
            return Lookup(look.listing, Presence.UNKNOWN)
        after = self._control(look.answered) if before.jobs else before
        if isinstance(after, Listing):
            return Lookup(after, Presence.UNKNOWN)
        if not (before.jobs and after.jobs) or (not listed and self._may_hide(before, after)):
            return Lookup(look.listing, Presence.UNSEEN)
        if id in after.jobs:  # one list has it, the other does not
            return Lookup(look.listing, Presence.UNKNOWN)
        return looked

    def _may_hide(self, *controls: Sighting) -> bool:
        """Whether app users' jobs may be hidden: no app user is named, the project has some, and none of their jobs
        is listed.
        """
        project = self.view.project_id
        if self.view.app_user is not None or any(control.others for control in controls):
            return False
        known = self.sightings.has_users(project)
        return known or self._guarded(lambda: self.pace.users.known_in(project), otherwise=True)

    def _control(self, since: float) -> Sighting | Listing:
        """The result of a control question that was sent after the moment; the answer, if it has no result."""
        if known := self.sightings.after(self.view, since):
            return known
        event = self.sightings.queue(self.view)
        if event is not None:
            event.wait(NEAR_S)
            return self.sightings.after(self.view, since) or NOT_SENT
        try:
            may = self._turn()
        finally:
            event = self.sightings.leaves(self.view)
        try:
            listing = self._guarded(lambda: self._ask(()), self._nothing()).listing if may else NOT_SENT
        finally:
            event.set()
        return self.sightings.after(self.view, since) or listing

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _in_turn(self, ids: Sequence[str] = (), rows: int = ROWS) -> LookupResponse:
        return self._guarded(lambda: self._ask(ids, rows), self._nothing()) if self._turn() else self._nothing()

    def _turn(self) -> bool:
        """Wait for a slot. False: no call is allowed."""
        kind, patience_s = self.view.kind, self.patience_s
        wait = self._guarded(lambda: self.pace.reserve_lookup(kind=kind, patience_s=patience_s), None)
        return wait is not None and (wait == 0 or not self.pause(wait)) and self._in_time()

    def _in_time(self) -> bool:
        return self.time_left() >= LEAST_S

    def _nothing(self) -> LookupResponse:
        return LookupResponse(NOT_SENT, self.sightings.clock(), self.sightings.clock())

    def _guarded(self, question: Callable[[], T], otherwise: T) -> T:
        """Never raises: the caller may hold an answer to a DELETE."""
        try:
            return question()
        except EraserError as error:
            log.warning("lookup.not_sent", extra={"account": self.pace.account, "error": str(error)})
        except Exception:
            log.exception("lookup.not_sent", extra={"account": self.pace.account})
        return otherwise

    def _ask(self, ids: Sequence[str], rows: int = ROWS) -> LookupResponse:
        """Ask for these, or for the first ones; and once more if only the token had expired."""
        answer = self._once(ids, rows)
        refused = classify(answer.listing.response) is ResponseKind.CREDENTIALS
        if refused and self.remote.renew(answer.listing.response) and self._in_time():
            return self._once(ids, rows)
        return answer

    def _once(self, ids: Sequence[str], rows: int) -> LookupResponse:
        view, sent = self.view, self.sightings.clock()
        how = {"app_user": view.app_user, "signed_at": self.signed_at(), "within_s": self.time_left()}
        listing = self.remote.ask(view.project_id, ids, kind=view.kind, rows=rows, **how)
        if listing.response.failure is TransportFailure.TIMEOUT and not self._in_time():
            listing = NOT_SENT  # our own time was up: that says nothing about the service
        self._note_throttled(listing.response)
        answer = LookupResponse(listing, sent, self.sightings.clock())
        if shows_jobs(listing, view.project_id) is not None and (listing.rows or not ids):
            self._note(answer)
        return answer

    def _note_throttled(self, response: Response) -> None:
        """After a 429 nobody sends a lookup of its family for a while."""
        if classify(response) is ResponseKind.THROTTLED:
            pause_s = response.retry_after_s or THROTTLED_S
            self._guarded(lambda: self.pace.pause_lookups(pause_s, kind=self.view.kind), None)

    def _note(self, answer: LookupResponse) -> None:
        mine = [row for row in answer.listing.rows or () if is_of(row, self.view.project_id)]
        users = {row.app_user_id for row in mine} - {None, ""}
        others = bool(users - {self.view.app_user})
        self.sightings.note(
            self.view, Sighting(answer.sent, answer.answered, frozenset(row.id for row in mine), others)
        )
        if users and self.sightings.note_users(self.view.project_id, "showed"):
            self._guarded(lambda: self.pace.users.note_in(self.view.project_id), None)
