"""From the settings to Redis: the ledger of each account, and the account that stores each project."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import redis

from worker.config.accounts import Account, default_rate
from worker.config.clock import PROCESS, Clocks, elapsed
from worker.config.data_directory import data_directory, find_running, why_silent
from worker.config.forks import when_forked
from worker.config.settings import Settings
from worker.ledger import scripts
from worker.ledger.audit import AuditLog
from worker.ledger.bindings import bindings, refuse_unknown
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.confirmation import Confirmation
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.keys import Keys
from worker.ledger.places import Places
from worker.ledger.queries import Queries
from worker.ledger.receipts import Receipts
from worker.ledger.redis_read import WrongKind
from worker.ledger.schema.states import VERSION
from worker.ledger.types import GatePolicy, KindPace
from worker.metastudio.targets.adapter import Adapter
from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.metastudio.targets.registry import ADAPTERS
from worker.model.errors import OtherEndpoint, Unreachable

LOOKS_PER_DELETE = 0.5  # the rate of lookups relative to deletions; the documented limit for lists is twice as high
SCHEMA_CHECK_S = 5.0


def gate_policy(settings: Settings, account: Account) -> GatePolicy:
    """The gate's parameters: the documented rate, and pauses that fit the retry schedule (a demo's is short)."""
    interval = 1000 / account.rate
    first = settings.retry_schedule[0] * 1000
    return GatePolicy(
        kinds=tuple(_pace(adapter, account) for adapter in ADAPTERS.values() if adapter is not AVATAR_JOB),
        interval=interval,
        lease=settings.lease * 1000,
        look_interval=interval / LOOKS_PER_DELETE,
        outage_pause=min(2_000, first),
        outage_pause_max=min(180_000, first * 18),
        misconfigured_pause=min(60_000, first * 6),
        misconfigured_pause_max=min(900_000, first * 90),
        block_pause=min(60_000, first * 6),
    )


def _pace(adapter: Adapter, account: Account) -> KindPace:
    """The documented pace, in proportion where the account's own rate is set to another one than is documented."""
    interval = 1000 * AVATAR_JOB.deleting.pace(account.region) / account.rate
    return KindPace(
        adapter.kind,
        adapter.deleting.name,
        interval / adapter.deleting.pace(account.region),
        adapter.reading.name,
        interval / adapter.reading.pace(account.region) / LOOKS_PER_DELETE,
    )


