"""Replays of one account: a frozen list of dead letters, what was done with it so far, and the moves that go on.

The moves are safe to run twice and by two at once; which move comes next is decided in `worker.replay`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Unpack

from worker.ledger import values
from worker.ledger.audit_actions import ActionName, AuditAction, Who, explained
from worker.ledger.deletions import BATCH, Ledger, LedgerReader
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.types import lean
from worker.ledger.values import Shape
from worker.model.states import Lane
from worker.model.target import Target

KEEP_S = 400 * 86400.0
KEEP_MOST = 1000  # replays an account remembers


class ReplayState(StrEnum):
    """Where a replay stands."""

    RUNNING = "running"
    STOPPING = "stopping"  # stopping: deletions that were not called yet become dead letters again
    DONE = "done"
    STOPPED = "stopped"  # stopped by itself
    CANCELLED = "cancelled"


class ReplayStage(StrEnum):
    """How much of it may be under way: one letter, ten more, up to a hundred, then as the gate's pace allows."""

    CANARY = "canary"
    TEN = "ten"
    HUNDRED = "hundred"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Replay:
    """One account's share of a replay. Times in ms since 1970, Redis's clock."""

    id: str
    account: str
    state: ReplayState
    stage: ReplayStage
    what: str  # the choice, in words
    why: str
    by: str | None
    groups: dict[str, int]
    mark: int  # deaths with a later number are not touched
    started: float
    fed_at: float | None  # when letters last began
    ended: float | None
    end_why: str | None
    end_by: str | None
    total: int
    cursor: int  # how many of the list were handled
    fed: int  # began a new round; of these:
    open: int
    held: int  # of the open ones
    deleted: int
    gone: int
    dead: int  # died again
    cancelled: int
    back: int  # dead again as they were: the replay stopped before anybody called
    moved: int  # not fed: no longer dead
    newer: int  # not fed: died again after the plan
    on_hold: int  # not fed: on hold
    ok: int  # the first word on each that was fed: deleted or gone;
    failed: int  # an attempt was used;
    aside: int  # it waits for reasons of its own
    damaged: int  # put aside by the ledger: their records were spoilt by another program
    others: str | None  # terms of the shares in other accounts, which have to begin before this one goes on

    @property
    def left(self) -> int:
        """Letters that nothing was done with yet."""
        return self.total - self.cursor

    @property
    def ahead(self) -> int:
        """Letters that began a new round and wait for its first result."""
        with_result = self.ok + self.failed + self.aside + self.held + self.back
        return max(0, min(self.open, self.fed - with_result))


_REPLAY = Shape(Replay, started="at", state=None, stage=None)


class Replays(LedgerReader):
    """Writes and reads one account's replays. Raises `Unreachable` when Redis does not answer."""

    # -- moves -------------------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """The number of the latest death."""
        return values.whole(read_redis(self._client.get, self._p + Key.DEATHS))

    def snapshot(self, replay: str, refs: Iterable[Target]) -> None:
        """Write down which letters are meant, in the order in which they will go."""
        for _ in self._ledger.in_batches("snapshot", {"id": replay}, refs):
            pass

    @staticmethod
    def terms(
        replay: str,
        *,
        what: str,
        groups: dict[str, int],
        mark: int,
        deadline_s: float,
        lane: Lane = Lane.BULK,
        **who: Unpack[Who],
    ) -> dict[str, Any]:
        """What `start` has to know of a replay whose list is frozen."""
        options: dict[str, Any] = lean({"what": what, "lane": lane.value})
        options |= {"id": replay, "groups": json.dumps(groups), "mark": mark, "deadline": deadline_s * 1000}
        options |= {"keep": KEEP_S * 1000, "most": KEEP_MOST}
        return options | explained(ActionName.REPLAYED, {"action": AuditAction(of=what), **who}, run=replay)

    def start(self, terms: dict[str, Any], *, others: dict[str, dict[str, Any]] | None = None) -> bool:
        """Begin it; False: there was none, or it runs already. others: the terms of its shares in other accounts."""
        fields = terms | {"others": json.dumps(others)} if others else terms
        return bool(self._ledger.run_script("start", fields)["state"] == ReplayState.RUNNING)

    def start_others(self, replay: Replay) -> None:
        """Begin the shares that whoever started this one did not come to. Nothing happens to those that began."""
        for account, terms in values.fields(replay.others).items():
            mine = self._ledger
            theirs = Ledger(self._client, account, mine.policy, keys=mine.keys, clocks=mine.clocks)
            Replays(theirs).start(terms)

    def requeue_batch(self, replay: Replay, count: int, stage: ReplayStage) -> bool:
        """Begin the next letters' new rounds; False: somebody else did."""
        gate = self._ledger.gate_options
        options = {"id": replay.id, "cursor": replay.cursor, "stage": stage.value, "gate": gate}
        return bool(self._ledger.run_script("requeue_batch", options | {"count": min(count, BATCH)})["moved"])

    def stop(self, replay: str, *, why: str) -> str:
        """It stops itself: no more letters begin. Returns its state before (only a running one stops), or `unknown`."""
        return str(self._ledger.run_script("stop", {"id": replay, "why": why})["was"])

    def cancel(self, replay: str, **who: Unpack[Who]) -> str:
        """A person stops it."""
        fields = explained(ActionName.REPLAY_CANCELLED, who, run=replay)
        return str(self._ledger.run_script("stop", {"id": replay, "cancels": True} | fields)["was"])

    def revert_unstarted(self, replay: str) -> bool:
        """Take back up to 500 of those that nobody called for. Returns whether there are more."""
        response = self._ledger.run_script("revert_unstarted", {"id": replay, "limit": BATCH})
        return bool(response["state"] == ReplayState.STOPPING)

    # -- records -----------------------------------------------------------------------------------------------------

    def find(self, replay: str) -> Replay | None:
        """One replay that was started."""
        raw: Any = read_redis(self._client.hgetall, f"{self._p}{Key.REPLAY}{replay}")
        return _replay(replay, self.account, values.texts(raw))

    def latest(self, number: int) -> list[Replay]:
        """The last ones, newest first."""
        ids: Any = read_redis(self._client.zrange, self._p + Key.REPLAYS, 0, number - 1, desc=True)
        return [replay for name in values.names(ids) if (replay := self.find(name)) is not None]

    def current(self) -> list[Replay]:
        """The latest one, and every one that somebody has to drive; newest first, in two round trips."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(self._p + Key.REPLAYS_FEEDING, 0, -1)
        pipe.zrange(self._p + Key.REPLAYS, 0, 0, desc=True)
        feeding, latest = read_redis(pipe.execute)
        names = sorted({*values.names(feeding), *values.names(latest)})
        found = (_replay(name, self.account, fields) for name, fields in self._hashes(Key.REPLAY, names))
        return sorted(filter(None, found), key=lambda replay: replay.started, reverse=True)


def _replay(name: str, account: str, fields: dict[str, str]) -> Replay | None:
    """None: it was not started, or it makes no sense and is put aside by the move that meets it."""
    started = values.number(fields.get("at"))
    if (
        started is None
        or fields.get("state") not in tuple(ReplayState)
        or fields.get("stage") not in tuple(ReplayStage)
    ):
        return None
    state, stage = ReplayState(fields["state"]), ReplayStage(fields["stage"])
    return _REPLAY.read(fields, id=name, account=account, state=state, stage=stage)
