"""Background replays, for people and programs: plan, start, progress, past replays and cancel."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.ledger.holds import HoldList
from worker.ledger.redis_read import read_redis
from worker.ledger.replays import Replay, Replays, ReplayState
from worker.model.errors import EraserError, UsageError
from worker.model.shares import grouped
from worker.model.states import Lane
from worker.replay.plan import Share, apart, canaries_first
from worker.services import json_form, labels
from worker.services.act import CAP, Approval
from worker.services.dead_letter_actions import check_homes, plan_fields
from worker.services.dead_letters import Selection, group_of, note_replay

LATELY_MS = 3_600_000.0  # a replay that stopped by itself is reported this long, unless another was started
_ENDED = (ReplayState.DONE, ReplayState.STOPPED, ReplayState.CANCELLED)
_WORST_FIRST = (ReplayState.RUNNING, ReplayState.STOPPING, ReplayState.STOPPED, ReplayState.CANCELLED, ReplayState.DONE)


class HasEnded(EraserError):
    """A finished replay cannot be cancelled."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A plan, fixed at a moment: failures after the marks are excluded."""

    what: str
    shares: tuple[Share, ...]  # the dead letters to replay, by account
    groups: Mapping[str, int]  # of these
    held: int  # on hold: they stay dead
    skipped: tuple[tuple[str, str], ...]  # words that selected nothing, and why, for example already gone

    @property
    def count(self) -> int:
        return sum(len(share.letters) for share in self.shares)

    @property
    def over_cap(self) -> bool:
        """Whether the number must be confirmed."""
        return self.count > CAP

    @property
    def seconds(self) -> float:
        """Expected, if the gates are open and nothing else is due."""
        return max((share.seconds for share in self.shares), default=0.0)

    @property
    def marks(self) -> dict[str, int]:
        """By account: the number of the last failure that is included."""
        return {share.account: share.mark for share in self.shares}

    def as_json(self) -> dict[str, Any]:
        return {
            **plan_fields(self.what, self.skipped, self.groups),
            "will_be_replayed": self.count,
            "on_hold": self.held,
            "expected_s": round(self.seconds, 1),
            "marks": self.marks,
            "accounts": [
                json_form.as_json(share, "account", "rate", "gate", "due_before") | {"count": len(share.letters)}
                for share in self.shares
            ],
        }


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """The progress of a replay, over all its accounts. Times in ms since 1970, Redis's clock."""

    replay: str
    shares: tuple[Replay, ...]  # by account
    now: float
    waits: tuple[str, ...] = ()  # why it does not continue at the moment, in words
    expected_s: float | None = None  # until each was called once; None: it is finished

    @property
    def state(self) -> ReplayState:
        """The state of the account that is least advanced."""
        return next(state for state in _WORST_FIRST if any(share.state is state for share in self.shares))

    @property
    def first(self) -> Replay:
        return self.shares[0]

    @property
    def ended(self) -> bool:
        """No more deletions are started or reverted; after a stop calls may still be in progress."""
        return self.state in _ENDED

    @property
    def ended_at(self) -> float | None:
        return max((share.ended or 0.0 for share in self.shares), default=0.0) if self.ended else None

    @property
    def end_why(self) -> str | None:
        return next((share.end_why for share in self.shares if share.end_why), None)

    @property
    def all_well(self) -> bool:
        """Every selected deletion is deleted or gone."""
        return self.state is ReplayState.DONE and self.count("deleted") + self.count("gone") == self.count("total")

    def count(self, name: str) -> int:
        """One of the numbers of `worker.ledger.replays.Replay`, over all accounts."""
        return sum(getattr(share, name) for share in self.shares)

    def as_json(self) -> dict[str, Any]:
        groups: Counter[str] = Counter()
        for share in self.shares:
            groups.update(share.groups)
        counts = ("total", "left", "fed", "deleted", "gone", "dead", "cancelled", "back", "open", "held", "ahead")
        first, not_fed, calls = self.first, ("moved", "newer", "on_hold"), ("ok", "failed", "aside")
        return {
            **json_form.as_json(first, "stage", "what", "by", "started", reason="why"),
            **json_form.as_json(self, "replay", "state", "waits", finished_at="ended_at", finished_reason="end_why"),
            "finished_by": next((share.end_by for share in self.shares if share.end_by), None),
            **self.counts(*counts),
            "not_fed": self.counts(*not_fed),
            "first_word": self.counts(*calls),
            "expected_s": None if self.expected_s is None else round(self.expected_s, 1),
            "groups": dict(groups),
            "accounts": [share.account for share in self.shares],
        }

    def counts(self, *names: str) -> dict[str, int]:
        """Several of them."""
        return {name: self.count(name) for name in names}


# -- planning and starting -------------------------------------------------------------------------------------------


