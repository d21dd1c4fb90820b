"""What a campaign is judged by: each way to break a promise, and the jobs with which it happened."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import everything, judge
from tests.acceptance.other_side import disagreements
from worker.ledger.records import Deletion
from worker.model.states import Evidence, State


@dataclass
class Word:
    """The ledger acknowledged that nothing more is sent for a job: from then on, by this machine's monotonic clock."""

    job: str
    action: str  # cancel or hold
    since: float
    until: float = float("inf")


@dataclass
class Reckoning:
    """Jobs by what is wrong with them. `beside` is what judges found besides, in words."""

    lost: list[str] = field(default_factory=list)
    wrong_ends: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    gone_and_there: list[str] = field(default_factory=list)
    sent_after_a_word: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)

    @property
    def broken(self) -> int:
        return sum(map(len, self.counts().values()))

    def counts(self) -> dict[str, list[str]]:
        return {
            "lost": self.lost,
            "ended wrongly": self.wrong_ends,
            "two calls at once, nobody frozen": self.overlaps,
            "called gone or deleted, and there": self.gone_and_there,
            "sent after an acknowledged cancel or hold": self.sent_after_a_word,
            "found by the judge besides": self.beside,
        }


def reckon(
    fleet: Fleet,
    accepted: Collection[str],
    *,
    frozen: Collection[str],
    words: Iterable[Word],
    withdrawn: Collection[str],
) -> Reckoning:
    """asked: jobs that somebody tried to cancel, acknowledged or not; frozen: those whose process was stopped."""
    found = Reckoning()
    deletions, calls = everything(fleet), fleet.metastudio.calls()
    found.lost = sorted(set(accepted) - set(deletions))
    found.wrong_ends = [f"{job}: {end_of(d)}" for job, d in deletions.items() if not may_end(d, job in withdrawn)]
    deletes = [call for call in calls if call["operation"] == "delete" and call["job_id"] not in frozen]
    found.overlaps = overlapping(deletes)
    found.sent_after_a_word = [
        f"{word.job}: {word.action}" for word in words for call in deletes if _is_after(call, word)
    ]
    for line in disagreements(fleet):
        (found.gone_and_there if line.endswith(", and is there") else found.beside).append(line)
    try:
        judge(fleet, accepted, frozen=frozen)
    except AssertionError as error:
        found.beside.append(str(error)[:2000])
    return found


def end_of(d: Deletion) -> str:
    return " ".join(filter(None, (d.state, d.evidence, d.cause)))


def may_end(d: Deletion, cancelled: bool) -> bool:
    """Whether it may have ended so. cancelled: somebody tried to cancel it."""
    if d.state is State.CANCELLED:
        return cancelled
    return d.state is State.DELETED or (d.state is State.GONE and d.evidence == Evidence.AFTER_OUR_CALL)


def overlapping(deletes: Iterable[dict[str, Any]]) -> list[str]:
    """Ids of which a DELETE began before the one before it had ended."""
    until: dict[str, float] = {}
    found = set()
    for call in sorted(deletes, key=lambda call: call["started"]):
        job = str(call["id"])
        if until.get(job, 0.0) > call["started"]:
            found.add(job)
        until[job] = float("inf") if call["ended"] is None else call["ended"]
    return sorted(found)


def _is_after(call: dict[str, Any], word: Word) -> bool:
    return bool(call["job_id"] == word.job and word.since < call["started"] < word.until)
