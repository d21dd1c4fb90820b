"""Decides how a replay continues: one dead letter, then ten, then up to a hundred, then the gate's rate. Pure.

    canary ─ it was deleted, or is gone ─▶ ten ─▶ hundred ─▶ rest
       │ it failed again                    │        │ half of them failed again
       └──────────────▶ stop ◀──────────────┴────────┘

Only the first result of each deletion counts: a used attempt, or a final state. Waiting is not failing.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger.replays import Replay, ReplayStage

SOON_S, LATER_S = 0.2, 1.0  # between two checks: while the first ones decide about the rest, and while the rest runs
LONGEST_S = 5.0  # if nothing has happened for long: a closed gate, an outage
TEN = 1 + 10
HUNDRED = 100
AHEAD_S = 30.0  # seconds of the gate's rate that are started in advance
LEAST_AHEAD, MOST_AHEAD = 50, 500
ASIDES = 10  # canaries that may wait for their own reasons before the rest stops waiting for them


@dataclass(frozen=True, slots=True)
class Requeue:
    """Start so many more; 0: only the stage changes."""

    count: int
    stage: ReplayStage


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until more is known."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Deletions fail again: the rest stays dead."""

    why: str


Decision = Requeue | Wait | Stop


def decide(replay: Replay, pace: float) -> Decision:
    """The next step of a running replay. pace: calls per second that the account's gate allows."""
    match replay.stage:
        case ReplayStage.CANARY:
            return _after_one(replay)
        case ReplayStage.TEN:
            return _after_ten(replay)
        case ReplayStage.HUNDRED:
            return _after_a_hundred(replay)
        case ReplayStage.REST:
            room = min(MOST_AHEAD, max(LEAST_AHEAD, round(AHEAD_S * pace))) - replay.ahead
            return Requeue(room, ReplayStage.REST) if room > 0 and replay.left else Wait()


def _after_one(replay: Replay) -> Decision:
    if replay.failed:
        return Stop("the canary failed again at its first attempt")
    if replay.ok or replay.aside >= ASIDES or (not replay.left and not replay.ahead):
        return Requeue(0, ReplayStage.TEN)
    return Wait() if replay.ahead else Requeue(1, ReplayStage.CANARY)


def _after_ten(replay: Replay) -> Decision:
    if 2 * replay.failed >= TEN - 1:
        return Stop(f"{replay.failed} of the first {TEN} dead letters failed again at their first attempt")
    if replay.left and replay.fed < TEN + replay.aside:
        return Requeue(TEN + replay.aside - replay.fed, ReplayStage.TEN)
    return Wait() if replay.ahead else Requeue(0, ReplayStage.HUNDRED)


def _after_a_hundred(replay: Replay) -> Decision:
    most = min(HUNDRED, replay.fed + replay.left)
    if most >= TEN and 2 * replay.failed >= most:
        return Stop(f"{replay.failed} of the first {most} dead letters failed again at their first attempt")
    if 2 * (replay.ok + replay.aside) > most or (not replay.left and not replay.ahead):
        return Requeue(0, ReplayStage.REST)
    room = HUNDRED - replay.fed
    return Requeue(room, ReplayStage.HUNDRED) if room > 0 and replay.left else Wait()


def look_again_s(stage: ReplayStage, idle_s: float) -> float:
    """When to check again, if nothing was started for so long."""
    return min(LONGEST_S, max(LATER_S if stage is ReplayStage.REST else SOON_S, idle_s / 20))
