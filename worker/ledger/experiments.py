"""Experiments with throw-away jobs: how one begins, and what they have shown so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import redis

from worker.ledger import values
from worker.ledger.account import AccountLedger
from worker.ledger.audit_actions import ActionName, Who, explained
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.model.target import Target


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """One as it is stored. Times in ms since 1970."""

    job: Target
    began: float
    by: str | None
    reason: str | None
    schedule: tuple[float, ...]  # seconds after the DELETE
    log: tuple[dict[str, Any], ...]  # what was answered, as `worker.rules.experiment.Observation` writes it
    closed: float | None  # when the last look was made
    next_look: float | None  # None: the job is not deleted yet, or it is over


class Experiments(AccountLedger):
    """The move of those who begin one."""

    def begin_experiment(self, job: Target, schedule: Sequence[float], **who: Unpack[Who]) -> str:
        """begun, running or requested: see `lua/begin_experiment.lua`."""
        options = {"schedule": json.dumps(list(schedule))} | explained(ActionName.EXPERIMENT, who)
        ((_, result),) = self.results("begin_experiment", options, [job])
        return result


def experiments(client: redis.Redis, prefix: str) -> Iterator[ExperimentRecord]:
    """Those of one account, the newest first. What another program wrote there is left out."""
    for name in values.names(read_redis(client.zrange, prefix + Key.EXPERIMENTS, 0, -1, desc=True)):
        pipe = client.pipeline(transaction=False)
        pipe.hgetall(f"{prefix}{Key.EXPERIMENT}{name}")
        pipe.zscore(prefix + Key.ERASURES, name)
        raw, next_look = read_redis(pipe.execute)
        fields = values.texts(raw)
        log = tuple(values.fields(line) for line in fields.get("answers", "").split("\n") if line)
        closed = values.number(fields.get("closed"))
        yield ExperimentRecord(
            Target.parse(name),
            values.number(fields.get("at")) or 0.0,
            fields.get("by") or None,
            fields.get("why") or None,
            values.numbers(fields.get("schedule")),
            log,
            closed,
            None if closed else next_look,
        )
