"""Checks that deleted and gone jobs are still gone, records who looked and what was found, and what came back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger import rechecks
from worker.ledger.rechecks import RecheckRun, Rechecks
from worker.metastudio.response import Response
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.model.target import Target
from worker.receipts import recheck as looking
from worker.receipts.receipt import target_of
from worker.receipts.recheck import Recheck, RecheckResult
from worker.receipts.sealing import seal_all
from worker.rules.classify import Presence
from worker.services import json_form
from worker.services.came_back import again
from worker.services.labels import failure_text, plain
from worker.services.receipts_export import ALL, Chain

GIVE_UP = 20  # lookups in a row without a usable answer
BATCH = 25  # results that are recorded at once
BLIND = "is not listed, but neither is any other job of the project: no proof"


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The result for one job, for people and programs."""

    ref: Target
    now: RecheckResult
    text: str
    request_id: str | None

    @property
    def command(self) -> str | None:
        """The command that requests it again, if it came back."""
        return again(self.ref) if self.now is RecheckResult.BACK else None

    def as_json(self) -> dict[str, Any]:
        return json_form.as_json(self, "ref", "now", "text", "request_id", "command")


def jobs(app: AppContext, account: str, *, since_ms: float, most: int | None) -> tuple[list[Target], int]:
    """Jobs whose latest receipt says deleted or gone, the latest first, and the number of further ones."""
    seal_all(app.ledger(account))
    latest: dict[Target, str] = {}
    for line in Chain(app, account, since_ms=since_ms).lines():
        ref = target_of(line)
        latest.pop(ref, None)
        latest[ref] = line["state"]
    over = [ref for ref, state in reversed(latest.items()) if state in ("deleted", "gone")]
    chosen = over[:most]
    return chosen, len(over) - len(chosen)


def recheck(app: AppContext, refs: Iterable[Target], *, by: str, since_ms: float = ALL) -> Iterator[Rechecked]:
    """Ask for each, at the rate of lookups that all workers share, and record the results. Raises `Unreachable` if
    MetaStudio does not answer.
    """
    app.check_ledger()  # at another MetaStudio every job is absent
    unknown = 0
    for account, some in groupby(refs, key=lambda ref: app.account_for(ref.project_id)):  # a project may have moved
        since = None if since_ms == ALL else since_ms
        run = rechecks.begin(app.ledger(account), key=app.client(account)[1](), by=by, since_ms=since)
        for looked in _recorded(app, account, run, Recheck(app, account, _in_words).each(some)):
            result = _result(app, account, looked)
            unknown = unknown + 1 if looked.now is RecheckResult.UNKNOWN else 0
            yield result
            if unknown >= GIVE_UP:
                raise Unreachable(f"{GIVE_UP} jobs in a row; the last {result.text}. See: eraser doctor")


def _recorded(
    app: AppContext, account: str, run: str, found: Iterable[looking.Rechecked]
) -> Iterator[looking.Rechecked]:
    """The same; what was found is recorded, also if the caller stops."""
    some: list[looking.Rechecked] = []
    over = False
    try:
        for looked in found:
            some.append(looked)
            if len(some) == BATCH:
                _record(app, account, run, some, over=False)
                some = []
            yield looked
        over = True
    finally:
        _record(app, account, run, some, over=over)


def _record(app: AppContext, account: str, run: str, some: list[looking.Rechecked], *, over: bool) -> None:
    found = {looked.ref: looked.now.value for looked in some}
    looks = [looked.response.request_id for looked in some]
    rechecks.record(app.ledger(account), run, found, looks=looks, over=over)


def _result(app: AppContext, account: str, looked: looking.Rechecked) -> Rechecked:
    text = f"could not be checked: {_in_words(looked.response)}"
    match looked.what:
        case Presence.ABSENT:
            text = "still gone"
        case Presence.PRESENT:
            text = _back(app, account, looked.ref)
        case Presence.UNSEEN:
            text = BLIND
    return Rechecked(looked.ref, looked.now, text, looked.response.request_id)


def _back(app: AppContext, account: str, ref: Target) -> str:
    """The job came back: check whether it is already requested again."""
    ((_, state),) = app.bulk_queries(account).states([ref])
    again = f"; its deletion is {state} already" if state not in (None, State.DELETED, State.GONE) else ""
    return "came back: MetaStudio has it again" + again


def _in_words(response: Response) -> str:
    if response.status is None:
        return failure_text(response.failure)
    return plain(response.in_words() if response.status != 200 else "200, but no list of jobs")


# -- what was found ----------------------------------------------------------------------------------------------------


def runs(app: AppContext, account: str) -> list[RecheckRun]:
    """Every recheck of an account that is kept, the newest first."""
    return Rechecks(app.redis, account, app.keys).newest()


def run_json(run: RecheckRun) -> dict[str, Any]:
    names = ("id", "account", "by", "key", "results", "at")
    return json_form.as_json(run, *names, last_at="last", ended_at="ended", since="since")
