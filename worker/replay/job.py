"""One step of a replay: read its counts, decide, make one move. Any process may take it at any time, even twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from worker.ledger.deletions import BATCH, Ledger
from worker.ledger.replays import Replay, Replays, ReplayStage, ReplayState
from worker.model.errors import EraserError
from worker.replay.canary import Requeue, Stop, decide, look_again_s

log = logging.getLogger(__name__)

_DECISIONS = 4  # a step passes at most the three stages and one batch


def step(ledger: Ledger, replay_id: str) -> float | None:
    """Continue a replay by at most 500 deletions. Returns when to check again, in seconds; None: nothing is left to do.

    Raises `Unreachable`; the next step does what was not done.
    """
    replays, budget, stage = Replays(ledger), BATCH, ReplayStage.CANARY
    for _ in range(_DECISIONS):
        replay = replays.find(replay_id)
        if replay is None or replay.state not in (ReplayState.RUNNING, ReplayState.STOPPING):
            return None
        if replay.state is ReplayState.STOPPING:
            return 0.0 if replays.revert_unstarted(replay_id) else None
        if not replay.cursor:
            replays.start_others(replay)
        match decide(replay, 1000 / ledger.policy.interval):
            case Stop(why):
                _stop(replays, replay, why)
            case Requeue(count, stage):  # the next stage, perhaps
                moved = replays.requeue_batch(replay, min(count, budget), stage)
                budget -= count
                if not moved or budget <= 0:
                    break
            case _:
                return look_again_s(replay.stage, _idle_s(ledger, replay))
    return look_again_s(stage, 0.0)


def _stop(replays: Replays, replay: Replay, why: str) -> None:
    if replays.stop(replay.id, why=why) == ReplayState.RUNNING:
        log.warning("replay.stopped", extra={"replay": replay.id, "account": replay.account, "why": why})


def _idle_s(ledger: Ledger, replay: Replay) -> float:
    return max(0.0, ledger.now_ms() - (replay.fed_at or replay.started)) / 1000


def drive(ledger: Ledger, replays: Iterable[str]) -> float | None:
    """One step of each replay; returns when to take the next (ms). What cannot be done now is done by a later check."""
    soonest = None
    for replay in replays:
        try:
            again_s = step(ledger, replay)
        except EraserError as error:  # for example, Redis is full: executors must be started all the same
            log.warning("replay.waits", extra={"replay": replay, "error": str(error)})
            again_s = 5.0
        except Exception:  # for example, a newer version wrote it
            log.exception("replay.waits", extra={"replay": replay})
            again_s = 5.0
        if again_s is not None and (soonest is None or again_s < soonest):
            soonest = again_s
    return None if soonest is None else ledger.now_ms() + soonest * 1000
