"""The whole state of the simulator, in one place; used only in the simulator's own thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from worker.model.errors import UsageError
from worker.simulator.agencies import DEMO_IDENTITY, Agencies
from worker.simulator.agencies import LIFE_S as KEY_LIFE_S
from worker.simulator.calls import CallLog
from worker.simulator.faults import Faults, Outage
from worker.simulator.iam import LIFE_S, REFUSALS, Iam, IamUser
from worker.simulator.iam import LOCK_S as USER_LOCK_S
from worker.simulator.jobs import JobStore
from worker.simulator.kinds import FAMILIES
from worker.simulator.library import Library
from worker.simulator.library_behaviour import LibraryBehaviour
from worker.simulator.limits import Throttle
from worker.simulator.responses import CHOICES, Lists
from worker.simulator.verification import LOCK_S, Credential, KeyRing


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the service behaves while no fault is injected. `None` is no limit."""

    delete_per_s: int | None = None  # of training jobs; other families are in `per_s`
    get_per_s: int | None = None
    per_s: Mapping[str, int] = field(default_factory=dict)  # by family
    retry_after_s: float | None = None
    latency_s: float = 0.0
    jitter_s: float = 0.0
    clock_offset_s: float = 0.0
    lock_s: float = LOCK_S
    user_lock_s: float = USER_LOCK_S
    token_life_s: float = LIFE_S
    refuse_tokens: str | None = None  # a key of `REFUSALS`
    identity: str = DEMO_IDENTITY  # what proves a pod, or an OIDC provider's subject
    agency: bool = True  # whether the ECS has one
    metadata_tokens: bool = True  # whether the metadata service demands tokens of its own
    key_life_s: float = KEY_LIFE_S  # of temporary keys
    absent: str = "400"  # answers a DELETE or Show of no job
    not_deletable: str = "400"
    isolate_app_users: bool = False
    ignore_filters: bool = False  # a list that ignores its filters, except job_id
    lists: str = Lists.ORDINARY
    quota: str | None = None  # what the gateway says of its limit in debug mode; null: what it really is
    library: LibraryBehaviour = field(default_factory=LibraryBehaviour)

    def __post_init__(self) -> None:
        for name, choices in (("absent", CHOICES), ("not_deletable", CHOICES), ("lists", tuple(Lists))):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name}: use one of {', '.join(choices)}")
        if unknown := set(self.per_s) - set(FAMILIES):
            raise UsageError(f"no family {', '.join(sorted(unknown))}; use {', '.join(FAMILIES)}")
        for name, limit in {"delete_per_s": self.delete_per_s, "get_per_s": self.get_per_s, **self.per_s}.items():
            if limit is not None and (not isinstance(limit, int) or limit < 1):
                raise UsageError(f"{name}: use a whole number of calls per second, or null for none")
        if self.refuse_tokens not in (None, *REFUSALS):
            raise UsageError(f"tokens are refused with one of {', '.join(REFUSALS)}, or null to end it")

    @property
    def limits(self) -> dict[str, int]:
        """Calls a second by family; one without a limit is not in it."""
        limits = {"job_delete": self.delete_per_s, "job_read": self.get_per_s, **self.per_s}
        return {family: limit for family, limit in limits.items() if limit is not None}


@dataclass(slots=True)
class SimulatorState:
    """The simulator's whole state. `start` and the first credentials and users are what a reset goes back to."""

    credentials: tuple[Credential, ...]
    users: tuple[IamUser, ...]
    start: Behaviour
    calls: CallLog
    behaviour: Behaviour = field(init=False)
    keys: KeyRing = field(init=False)
    iam: Iam = field(init=False)
    agencies: Agencies = field(init=False)
    job_store: JobStore = field(init=False)
    faults: Faults = field(init=False)
    throttle: Throttle = field(init=False)
    outage: Outage | None = field(init=False)
    denied: dict[str, frozenset[str]] = field(init=False)  # families by key
    _library: Library = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to the start: no jobs, no faults, no calls, the first credentials."""
        self.behaviour = self.start
        self.keys = KeyRing(self.credentials, self.start.lock_s)
        self.iam = Iam(self.users, self.start.user_lock_s)
        self.agencies = Agencies()
        self.job_store = JobStore()
        self.faults = Faults()
        self.throttle = Throttle(self.start.limits)
        self.outage = None
        self.denied = {}
        self._library = Library(self.start.library)
        self.calls.forget()

    def change(self, **fields: object) -> None:
        """Change the behaviour. Raises `UsageError`, and changes nothing then."""
        self.behaviour = replace(self.behaviour, **fields)  # type: ignore[arg-type]

    @property
    def library(self) -> Library:
        """The assets and voice jobs as they are by now."""
        self._library.later.settle()
        return self._library

    @property
    def project(self) -> str:
        """The default project: the first one of the first credential."""
        return self.credentials[0].projects[0]

    def now(self) -> datetime:
        """The server's clock, offset included."""
        return datetime.fromtimestamp(time.time() + self.behaviour.clock_offset_s, UTC)
