"""One account of the ledger: its scripts, its gate's knobs and its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import redis

from worker.config.clock import PROCESS, Clocks, spoken
from worker.ledger import scripts
from worker.ledger.keys import OURS, Keys
from worker.ledger.pseudonyms import Pseudonyms
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.script_runner import ScriptRunner
from worker.ledger.types import GatePolicy

ROOM_CHECK_S = 1.0  # how long "there is room" is believed
BEGINNING = {"ops": "0", "idem": "0", Key.POLICY_TEXTS_WANTED: "0"}


class AccountLedger(ScriptRunner):
    """What all moves of one account's ledger share."""

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        gate: GatePolicy,
        keys: Keys = OURS,
        *,
        endpoint: str | None = None,
        placer: Callable[[str, str], None] | None = None,
        patience_s: float = 4.0,
        wake: Callable[[bool], None] = lambda _: None,
        clocks: Clocks = PROCESS.witnesses,
        clock: str | None = None,
    ) -> None:
        super().__init__(
            client,
            account,
            keys.account(account),
            endpoint=endpoint,
            placer=placer,
            patience_s=patience_s,
            wake=wake,
            clocks=clocks,
            clock=clock,
        )
        self.keys = keys
        self.policy = gate
        self._gate = asdict(gate)
        self.strays: set[str] = set()  # projects that this process's settings give to another account: not to be taken
        self.users = Pseudonyms(client, account, keys)
        self._room_checked = -ROOM_CHECK_S
        self._forget_from: dict[str, str] = BEGINNING

    def now_ms(self) -> float:
        """The ledger's time, in ms since 1970."""
        script = scripts.load("what_time", clock=self._clock)
        return float(read_redis(script.run, self.client, self.prefix, "-", spoken(self.clocks())))

    @property
    def gate_options(self) -> dict[str, Any]:
        """The gate's knobs as the scripts take them."""
        return self._gate
