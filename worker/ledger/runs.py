"""Runs of policies: who does which slot, and the record of each run. What became of a run's deletions is counted by
the ledger's own moves as they end (see `count_settlement` in `lua/_settle.lua`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from worker.ledger import values
from worker.ledger.deletions import LedgerReader
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.types import lean
from worker.ledger.values import Shape

WANTED_MS = 15 * 60_000.0  # what was not put aside for so long is no longer there (see `lua/_policy_texts.lua`)
LEASE_S = 300.0  # a run that is silent for so long is gone; each page of the list renews it
GONE = "its process is gone without a word; what it requested stays requested"


class SlotState(StrEnum):
    """Who does a slot."""

    MINE = "mine"
    FIRST = "first"
    DONE = "done"
    BUSY = "busy"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment at which a policy is due. `at` in ms since 1970."""

    policy: str
    schedule: str
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run's record. Times in ms since 1970, Redis's clock."""

    id: str
    policy: str
    policy_hash: str
    account: str
    started: float
    slot: float | None = None  # None: a person started it
    by: str | None = None
    finished: float | None = None
    listed: int = 0
    selected: int = 0
    requested: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    stopped_by: str | None = None  # what stopped it before it had asked for everything
    written: float | None = None  # when it was last written, while it goes on and no slot says so
    outcomes: dict[str, int] = field(default_factory=dict)  # ends of its deletions so far, by state

    @property
    def waiting(self) -> int:
        """How many of its deletions have not ended."""
        return max(0, self.requested - sum(self.outcomes.values()))


_RUN = Shape(Run)


def _is_alone(run: Run) -> bool:
    """Whether it goes on and only its record shows that: a slot's run is taken over if its process is lost."""
    return run.finished is None and run.stopped_by is None and run.slot is None


class Runs(LedgerReader):
    """One account's runs. Raises `Unreachable` when Redis does not answer."""

    # -- slots -------------------------------------------------------------------------------------------------------

    def begin(self, slot: Slot, run: str) -> tuple[SlotState, str]:
        """Whether to do a slot now, and under which run's id."""
        response = self._claim("begin", slot.policy, run, LEASE_S, schedule=slot.schedule, slot=slot.at)
        return SlotState(response["verdict"]), response.get("run") or run

    def renew(self, policy: str, run: str) -> bool:
        """Say that the run goes on; False: somebody else has it by now."""
        return bool(self._claim("renew", policy, run, LEASE_S)["verdict"] == "mine")

    def leave(self, policy: str, run: str) -> None:
        """This worker stops: another one may go on at once."""
        self._claim("leave", policy, run, 0.0)

    def done(self, policy: str, run: str) -> None:
        """The slot is done, whatever came of it."""
        self._claim("done", policy, run, 0.0)

    def _claim(self, step: str, policy: str, run: str, lease_s: float, **more: Any) -> dict[str, Any]:
        fields = {"step": step, "policy": policy, "run": run, "lease": lease_s * 1000}
        return self._ledger.run_script("acquire_slot", fields | more)

    # -- records -----------------------------------------------------------------------------------------------------

    def write(self, run: Run) -> None:
        """Write a run's record, or write it anew. Old ones go with the other records (see `lua/forget.lua`)."""
        values: dict[Any, Any] = asdict(run) | {"skipped": json.dumps(run.skipped)}
        del values["outcomes"], values["id"]
        values["written"] = self._ledger.now_ms() if _is_alone(run) else None
        fields: dict[Any, Any] = lean(values)
        name = f"{self._p}{Key.RUN}{run.id}"
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(name)
        pipe.hset(name, mapping=fields)
        pipe.zadd(self._p + Key.RUNS, {run.id: run.started})
        read_redis(pipe.execute)

    def find(self, run: str) -> Run | None:
        """One run."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(f"{self._p}{Key.RUN}{run}")
        pipe.hgetall(f"{self._p}{Key.RUN_OUTCOMES}{run}")
        raw, ends = read_redis(pipe.execute)
        if not raw:
            return None
        outcomes = {state: values.whole(number) for state, number in values.texts(ends).items() if values.whole(number)}
        record = _RUN.read(values.texts(raw), id=run, account=self.account, outcomes=outcomes)
        if _is_alone(record) and self._ledger.now_ms() - (record.written or record.started) > LEASE_S * 1000:
            return replace(record, stopped_by=GONE)
        return record

    def latest(self, number: int) -> list[Run]:
        """The last runs, newest first."""
        ids: Any = read_redis(self._client.zrange, self._p + Key.RUNS, 0, number - 1, desc=True)
        return [run for name in values.names(ids) if (run := self.find(name)) is not None]

    def wanted(self) -> dict[str, float]:
        """Policies whose deletions no worker could judge lately, and since when the text that asked is it (ms)."""
        raw: Any = read_redis(self._client.hgetall, self._p + Key.POLICY_TEXTS_WANTED)
        since = self._ledger.now_ms() - WANTED_MS
        found = {name.decode(): value.decode().split(" ") for name, value in raw.items()}
        return {name: float(at) for name, (at, postponed) in found.items() if float(postponed) > since}

    def last_of_each(self, policies: list[str], *, within: int = 50) -> dict[str, Run]:
        """Each policy's last run, of the last `within` runs."""
        found: dict[str, Run] = {}
        for run in self.latest(within):
            if run.policy in policies:
                found.setdefault(run.policy, run)
        return found
