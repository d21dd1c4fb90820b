"""Dead letters for tests, made by the ledger's own moves: requested, taken, called, settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from tests.support.waiting import wait_until
from worker.ledger.deletions import Ledger, connect
from worker.ledger.types import DeletionRequest, GatePolicy, GateSignal, Lease, Settlement
from worker.model.states import Lane
from worker.model.target import Target

PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
FAST = GatePolicy(interval=0.0001, lease=60_000, look_interval=0.0001, max_calls=100_000, outage_after=10_000_000)


@dataclass
class Undertaker:
    """Makes deletions and lets them end as an executor would settle them. No waiting: its gate has no pace."""

    url: str
    account: str = "default"
    project: str = PROJECT

    def __post_init__(self) -> None:
        self.redis: redis.Redis = connect(self.url)
        self.ledger = Ledger(self.redis, self.account, FAST)
        self.redis.hset(self.ledger.prefix + "gate", "good:k1", "1")

    def request(self, *jobs: str, **claim: Any) -> None:
        claim.setdefault("lane", Lane.BULK)
        self.ledger.request([Target(self.project, job) for job in jobs], DeletionRequest(**claim))

    def recorded(self) -> int:
        """How many deletions there are, of all accounts."""
        return sum(1 for _ in self.redis.scan_iter("*}:d:*", count=10_000))

    def end(self, *jobs: str, to: str = "dead", **fields: Any) -> None:
        """Request each and let it end: dead of 500 MSS.00000004 unless told otherwise."""
        claim = fields.pop("claim", {})
        self.request(*jobs, **claim)
        for _ in jobs:
            self.settle(self.take(), to=to, **fields)

    def take(self) -> Lease:
        for _ in range(1000):
            turn = self.ledger.take(worker="w1", key="k1")
            if turn.lease:
                return turn.lease
        raise AssertionError("nothing to take")

    def end_long_ago(self, *jobs: str, to: str = "deleted") -> None:
        """They ended two hours ago."""
        self.end(*jobs, to=to)
        for ref in (str(Target(self.project, job)) for job in jobs):
            at = int(self.redis.zincrby(self.ledger.prefix + to, -7_200_000, ref))
            self.redis.hset(f"{self.ledger.prefix}d:{ref}", "end", at)

    def lose(self, lease: Lease) -> None:
        """Its lease ends, and its worker is gone."""
        self.redis.zadd(self.ledger.prefix + "running", {str(lease.ref): 1})
        wait_until(lambda: self.ledger.rescue(alive=[], counts=True)[0], what="it is rescued")  # once clocks agree

    def settle(self, lease: Lease, *, to: str, **fields: Any) -> None:
        fields.setdefault("cause", "server_error" if to == "dead" else None)
        status = fields.setdefault("status", 200 if to == "deleted" else 500)
        code = fields.setdefault("code", "MSS.00000004" if status == 500 else None)
        attempt = {"status": status, "code": code, "message": fields.pop("message", None), "request_id": "req-1"}
        attempt |= {"ms": 41, "outcome": "deleted" if to == "deleted" else "failed"}
        fields.setdefault("used", True)
        settlement = Settlement(
            ref=lease.ref,
            token=lease.token,
            to=to,
            called=True,
            ms=41.0,
            attempt={name: value for name, value in attempt.items() if value is not None},
            signal=GateSignal("ok", key="k1", ms=41),
            **fields,
        )
        self.ledger.take(worker="w1", key="k1", settlement=settlement, want=False)
