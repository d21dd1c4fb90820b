"""One account of the ledger: its scripts, its gate's knobs and its time."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worker.config.clock import spoken
from worker.ledger import scripts
from worker.ledger.pseudonyms import Pseudonyms
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.script_runner import ScriptRunner
from worker.ledger.types import GatePolicy, compact

ROOM_CHECK_S = 1.0  # how long "there is room" is believed
BEGINNING = {"ops": "0", "idem": "0", Key.POLICY_TEXTS_WANTED: "0"}


@dataclass(eq=False)
class AccountLedger(ScriptRunner):
    """What all moves of one account's ledger share."""

    policy: GatePolicy

    def __post_init__(self) -> None:
        super().__post_init__()
        self.gate_options = compact(asdict(self.policy))  # the gate's knobs as the scripts take them
        self.strays: set[str] = set()  # projects that this process's settings give to another account: not to be taken
        self.users = Pseudonyms(self.client, self.account, self.keys)
        self._room_checked = -ROOM_CHECK_S
        self._forget_from: dict[str, str] = BEGINNING

    def now_ms(self) -> float:
        """The ledger's time, in ms since 1970."""
        script = scripts.load("what_time", clock=self.clock)
        return float(read_redis(script.run, self.client, self.prefix, "-", spoken(self.clocks())))
