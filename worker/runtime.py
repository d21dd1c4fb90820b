"""Where everything is put together: settings to Redis, ledgers, clients and hands. Built once, when first asked for."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import redis

from worker.accounts import Account, CredentialsReference, default_rate
from worker.budget import Budget, KeyPolicy
from worker.clock import PROCESS, Clocks
from worker.data_directory import data_directory, find_running
from worker.errors import EraserError, OtherEndpoint, SettingsError, Unreachable
from worker.hand import Hand
from worker.keys import Keys
from worker.ledger.audit import AuditLog
from worker.ledger.bindings import bindings
from worker.ledger.glance import Glance
from worker.ledger.moves import GatePolicy
from worker.ledger.places import Places
from worker.ledger.read import ReadModel
from worker.ledger.receipts import Receipts
from worker.ledger.store import Ledger, connect
from worker.lookups.lookups import ROWS
from worker.lookups.sights import Sights
from worker.metastudio.answer import Answer, Listing
from worker.metastudio.client import Client
from worker.metastudio.credentials import CredentialsSource, Signer
from worker.metastudio.iam import IamTokens
from worker.metastudio.wiring import source_of
from worker.retention.book import PolicyBook
from worker.retention.reread import Reread
from worker.schedule import Schedule
from worker.settings import Settings

log = logging.getLogger(__name__)

LOOKS_PER_DELETE = 0.5  # the pace of lookups against that of deletions; the documented limit for lists is twice as high
MOST_KEPT = 500  # connections of all accounts that are kept open between calls: a process may have 1024 files
BEAT_S = 5.0  # how often a worker says that it lives
HEARD_S = 30.0  # a worker unheard for longer is gone

# It first removes something, so that it runs on when Redis is full.
_WAKE = """
redis.call('ZREM', KEYS[1], '-')
return redis.call('ZADD', KEYS[1], 'LT', ARGV[1], ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class _Remote:
    """A client as a hand sees it."""

    client: Client

    def delete(
        self, project_id: str, job_id: str, *, app_user: str | None = None, signed_at: datetime | None = None
    ) -> Answer:
        return self.client.delete(project_id, job_id, app_user=app_user, signed_at=signed_at)

    def ask(
        self,
        project_id: str,
        *,
        job_id: str | None,
        rows: int = ROWS,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        within_s: float | None = None,
    ) -> Listing:
        return self.client.list(
            project_id, job_id=job_id, limit=rows, app_user=app_user, signed_at=signed_at, within_s=within_s
        )

    def ready(self, project_id: str) -> Answer | None:
        return self.client.ready(project_id)

    def told(self, now: datetime, ago_s: float) -> None:
        self.client.clock.told(now, ago_s)

    def renew(self, refused: Answer) -> bool:
        return self.client.renew(refused)


def gate_policy(settings: Settings, account: Account) -> GatePolicy:
    """The gate's knobs: the documented pace, and pauses that fit the retry schedule (a demo's is short)."""
    interval = 1000 / account.rate
    first = settings.retry_schedule[0] * 1000
    return GatePolicy(
        interval=interval,
        lease=settings.lease * 1000,
        look_interval=interval / LOOKS_PER_DELETE,
        outage_pause=min(2_000, first),
        outage_pause_max=min(180_000, first * 18),
        misconfigured_pause=min(60_000, first * 6),
        misconfigured_pause_max=min(900_000, first * 90),
        bar_pause=min(60_000, first * 6),
    )


def policy_book(settings: Settings) -> PolicyBook:
    """The policies of ERASER_CONFIG, for this installation's accounts and projects."""
    return PolicyBook(settings.config, lambda project: settings.account_of(project).name, settings.knows)


@dataclass
class Runtime:
    """Everything one process needs, built on demand from its settings. Thread-safe."""

    settings: Settings
    environ: Mapping[str, str]
    worker: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    stopping: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], datetime] = PROCESS.now
    clocks: Clocks = PROCESS.witnesses
    key_policy: KeyPolicy = field(default_factory=KeyPolicy)
    patience_s: float = 4.0  # how long a ledger of this process repeats a move while Redis is away
    not_archived: dict[str, str] = field(default_factory=dict)  # accounts whose receipts stay in Redis, and why
    _ledgers: dict[str, Ledger] = field(default_factory=dict)
    _clients: dict[str, tuple[Client, Callable[[], str]]] = field(default_factory=dict)
    _logins: dict[CredentialsReference, CredentialsSource | IamTokens] = field(default_factory=dict)
    _sights: dict[str, Sights] = field(default_factory=dict)
    _barred: dict[str, str] = field(default_factory=dict)  # accounts that it cannot call for, and why
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Runtime:
        """Read the settings of this process. Raises `SettingsError`."""
        return cls(Settings.load(environ), environ)

    @cached_property
    def redis_url(self) -> str:
        """The ledger's Redis: as set, or that of a running `eraser up` of this user."""
        url = self.settings.redis_url or find_running(data_directory(self.settings.simulated))
        if url is None:
            raise Unreachable(
                "no Redis: set ERASER_REDIS_URL, or start one on this machine with `eraser up` (or try `eraser demo`)"
            )
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
        """What everything of this installation is called in Redis and at the broker."""
        return Keys(self.settings.namespace)

    @cached_property
    def budget(self) -> Budget:
        """How often which key may be refused."""
        wake = partial(self.wake, at_ms=0)
        return Budget(
            lambda: self.redis,
            self.keys,
            holder=self.worker,
            wake=wake,
            sharing=self._sharing,
            policy=self.key_policy,
            clocks=self.clocks,
        )

    def _sharing(self, signer: Signer) -> list[str]:
        """Accounts of this process that use this key."""
        return [account for account in list(self._clients) if self.fingerprint(account) == signer.fingerprint]

    def fingerprint(self, account: str) -> str | None:
        """Of the key in use for an account, where it has one."""
        try:
            return self.client(account)[1]()
        except EraserError:
            return None

    @cached_property
    def schedule(self) -> Schedule:
        return Schedule(self.settings.retry_schedule, self.settings.not_deletable_schedule)

    @cached_property
    def policies(self) -> PolicyBook:
        """The retention policies of ERASER_CONFIG, as the file says at each moment."""
        return policy_book(self.settings)

    def redis_ms(self) -> float:
        """The ledger's time, in ms since 1970: of one account, where people look at all. Raises `Unreachable`."""
        return self.reads(next(iter(self.settings.accounts))).now_ms()

    def ledger(self, account: str) -> Ledger:
        """The ledger of one account."""
        with self._lock:
            if account not in self._ledgers:
                self._ledgers[account] = self._ledger(account, self.account(account).endpoint)
            return self._ledgers[account]

    def unbound_ledger(self, account: str) -> Ledger:
        """The same, whatever address the account has there: only to give it another one."""
        return self._ledger(account, None)

    def _ledger(self, account: str, endpoint: str | None) -> Ledger:
        policy = gate_policy(self.settings, self.account(account))
        return Ledger(
            self.redis,
            account,
            policy,
            self.keys,
            endpoint=endpoint,
            placer=self.places.claim,
            patience_s=self.patience_s,
            clocks=self.clocks,
        )

    def check_endpoints(self) -> None:
        """Raise `OtherEndpoint` where an account has another address in the ledger, and `Unreachable`.

        Every move asks the same; this is for whoever calls MetaStudio without one, or has to be told at its start.
        """
        accounts = self.settings.accounts
        for name, bound in bindings(self.redis, accounts, self.keys).items():
            ours = accounts[name].endpoint
            if ours is not None and ours != bound.endpoint:
                raise OtherEndpoint(name, bound=bound.endpoint, ours=ours)

    def account_for(self, project_id: str) -> str:
        """The account that calls for a project; raises `SettingsError` where none does.

        A process that calls nobody has no opinion of its own: it follows where the project's deletions lie already.
        """
        ours = self.settings.account_of(project_id)
        home = self.places.home(project_id) if ours.endpoint is None else None
        return home.account if home else ours.name

    def ledger_of(self, project_id: str) -> Ledger:
        """The ledger of the account that calls for a project."""
        return self.ledger(self.account_for(project_id))

    @cached_property
    def places(self) -> Places:
        """Where each project's deletions and holds lie."""
        return Places(self.redis, self.account_for, self.ledger, self.keys)

    def home_of(self, project_id: str) -> str:
        """The account in which a project's deletions and holds lie, or would: for whoever looks, or stops something."""
        home = self.places.home(project_id)
        return home.account if home else self.settings.account_of(project_id).name

    def homes_of(self, project_id: str) -> list[str]:
        """The same; while the project is being moved both accounts."""
        home = self.places.home(project_id)
        return [home.account, *([home.to] if home.to else [])] if home else [self.home_of(project_id)]

    def known_accounts(self) -> list[str]:
        """The accounts of the settings, then those that are gone from them but were used. Raises `Unreachable`."""
        ours = self.settings.accounts
        return [*ours, *sorted(self.places.accounts() - ours.keys())]

    def account(self, name: str) -> Account:
        """An account of the settings; or one that is gone from them, for which nobody calls any more."""
        return self.settings.accounts.get(name) or Account(name, None, None, default_rate(None))

    def reads(self, account: str) -> ReadModel:
        """What people see of one account."""
        named = self.account(account)
        return ReadModel(self.redis, account, self.keys, rate=named.rate, projects=named.projects, clocks=self.clocks)

    def glance(self, account: str) -> Glance:
        """A few fields of very many deletions of one account."""
        return Glance(self.redis, account, self.keys)

    def receipts(self, account: str) -> Receipts:
        """One account's receipts, as far as Redis still has them."""
        return Receipts(self.redis, account, self.keys)

    def audit(self, account: str) -> AuditLog:
        """What operators did in one account."""
        return AuditLog(self.redis, account, self.keys)

    def client(self, account: str) -> tuple[Client, Callable[[], str]]:
        """The account's way to MetaStudio, and the fingerprint of the key in use. Raises `SettingsError`."""
        with self._lock:
            if account not in self._clients:
                named = self.settings.accounts[account]
                source = self._source(named.credentials)
                source.current()  # fail now, with what to set, rather than in a hand
                client = Client(
                    endpoint=named.require_endpoint(),
                    credentials=source,
                    connect_timeout_s=self.settings.connect_timeout,
                    read_timeout_s=self.settings.read_timeout,
                    call_deadline_s=self.settings.call_timeout,
                    pool_size=max(2, min(32, MOST_KEPT // len(self.settings.accounts))),
                    watch=self.budget.of(account),
                )
                self._clients[account] = client, lambda: source.current().fingerprint
            return self._clients[account]

    def remote(self, account: str) -> _Remote:
        """The same as lookups and hands want it. Raises `SettingsError`."""
        return _Remote(self.client(account)[0])

    def sights(self, account: str) -> Sights:
        """What lists showed this process of late: its control questions."""
        with self._lock:
            return self._sights.setdefault(account, Sights())

    def _source(self, named: CredentialsReference) -> CredentialsSource | IamTokens:
        """Accounts of one login share what asks for its tokens: a wrong password is tried once, not by each of them."""
        if named.login is None:
            return source_of(named, self.environ)
        if named not in self._logins:
            self._logins[named] = source_of(named, self.environ)
        return self._logins[named]

    def hand(self, account: str, ring: Callable[[str, str], None]) -> Hand:
        """A hand for one account. `ring(account, bell)` calls another."""
        _, key = self.client(account)
        return Hand(
            ledger=self.ledger(account),
            remote=self.remote(account),
            key=key,
            schedule=self.schedule,
            worker=self.worker,
            call_deadline_s=self.settings.call_timeout,
            ring=lambda bell: ring(account, bell),
            stopping=self.stopping,
            still_meant=Reread(self.policies),
            sights=self.sights(account),
            ours=lambda project: self.places.is_ours(project, account),
            home=self.home(account),
        )

    def home(self, account: str) -> str | None:
        """The project whose list is asked for where no other is meant."""
        named, other = self.settings.accounts[account].projects, self.settings.default_project()
        if not named and other is not None and self.settings.account_of(other).name == account:
            return other
        return next(iter(named), None)

    def work(self, account: str, ring: Callable[[str, str], None], bell: str | None = None) -> None:
        """Work as a hand until nothing is due or its time is over, and see that somebody looks again in time."""
        try:
            next_ms = self.hand(account, ring).work(bell).next_ms
            self._barred.pop(account, None)
        except OtherEndpoint as error:
            self._refused(account, error)
            return
        except SettingsError as error:
            next_ms = self._bar(account, error)
        if next_ms is not None:
            self.wake(account, next_ms)

    def _refused(self, account: str, error: OtherEndpoint) -> None:
        """The account is none of ours, so nothing is done for it; the dispatcher ends this worker."""
        if self._barred.get(account) != str(error):
            self._barred[account] = str(error)
            log.error("endpoint.refused", extra={"account": account, "error": str(error)})

    def _bar(self, account: str, error: SettingsError) -> float | None:
        """Nothing to call with for this account: its gate says why, the others go on, and it is tried again."""
        if self._barred.get(account) != str(error):
            self._barred[account] = str(error)
            log.error("credentials.missing", extra={"account": account, "error": str(error)})
        placed = self.settings.accounts[account].endpoint is not None
        return self.ledger(account).bar("credentials" if placed else "misconfigured", str(error))

    def wake(self, account: str, at_ms: float) -> None:
        """Ask the dispatcher to look at the account at that time of its ledger. Best effort: a full look finds it."""
        ledger = self._ledgers.get(account)
        at_ms += ledger.ahead_ms if ledger else 0.0  # wake-ups stand by Redis's clock
        try:
            self.redis.eval(_WAKE, 1, self.keys.wakeups, at_ms, account)
        except redis.RedisError:
            return


_runtime: Runtime | None = None
_runtime_lock = threading.Lock()


def runtime() -> Runtime:
    """This process's runtime, from its environment. Raises `SettingsError` when that is wrong."""
    global _runtime  # noqa: PLW0603 - the one place where things are wired
    with _runtime_lock:
        if _runtime is None:
            _runtime = Runtime.load(os.environ)
        return _runtime