@dataclass
class LedgerContext:
    """What one process knows of its ledgers, built on demand from its settings. Thread-safe."""

    settings: Settings
    environ: Mapping[str, str]
    worker: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    stopping: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], datetime] = PROCESS.now
    clocks: Clocks = PROCESS.witnesses
    patience_s: float = 4.0  # how long a ledger of this process repeats a move while Redis is unreachable
    defer: Callable[[Callable[[], None]], object] = lambda wake: wake()  # a server answers first
    _ledgers: dict[str, Ledger] = field(default_factory=dict)
    _schema_checked: float = float("-inf")  # when, by `elapsed`
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        when_forked(self._renew)

    def _renew(self) -> None:
        self.stopping, self._lock = threading.Event(), threading.Lock()

    @cached_property
    def redis_url(self) -> str:
        """The ledger's Redis: as set, or that of a running `eraser up` of this user."""
        url = self.settings.redis_url or find_running(data := data_directory(self.settings.simulated))
        if url is None:
            start = "start one on this machine with `eraser up` (or try `eraser demo`)"
            raise Unreachable(why_silent(data) or f"no Redis: set ERASER_REDIS_URL, or {start}")
        return url

    @property
    def receipts_dir(self) -> Path | None:
        """Where receipts go when they leave Redis: as set, or that of this user's `eraser up`."""
        if self.settings.receipts_dir is None and self.settings.redis_url is None:
            return data_directory(self.settings.simulated) / "receipts"
        return self.settings.receipts_dir

    @cached_property
    def redis(self) -> redis.Redis:
        return connect(self.redis_url)

    @cached_property
    def keys(self) -> Keys:
        """The names of this installation in Redis and at the broker."""
        return Keys(self.settings.namespace)

    def redis_ms(self) -> float:
        """The ledger's time, in ms since 1970: that of one account, for views over all of them. Raises
        `Unreachable`.
        """
        return self.queries(next(iter(self.settings.accounts))).now_ms()

    def ledger(self, account: str) -> Ledger:
        """The ledger of one account."""
        with self._lock:
            if account not in self._ledgers:
                self._ledgers[account] = self._ledger(account, self.account(account).endpoint)
            return self._ledgers[account]

    def unbound_ledger(self, account: str) -> Ledger:
        """The same, whatever address the account has there: only for rebinding it."""
        return self._ledger(account, None)

    def _ledger(self, account: str, endpoint: str | None) -> Ledger:
        policy = gate_policy(self.settings, self.account(account))
        return Ledger(
            self.redis,
            account,
            policy,
            keys=self.keys,
            endpoint=endpoint,
            placer=self.places.claim,
            patience_s=self.patience_s,
            wake=lambda now: self.defer(partial(self.wake, account, now=now)),
            confirmation=None if self.settings.redis_replicas is None else Confirmation(self.settings.redis_replicas),
            clocks=self.clocks,
        )

    def check_ledger(self) -> None:
        """Raise `WrongLedger` if an account has another address there, or an unknown version; and `Unreachable`.

        Every move checks the same; this is for calls to MetaStudio without a move, and for the start of a process.
        """
        found = bindings(self.redis, self.known_accounts(), self.keys)
        refuse_unknown(found)
        for name, bound in found.items():
            ours = self.account(name).endpoint
            if ours is not None and bound.endpoint not in (None, ours):
                raise OtherEndpoint(name, bound=bound.endpoint or "", ours=ours)

    def check_schema(self) -> None:
        """Raise `OtherSchema` if an account has a version that this program does not know: for whatever only reads.

        Asked again after some seconds: a console runs for months. Raises `Unreachable`.
        """
        if elapsed() < self._schema_checked + SCHEMA_CHECK_S:
            return
        with suppress(WrongKind):  # the moves put it aside
            refuse_unknown(bindings(self.redis, self.known_accounts(), self.keys))
        self._schema_checked = elapsed()

    def mark_schema(self) -> None:
        """Let every account have this program's version, if it is newer, also one that nobody uses: else it would keep
        the program after this one out. Raises `WrongLedger` and `Unreachable`.
        """
        for name, bound in bindings(self.redis, self.known_accounts(), self.keys).items():
            if bound.version < VERSION:
                self.ledger(name).mark_schema()

    def account_for(self, project_id: str) -> str:
        """The account of a project; raises `SettingsError` if there is none.

        A process that makes no calls uses the account where the project's deletions are stored already.
        """
        ours = self.settings.account_of(project_id)
        home = self.places.home(project_id) if ours.endpoint is None else None
        return home.account if home else ours.name

    def ledger_of(self, project_id: str) -> Ledger:
        """The ledger of a project's account."""
        return self.ledger(self.account_for(project_id))

    @cached_property
    def places(self) -> Places:
        """The account that stores each project's deletions and holds."""
        return Places(self.redis, self.account_for, self.ledger, self.keys)

    def home_of(self, project_id: str) -> str:
        """The account that stores a project's deletions and holds, or would: for reading and for stopping."""
        home = self.places.home(project_id)
        return home.account if home else self.settings.account_of(project_id).name

    def homes_of(self, project_id: str) -> list[str]:
        """The same; both accounts while the project is being moved."""
        home = self.places.home(project_id)
        return [home.account, *([home.to] if home.to else [])] if home else [self.home_of(project_id)]

    def known_accounts(self) -> list[str]:
        """The accounts of the settings, then used ones that are missing from them. Raises `Unreachable`."""
        ours = self.settings.accounts
        return [*ours, *sorted(self.places.accounts() - ours.keys())]

    def account(self, name: str) -> Account:
        """An account of the settings; or one that is missing from them, for which no calls are made any more."""
        return self.settings.accounts.get(name) or Account(name, None, None, default_rate(None))

    def queries(self, account: str) -> Queries:
        """What people see of one account."""
        self.check_schema()
        named = self.account(account)
        return Queries(self.redis, account, self.keys, rate=named.rate, projects=named.projects, clocks=self.clocks)

    def bulk_queries(self, account: str) -> BulkQueries:
        """A few fields of very many deletions of one account."""
        self.check_schema()
        return BulkQueries(self.redis, account, self.keys)

    def receipts(self, account: str) -> Receipts:
        """One account's receipts, as far as Redis still has them."""
        self.check_schema()
        return Receipts(self.redis, account, self.keys)

    def audit(self, account: str) -> AuditLog:
        """What operators did in one account."""
        self.check_schema()
        return AuditLog(self.redis, account, self.keys)

    def wake(self, account: str, at_ms: float = 0.0, *, now: bool = False) -> None:
        """Ask a dispatcher to check the account at that time of its ledger; now: to call an executor at once. Best
        effort: a full check finds it anyway.
        """
        ledger = self._ledgers.get(account)
        at_ms += ledger.ahead_ms if ledger else 0.0  # wake-ups use Redis's clock
        try:
            scripts.load("wake").run(self.redis, (self.keys.wakeups, self.keys.wake_now), account, at_ms, int(now))
        except redis.RedisError:
            return
