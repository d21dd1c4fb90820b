"""Asks MetaStudio again for jobs that are deleted or gone: after a restore of a backup there some may be back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from worker.execution.app_context import AppContext
from worker.lookups.lookups import LookupResponse, Lookups
from worker.lookups.sightings import NEAR_S, View
from worker.metastudio.response import Response
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.model.target import Target
from worker.receipts.sealing import seal_all
from worker.rules.classify import NOT_SENT, Lookup, Presence, ResponseKind, classify, presence
from worker.services.json_form import as_json
from worker.services.labels import failure_text, plain
from worker.services.receipts_export import Chain

PATIENCE_S = 60.0  # for a slot of the lookups' rate
TRIES = 3  # of one lookup without a usable answer
PAUSE_S = 1.0
GIVE_UP = 20  # lookups in a row without a usable answer
OPEN = ("ok", "clock", "throttled")
_LOCKING = (ResponseKind.CREDENTIALS, ResponseKind.CLOCK)  # a few more such refusals would lock the key
BLIND = "is not listed, but neither is any other job of the project: no proof"


class RecheckResult(StrEnum):
    """The current state of a job."""

    GONE = "gone"
    BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The result for one job."""

    ref: Target
    now: RecheckResult
    text: str
    request_id: str | None

    @property
    def command(self) -> str | None:
        """The command that requests it again, if it came back."""
        if self.now is not RecheckResult.BACK:
            return None
        return f"eraser request {self.ref.name} --project {self.ref.project_id} --force"

    def as_json(self) -> dict[str, Any]:
        return as_json(self, "ref", "now", "text", "request_id", "command")


def jobs(app: AppContext, account: str, *, since_ms: float, most: int | None) -> tuple[list[Target], int]:
    """Jobs whose latest receipt says deleted or gone, the latest first, and the number of further ones."""
    seal_all(app.ledger(account))
    latest: dict[Target, str] = {}
    for line in Chain(app, account, since_ms=since_ms).lines():
        ref = Target(line["project_id"], line["id"], line["kind"])
        latest.pop(ref, None)
        latest[ref] = line["state"]
    over = [ref for ref, state in reversed(latest.items()) if state in ("deleted", "gone")]
    chosen = over[:most]
    return chosen, len(over) - len(chosen)


def recheck(app: AppContext, refs: Iterable[Target]) -> Iterator[Rechecked]:
    """Ask for each, at the rate of lookups that all workers share. Raises `Unreachable` if MetaStudio does not
    answer.
    """
    app.check_ledger()  # no move checks this here, and at another MetaStudio every job is absent
    unknown = 0
    for account, some in groupby(refs, key=lambda ref: app.account_for(ref.project_id)):  # a project may have moved
        for looked in _Recheck(app, account).each(some):
            unknown = unknown + 1 if looked.now is RecheckResult.UNKNOWN else 0
            yield looked
            if unknown >= GIVE_UP:
                raise Unreachable(f"{GIVE_UP} jobs in a row; the last {looked.text}. See: eraser doctor")


@dataclass
class _Recheck:
    """The lookups of one account. Those within a few seconds share their control questions."""

    app: AppContext
    account: str
    answered: bool = False  # whether MetaStudio has given any usable answer
    lookups: dict[tuple[str, str], Lookups] = field(default_factory=dict)  # by project and kind

    def each(self, refs: Iterable[Target]) -> Iterator[Rechecked]:
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
            yield self._result(ref, results[ref])

    def _result(self, ref: Target, looked: Lookup) -> Rechecked:
        response = looked.listing.response
        now, text = RecheckResult.UNKNOWN, f"could not be checked: {_in_words(response)}"
        match looked.what:
            case Presence.ABSENT:
                now, text = RecheckResult.GONE, "still gone"
            case Presence.PRESENT:
                now, text = RecheckResult.BACK, _back(self.app, self.account, ref)
            case Presence.UNSEEN:
                text = BLIND
        return Rechecked(ref, now, text, response.request_id)

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
            text = f"could not be checked: {_in_words(lookup.listing.response)}"
            raise Unreachable(f"job {ref.name} {text}. No result. See: eraser doctor")
        return lookup

    def _once(self, ref: Target) -> LookupResponse:
        lookups, gate = self._of(ref), self.app.queries(self.account).gate()
        if gate.gate not in OPEN:
            closed = f"account {self.account} is closed ({gate.gate}: {gate.reason})"
            what = "eraser resume" if gate.gate == "paused" else "eraser doctor"
            raise Unreachable(f"{closed}, so nothing is checked. Next: {what}")
        problem = lookups.begin()
        lookup = LookupResponse(problem, 0, 0) if problem else lookups.look(ref.id)
        if lookup.listing is NOT_SENT:
            busy = f"the lookups of account {self.account} are busy for {PATIENCE_S:g} s and more"
            raise Unreachable(f"{busy}; try again later")
        if classify(lookup.listing.response) in _LOCKING:
            raise Unreachable(f"MetaStudio refuses us: {_in_words(lookup.listing.response)}. See: eraser doctor")
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


def _back(app: AppContext, account: str, ref: Target) -> str:
    """The job came back: check whether it is already requested again."""
    ((_, state),) = app.bulk_queries(account).states([ref])
    again = f"; its deletion is {state} already" if state not in (None, State.DELETED, State.GONE) else ""
    return "came back: MetaStudio has it again" + again


def _signed_at(app: AppContext, account: str) -> datetime | None:
    """MetaStudio's time if the gate knows that it differs from ours."""
    queries = app.queries(account)
    skew_ms = queries.gate().skew_ms
    return None if skew_ms is None else datetime.fromtimestamp((queries.now_ms() + skew_ms) / 1000, UTC)


def _in_words(response: Response) -> str:
    if response.status is None:
        return failure_text(response.failure)
    return plain(response.in_words() if response.status != 200 else "200, but no list of jobs")