def plan(app: AppContext, selection: Selection) -> ReplayPlan:
    """What a replay of the selected dead letters would do. Changes nothing."""
    shares, held = [], 0
    for account in app.settings.accounts:
        mine = [letter for letter in selection.letters if letter.account == account]
        if not mine:
            continue
        go, on_hold = apart(mine, HoldList(app.ledger(account)).now())
        held += len(on_hold)
        if go:
            status = app.queries(account).status()
            mark = selection.marks.get(account, max(letter.death for letter in go))
            due, gate = sum(status.due.values()), status.gate
            shares.append(Share(account, mark, tuple(canaries_first(go, group_of)), gate.rate, gate.gate, due))
    groups = Counter(group_of(letter) for share in shares for letter in share.letters)
    return ReplayPlan(selection.what, tuple(shares), dict(groups.most_common()), held, selection.skipped)


def start(app: AppContext, plan: ReplayPlan, approval: Approval) -> str:
    """Start it; the workers run it. Returns its id. Raises `RefusedBySafetyRule` unless it is confirmed."""
    if not plan.count:
        raise EraserError("nothing was done: all of them are on hold. See: eraser hold list")
    approval.check(plan.count, "dead letter")
    check_homes(app, (letter for share in plan.shares for letter in share.letters))
    replay = f"replay-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    for share in plan.shares:
        Replays(app.ledger(share.account)).snapshot(replay, (letter.ref for letter in share.letters))
    action = approval.action(plan.what, count=plan.count)
    terms = {
        share.account: Replays.terms(
            replay,
            what=plan.what,
            groups=dict(Counter(group_of(letter) for letter in share.letters)),
            mark=share.mark,
            deadline_s=app.settings.deadline,
            lane=Lane.BULK,
            **approval.who(action),
        )
        for share in plan.shares
    }
    first, *rest = terms
    others = {account: terms[account] for account in rest}  # if we die here, the first account's worker starts them
    for account in terms:
        Replays(app.ledger(account)).start(terms[account], others=others if account == first else None)
        app.wake(account, 0)
    note_replay(app, [letter for share in plan.shares for letter in share.letters])
    return replay


# -- progress and cancel ----------------------------------------------------------------------------------------------


def progress_of(app: AppContext, replay: str | None) -> ReplayProgress:
    """The progress of a replay; None: the latest one. Raises `UsageError` for an unknown replay."""
    if replay is None:
        latest = history(app, 1)
        if not latest:
            raise UsageError("no replay yet; see `eraser dead groups` for what can be replayed")
        replay = latest[0].replay
    books = (Replays(app.ledger(account)) for account in app.settings.accounts)
    shares = tuple(share for replays in books if (share := replays.find(replay)) is not None)
    if not shares:
        raise UsageError(f"there is no replay {replay[:80]!r}; see `eraser replay list`")
    return _progress(app, shares)


def history(app: AppContext, number: int = 20) -> list[ReplayProgress]:
    """The latest replays, newest first: who, why and the result."""
    latest = (share for account in app.settings.accounts for share in Replays(app.ledger(account)).latest(number))
    found = grouped(latest, lambda share: share.id)
    newest = sorted(found.values(), key=lambda shares: shares[0].started, reverse=True)[:number]
    return [_progress(app, tuple(shares)) for shares in newest]


def current(app: AppContext, now: float) -> tuple[ReplayProgress, ...]:
    """Replays to report now: running ones, and the latest, if it stopped by itself recently."""
    found: dict[str, None] = {}
    for account in app.settings.accounts:
        for share in Replays(app.ledger(account)).current():
            lately = share.state is ReplayState.STOPPED and now - (share.ended or 0.0) < LATELY_MS
            if lately or share.state not in _ENDED:
                found[share.id] = None
    return tuple(progress_of(app, replay) for replay in found)


def cancel(app: AppContext, replay: str, approval: Approval) -> ReplayProgress:
    """Stop a replay; deletions that were not called yet become dead letters again. Raises `HasEnded` and
    `UsageError`.
    """
    progress = progress_of(app, replay)
    if progress.ended:
        raise HasEnded(f"replay {replay} has ended: it is {progress.state.value}; nothing was changed")
    action = approval.action(progress.first.what)
    for share in progress.shares:
        replays = Replays(app.ledger(share.account))
        replays.cancel(replay, **approval.who(action))
        while replays.revert_unstarted(replay):
            pass
    return progress_of(app, replay)


def _progress(app: AppContext, shares: tuple[Replay, ...]) -> ReplayProgress:
    now = app.redis_ms()
    waits: list[str] = []
    expected = None
    for share in shares:
        if share.state in _ENDED:
            continue
        gate = app.queries(share.account).gate()
        if gate.gate not in ("ok", "clock"):
            why = f": {gate.reason}" if gate.reason else ""
            waits.append(f"account {share.account} is {labels.GATES.get(gate.gate, gate.gate)}{why}")
        expected = max(expected or 0.0, (share.left + share.ahead) / gate.rate)
    if expected is not None and not _any_worker(app, now):
        waits.append("no worker has been seen: start one with `celery -A worker worker`")
    return ReplayProgress(shares[0].id, shares, now, tuple(waits), expected)


def _any_worker(app: AppContext, now: float) -> bool:
    return bool(read_redis(lambda: app.redis.zcount(app.keys.workers, now - WORKER_TIMEOUT_S * 1000, "+inf")))
