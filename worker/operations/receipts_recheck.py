"""Asks MetaStudio again for jobs that are deleted or gone: after a restore on their side some may be back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from worker.deletion import State
from worker.errors import Unreachable
from worker.ledger.moves import Ref, target
from worker.lookups.lookups import Asked, Lookups
from worker.lookups.sights import NEAR_S, View
from worker.meaning import NOT_ASKED, Found, Meaning, found, meaning
from worker.meaning import Looked as CameTo
from worker.metastudio.answer import Answer
from worker.operations.receipts_export import chain
from worker.operations.words import SILENCES, plain
from worker.receipts.sealing import seal_all
from worker.runtime import Runtime

PATIENCE_S = 60.0  # for a slot of the lookups' pace
TRIES = 3  # of one question, where nothing usable is answered
PAUSE_S = 1.0
GIVE_UP = 20  # questions in a row without a usable answer
OPEN = ("ok", "clock", "throttled")
BLIND = "is not listed, but neither is any other job of the project: no proof"


class Now(StrEnum):
    """How a job stands now."""

    GONE = "gone"
    BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Looked:
    """What asking for one job said."""

    ref: Ref
    now: Now
    text: str
    request_id: str | None

    @property
    def command(self) -> str | None:
        """What requests it again, if it came back."""
        if self.now is not Now.BACK:
            return None
        return f"eraser request {self.ref.job_id} --project {self.ref.project_id} --force"

    def as_json(self) -> dict[str, Any]:
        said = {"project_id": self.ref.project_id, **target(self.ref.job_id), "now": self.now.value, "text": self.text}
        return said | {"request_id": self.request_id, "command": self.command}


def jobs(running: Runtime, account: str, *, since_ms: float | None, most: int | None) -> tuple[list[Ref], int]:
    """Jobs whose latest receipt says deleted or gone, the latest first, and how many more there are."""
    seal_all(running.ledger(account))
    latest: dict[Ref, str] = {}
    for line in chain(running, account, since_ms=since_ms):
        ref = Ref(line["project_id"], line["job_id"])
        latest.pop(ref, None)
        latest[ref] = line["state"]
    over = [ref for ref, state in reversed(latest.items()) if state in ("deleted", "gone")]
    chosen = over[:most]
    return chosen, len(over) - len(chosen)


def recheck(running: Runtime, refs: Iterable[Ref]) -> Iterator[Looked]:
    """Ask for each, at the pace of lookups that all workers share. Raises `Unreachable` where nobody is there."""
    running.check_endpoints()  # no move would ask, and all jobs of another MetaStudio are not there
    unknown = 0
    for account, some in groupby(refs, key=lambda ref: running.account_for(ref.project_id)):  # a project may have moved
        for looked in _Recheck(running, account).each(some):
            unknown = unknown + 1 if looked.now is Now.UNKNOWN else 0
            yield looked
            if unknown >= GIVE_UP:
                raise Unreachable(f"{GIVE_UP} jobs in a row; the last {looked.text}. See: eraser doctor")


@dataclass
class _Recheck:
    """One account's questions. Those of a few seconds share their control questions."""

    running: Runtime
    account: str
    answered: bool = False  # whether MetaStudio gave any usable answer
    lookups: dict[str, Lookups] = field(default_factory=dict)  # by project

    def each(self, refs: Iterable[Ref]) -> Iterator[Looked]:
        waiting: list[tuple[Ref, Asked]] = []
        for ref in refs:
            try:
                asked = self._ask(ref)
            except Unreachable:
                yield from self._judged(waiting)
                raise
            waiting.append((ref, asked))
            if asked.answered - waiting[0][1].answered > NEAR_S / 2:
                yield from self._judged(waiting)
                waiting = []
        yield from self._judged(waiting)

    def _judged(self, waiting: list[tuple[Ref, Asked]]) -> Iterator[Looked]:
        came_to = {ref: self._of(ref).prove(ref.job_id, asked) for ref, asked in reversed(waiting)}
        for ref, _ in waiting:
            yield self._told(ref, came_to[ref])

    def _told(self, ref: Ref, looked: CameTo) -> Looked:
        answer = looked.listing.answer
        match looked.what:
            case Found.ABSENT:
                return Looked(ref, Now.GONE, "still gone", answer.request_id)
            case Found.PRESENT:
                return Looked(ref, Now.BACK, _back(self.running, self.account, ref), answer.request_id)
            case Found.UNSEEN:
                return Looked(ref, Now.UNKNOWN, BLIND, answer.request_id)
            case _:
                return Looked(ref, Now.UNKNOWN, f"could not be checked: {_said(answer)}", answer.request_id)

    def _ask(self, ref: Ref) -> Asked:
        """One look, and again where nothing usable is answered. Raises `Unreachable` where nobody is there."""
        asked = self._once(ref)
        for _ in range(TRIES - 1 if self.answered else 0):
            said = meaning(asked.listing.answer)
            if found(asked.listing, ref.job_id)[0] is not Found.UNKNOWN or said is Meaning.FORBIDDEN:
                break
            if self.running.stopping.wait(asked.listing.answer.retry_after_s or PAUSE_S):
                break
            asked = self._once(ref)
        self.answered = self.answered or found(asked.listing, ref.job_id)[0] is not Found.UNKNOWN
        if not self.answered:
            text = f"could not be checked: {_said(asked.listing.answer)}"
            raise Unreachable(f"job {ref.job_id} {text}. No result. See: eraser doctor")
        return asked

    def _once(self, ref: Ref) -> Asked:
        lookups, gate = self._of(ref), self.running.reads(self.account).gate()
        if gate.gate not in OPEN:
            what = "eraser resume" if gate.gate == "paused" else "eraser doctor"
            raise Unreachable(
                f"account {self.account} is closed ({gate.gate}: {gate.reason}), so nothing is checked. Next: {what}"
            )
        problem = lookups.begin()
        asked = Asked(problem, 0, 0) if problem else lookups.look(ref.job_id)
        if asked.listing is NOT_ASKED:
            raise Unreachable(
                f"the lookups of account {self.account} are busy for {PATIENCE_S:g} s and more; try again later"
            )
        if meaning(asked.listing.answer) in (Meaning.CREDENTIALS, Meaning.CLOCK):  # a few more would lock the key
            raise Unreachable(f"MetaStudio refuses us: {_said(asked.listing.answer)}. See: eraser doctor")
        return asked

    def _of(self, ref: Ref) -> Lookups:
        if ref.project_id not in self.lookups:
            running, account = self.running, self.account
            _, key = running.client(account)
            self.lookups[ref.project_id] = Lookups(
                running.remote(account),
                running.ledger(account),
                running.sights(account),
                View(key(), ref.project_id, None),
                pause=running.stopping.wait,
                signed_at=lambda: _signed_at(running, account),
                patience_s=PATIENCE_S,
            )
        return self.lookups[ref.project_id]


def _back(running: Runtime, account: str, ref: Ref) -> str:
    """It came back: and has anybody requested it again already?"""
    ((_, state),) = running.glance(account).states([ref])
    again = f"; its deletion is {state} already" if state not in (None, State.DELETED, State.GONE) else ""
    return "came back: MetaStudio has it again" + again


def _signed_at(running: Runtime, account: str) -> datetime | None:
    """MetaStudio's clock where the gate knows that it differs from ours."""
    reads = running.reads(account)
    skew_ms = reads.gate().skew_ms
    return None if skew_ms is None else datetime.fromtimestamp((reads.now_ms() + skew_ms) / 1000, UTC)


def _said(answer: Answer) -> str:
    if answer.status is None:
        return SILENCES.get(str(answer.silence), "no answer")
    said = " ".join(str(part) for part in (answer.status, answer.code, answer.message) if part)
    return plain(said if answer.status != 200 else "200, but no list of jobs")
