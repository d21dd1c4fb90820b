"""Asks MetaStudio again for jobs that are deleted or gone: after a restore of a backup there some may be back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from worker.ledger.deletions import Ledger
from worker.ledger.queries import Queries
from worker.lookups.lookups import LookupResponse, Lookups
from worker.lookups.sightings import NEAR_S, Sightings, View
from worker.metastudio.client import Client
from worker.metastudio.response import Response
from worker.model.errors import Unreachable
from worker.model.target import Target
from worker.rules.classify import NOT_SENT, Lookup, Presence, ResponseKind, classify, presence

PATIENCE_S = 60.0  # for a slot of the lookups' rate
TRIES = 3  # of one lookup without a usable answer
PAUSE_S = 1.0
_LOCKING = (ResponseKind.CREDENTIALS, ResponseKind.CLOCK)  # a few more such refusals would lock the key


class RecheckContext(Protocol):
    """The way to Redis and to MetaStudio."""

    @property
    def stopping(self) -> threading.Event: ...

    @property
    def worker(self) -> str: ...

    def ledger(self, account: str, /) -> Ledger: ...

    def queries(self, account: str, /) -> Queries: ...

    def client(self, account: str, /) -> tuple[Client, Callable[[], str]]: ...

    def sightings(self, account: str, /) -> Sightings: ...


class RecheckResult(StrEnum):
    """The current state of a job."""

    GONE = "gone"
    BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The result for one job, and the answer that decided it."""

    ref: Target
    now: RecheckResult
    what: Presence
    response: Response


_RESULTS = {Presence.ABSENT: RecheckResult.GONE, Presence.PRESENT: RecheckResult.BACK}


@dataclass
class Recheck:
    """The lookups of one account. Those within a few seconds share their control questions. in_words: of an answer."""

    app: RecheckContext
    account: str
    in_words: Callable[[Response], str] = Response.in_words
    answered: bool = False  # whether MetaStudio has given any usable answer
    lookups: dict[tuple[str, str], Lookups] = field(default_factory=dict)  # by project and kind

    def each(self, refs: Iterable[Target]) -> Iterator[Rechecked]:
        """Ask for each, at the rate of lookups that all workers share. Raises `Unreachable` if MetaStudio does not
        answer, or the gate is closed."""
        waiting: list[tuple[Target, LookupResponse]] = []
        for ref in refs:
            try:
                lookup = self._ask(ref)
            except Unreachable:
                yield from self._judged(waiting)
                raise
            waiting.append((ref, lookup))
            if lookup.answered - waiting[0][1].answered > NEAR_S / 2:
                yield from self._judged(waiting)
                waiting = []
        yield from self._judged(waiting)

    def _judged(self, waiting: list[tuple[Target, LookupResponse]]) -> Iterator[Rechecked]:
        results = {ref: self._of(ref).prove(ref.id, lookup) for ref, lookup in reversed(waiting)}
        for ref, _ in waiting:
            yield _result(ref, results[ref])

    def _ask(self, ref: Target) -> LookupResponse:
        """One lookup, repeated without a usable answer. Raises `Unreachable` if MetaStudio does not answer."""
        lookup = self._once(ref)
        for _ in range(TRIES - 1 if self.answered else 0):
            kind = classify(lookup.listing.response)
            if presence(lookup.listing, ref.id)[0] is not Presence.UNKNOWN or kind is ResponseKind.FORBIDDEN:
                break
            if self.app.stopping.wait(lookup.listing.response.retry_after_s or PAUSE_S):
                break
            lookup = self._once(ref)
        self.answered = self.answered or presence(lookup.listing, ref.id)[0] is not Presence.UNKNOWN
        if not self.answered:
            text = f"could not be checked: {self.in_words(lookup.listing.response)}"
            raise Unreachable(f"job {ref.name} {text}. No result. See: eraser doctor")
        return lookup

    def _once(self, ref: Target) -> LookupResponse:
        lookups, gate = self._of(ref), self.app.queries(self.account).gate()
        if not gate.is_open:
            closed = f"account {self.account} is closed ({gate.gate}: {gate.reason})"
            what = "eraser resume" if gate.gate == "paused" else "eraser doctor"
            raise Unreachable(f"{closed}, so nothing is checked. Next: {what}")
        problem = lookups.begin()
        lookup = LookupResponse(problem, 0, 0) if problem else lookups.look(ref.id)
        if lookup.listing is NOT_SENT:
            busy = f"the lookups of account {self.account} are busy for {PATIENCE_S:g} s and more"
            raise Unreachable(f"{busy}; try again later")
        if classify(lookup.listing.response) in _LOCKING:
            raise Unreachable(f"MetaStudio refuses us: {self.in_words(lookup.listing.response)}. See: eraser doctor")
        return lookup

    def _of(self, ref: Target) -> Lookups:
        view = ref.project_id, ref.kind
        if view not in self.lookups:
            app, account = self.app, self.account
            client, key = app.client(account)
            self.lookups[view] = Lookups(
                client,
                app.ledger(account),
                app.sightings(account),
                View(key(), ref.project_id, None, ref.kind),
                pause=app.stopping.wait,
                signed_at=lambda: _signed_at(app, account),
                patience_s=PATIENCE_S,
            )
        return self.lookups[view]


def _result(ref: Target, looked: Lookup) -> Rechecked:
    return Rechecked(ref, _RESULTS.get(looked.what, RecheckResult.UNKNOWN), looked.what, looked.listing.response)


def _signed_at(app: RecheckContext, account: str) -> datetime | None:
    """MetaStudio's time if the gate knows that it differs from ours."""
    queries = app.queries(account)
    skew_ms = queries.gate().skew_ms
    return None if skew_ms is None else datetime.fromtimestamp((queries.now_ms() + skew_ms) / 1000, UTC)
