"""Asks MetaStudio again for jobs that are deleted or gone: after a restore on their side some may be back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from worker.deletion import State
from worker.errors import Unreachable
from worker.ledger.moves import Ref
from worker.meaning import Found, Meaning, found, meaning
from worker.metastudio.answer import Answer, Listing
from worker.operations.receipts_export import chain
from worker.operations.words import SILENCES, plain
from worker.receipts.sealing import seal_all
from worker.runtime import Runtime

PATIENCE_S = 60.0  # for a slot of the lookups' pace
TRIES = 3  # of one question, where nothing usable is answered
PAUSE_S = 1.0
GIVE_UP = 20  # questions in a row without a usable answer
OPEN = ("ok", "clock", "throttled")
BLIND = "is not shown; but this key was never shown a job of the project, so that is no proof"


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
        return f"eraser request {self.ref.job_id} --project {self.ref.project_id} --again"

    def as_json(self) -> dict[str, Any]:
        said = {"project_id": self.ref.project_id, "job_id": self.ref.job_id, "now": self.now.value, "text": self.text}
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


def recheck(running: Runtime, account: str, refs: Iterable[Ref]) -> Iterator[Looked]:
    """Ask for each, at the pace of lookups that all workers share. Raises `Unreachable` where nobody is there."""
    running.check_endpoints()  # no move would ask, and all jobs of another MetaStudio are not there
    unknown, answered = 0, False
    sees: dict[str, bool] = {}  # by project
    for ref in refs:
        looked = _look(running, account, ref, tries=TRIES if answered else 1)
        if looked.now is Now.GONE and ref.project_id not in sees:
            sees[ref.project_id] = _sees_jobs(running, account, ref.project_id)
        answered = answered or looked.now is not Now.UNKNOWN
        if not answered:
            raise Unreachable(f"job {ref.job_id} {looked.text}. Nothing was found out. See: eraser doctor")
        if looked.now is Now.GONE and not sees[ref.project_id]:
            looked = replace(looked, now=Now.UNKNOWN, text=BLIND)
        unknown = unknown + 1 if looked.now is Now.UNKNOWN else 0
        yield looked
        if unknown >= GIVE_UP:
            raise Unreachable(f"{GIVE_UP} jobs in a row; the last {looked.text}. See: eraser doctor")


def _look(running: Runtime, account: str, ref: Ref, *, tries: int) -> Looked:
    for attempt in range(tries):
        listing = _ask(running, account, ref.project_id, ref.job_id)
        what, _ = found(listing, ref.job_id)
        if what is Found.ABSENT:
            return Looked(ref, Now.GONE, "still gone", listing.answer.request_id)
        if what is Found.PRESENT:
            return Looked(ref, Now.BACK, _back(running, account, ref), listing.answer.request_id)
        said = meaning(listing.answer)
        if said in (Meaning.CREDENTIALS, Meaning.CLOCK):  # a few more of them would lock the key
            raise Unreachable(f"MetaStudio refuses us: {_said(listing.answer)}. See: eraser doctor")
        if said is Meaning.FORBIDDEN:
            break
        if attempt < tries - 1 and running.stopping.wait(listing.answer.retry_after_s or PAUSE_S):
            break
    return Looked(ref, Now.UNKNOWN, f"could not be asked: {_said(listing.answer)}", listing.answer.request_id)


def _back(running: Runtime, account: str, ref: Ref) -> str:
    """It came back: and has anybody requested it again already?"""
    ((_, state),) = running.glance(account).states([ref])
    again = f"; its deletion is {state} already" if state not in (None, State.DELETED, State.GONE) else ""
    return "came back: MetaStudio has it again" + again


def _sees_jobs(running: Runtime, account: str, project: str) -> bool:
    """Whether this key sees jobs of the project, or did before they were all deleted. Else absence is no proof."""
    _, key = running.client(account)
    if running.reads(account).sees(project) == key():
        return True
    return bool(_ask(running, account, project, None).count)


def _ask(running: Runtime, account: str, project: str, job_id: str | None) -> Listing:
    gate = running.reads(account).gate()
    if gate.gate not in OPEN:
        what = "eraser resume" if gate.gate == "paused" else "eraser doctor"
        raise Unreachable(
            f"account {account} is closed ({gate.gate}: {gate.reason}), so nothing is asked. Next: {what}"
        )
    wait = running.ledger(account).look(patience_s=PATIENCE_S)
    if wait is None:
        raise Unreachable(f"the lookups of account {account} are busy for {PATIENCE_S:g} s and more; try again later")
    running.stopping.wait(wait)
    signed_at = None
    if gate.skew_ms is not None:
        signed_at = datetime.fromtimestamp((running.reads(account).now_ms() + gate.skew_ms) / 1000, UTC)
    client, _ = running.client(account)
    listing = client.list(project, job_id=job_id, limit=100, signed_at=signed_at)
    if meaning(listing.answer) is Meaning.CREDENTIALS and client.renew(listing.answer):
        return client.list(project, job_id=job_id, limit=100, signed_at=signed_at)
    return listing


def _said(answer: Answer) -> str:
    if answer.status is None:
        return SILENCES.get(str(answer.silence), "no answer")
    said = " ".join(str(part) for part in (answer.status, answer.code, answer.message) if part)
    return plain(said if answer.status != 200 else "200, but no list of jobs")
