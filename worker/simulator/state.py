"""The whole state of the simulator, in one place; used only in the simulator's own thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.simulator.calls import CallLog
from worker.simulator.faults import Faults, Outage
from worker.simulator.iam import LIFE_S, LOCK_S, Iam, IamUser
from worker.simulator.jobs import JobStore
from worker.simulator.limits import Throttle
from worker.simulator.responses import Lists
from worker.simulator.verification import Credential, KeyRing


@dataclass(frozen=True, slots=True)
class Setup:
    """The initial state of the simulator, also after a reset."""

    credentials: tuple[Credential, ...]
    users: tuple[IamUser, ...] = ()
    token_life_s: float = LIFE_S
    user_lock_s: float = LOCK_S
    delete_per_s: int | None = None
    get_per_s: int | None = None
    retry_after_s: float | None = None
    latency_s: float = 0.0
    jitter_s: float = 0.0
    clock_offset_s: float = 0.0
    lock_s: float = 300.0
    absent: str = "400"
    not_deletable: str = "400"
    isolate_app_users: bool = False
    ignore_filters: bool = False

    @property
    def project(self) -> str:
        """The default project: the first one of the first credential."""
        return self.credentials[0].projects[0]


@dataclass(slots=True)
class SimulatorState:
    """The simulator's whole state."""

    setup: Setup
    calls: CallLog
    keys: KeyRing = field(init=False)
    iam: Iam = field(init=False)
    job_store: JobStore = field(init=False)
    faults: Faults = field(init=False)
    throttle: Throttle = field(init=False)
    outage: Outage | None = field(init=False)
    latency_s: float = field(init=False)
    jitter_s: float = field(init=False)
    clock_offset_s: float = field(init=False)
    absent: str = field(init=False)
    not_deletable: str = field(init=False)
    isolate_app_users: bool = field(init=False)
    ignore_filters: bool = field(init=False)
    lists: Lists = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to the start: no jobs, no faults, no calls, the first credentials."""
        setup = self.setup
        self.keys = KeyRing(setup.credentials, setup.lock_s)
        self.iam = Iam(setup.users, setup.token_life_s, setup.user_lock_s)
        self.job_store = JobStore()
        self.faults = Faults()
        self.throttle = Throttle(setup.delete_per_s, setup.get_per_s, setup.retry_after_s)
        self.outage = None
        self.latency_s, self.jitter_s = setup.latency_s, setup.jitter_s
        self.clock_offset_s = setup.clock_offset_s
        self.absent, self.not_deletable = setup.absent, setup.not_deletable
        self.isolate_app_users = setup.isolate_app_users
        self.ignore_filters = setup.ignore_filters
        self.lists = Lists.ORDINARY
        self.calls.forget()

    def now(self) -> datetime:
        """The server's clock, offset included."""
        return datetime.fromtimestamp(time.time() + self.clock_offset_s, UTC)
