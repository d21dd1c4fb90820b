"""Wires the application: from settings to Redis, ledgers, clients and executors. Built once, on first use."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from worker.config.accounts import CredentialsReference
from worker.config.forks import when_forked
from worker.config.personal import allow
from worker.config.redis_urls import broker_form
from worker.config.settings import Settings
from worker.execution import tracing
from worker.execution.broker_url import Broker, celery_broker
from worker.execution.executor import Executor
from worker.execution.key_budget import KeyBudget, KeyPolicy
from worker.execution.ledger_context import LedgerContext
from worker.execution.observer import Observer
from worker.execution.prefetch import MOST_AHEAD, Prefetch
from worker.execution.settlement_log import log_settled
from worker.lookups.examiner import Examiner
from worker.lookups.lookups import Lookups
from worker.lookups.sightings import Sightings, View
from worker.metastudio.client import Client
from worker.metastudio.credentials import CredentialsSource, Signer
from worker.metastudio.renewing import Renewing
from worker.metastudio.wiring import source_of
from worker.model.erasure import AssetMode, Related
from worker.model.errors import EraserError, SettingsError, Unreachable, WrongLedger
from worker.retention.policy_file import PolicyFile
from worker.retention.revalidation import Revalidation
from worker.rules.backoff import Backoff

log = logging.getLogger(__name__)

MOST_KEPT = 500  # connections of all accounts that are kept open between calls: a process may have 1024 files
BEAT_S = 5.0  # how often a worker writes its heartbeat
WORKER_TIMEOUT_S = 30.0  # a worker without a heartbeat for longer is lost


def policy_file(settings: Settings) -> PolicyFile:
    """The policies of ERASER_CONFIG, for this installation's accounts and projects."""
    return PolicyFile(settings.config, lambda project: settings.account_of(project).name, settings.knows)


@dataclass
class AppContext(LedgerContext):
    """Everything one process needs, built on demand from its settings. Thread-safe."""

    key_policy: KeyPolicy = field(default_factory=KeyPolicy)
    not_archived: dict[str, str] = field(default_factory=dict)  # accounts whose receipts stay in Redis, and why
    archived_here: dict[str, int] = field(default_factory=dict)  # accounts, and the last receipt that its files have
    notify: Callable[[str, str], object] = lambda _account, _wakeup: None  # of a worker: starts an executor
    redis_back: Callable[[], object] = lambda: None  # of a worker that archives: Redis may be an older one
    refused: WrongLedger | None = None  # by the ledger: the dispatcher says why, and ends this worker
    _clients: dict[str, tuple[Client, Callable[[], str]]] = field(default_factory=dict)
    _logins: dict[CredentialsReference, CredentialsSource | Renewing[Any]] = field(default_factory=dict)
    _sights: dict[str, Sightings] = field(default_factory=dict)
    _prefetched: dict[str, Prefetch] = field(default_factory=dict)
    _flushed_by: int = 0  # the process whose dispatcher does
    _barred: dict[str, str] = field(default_factory=dict)  # accounts without usable credentials, and why

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> AppContext:
        """Read the settings of this process. Raises `SettingsError`."""
        settings = Settings.load(environ)
        allow(settings.reason_pattern)
        return cls(settings, environ)

    @cached_property
    def budget(self) -> KeyBudget:
        """The budgets of refused keys."""
        return KeyBudget(
            lambda: self.redis,
            self.keys,
            holder=self.worker,
            wake=self.wake,
            sharing=self._sharing,
            policy=self.key_policy,
            clocks=self.clocks,
        )

    @property
    def broker(self) -> Broker:
        """Celery's broker: as set, or the ledger's Redis."""
        return celery_broker(self.settings.broker_url or broker_form(self.redis_url))

    def _sharing(self, signer: Signer) -> list[str]:
        """Accounts of this process that use this key."""
        return [account for account in list(self._clients) if self.fingerprint(account) == signer.fingerprint]

    def fingerprint(self, account: str) -> str | None:
        """The fingerprint of an account's current key, if it has one."""
        try:
            return self.client(account)[1]()
        except EraserError:
            return None

    @cached_property
    def schedule(self) -> Backoff:
        return Backoff(self.settings.retry_schedule, self.settings.not_deletable_schedule)

    @cached_property
    def policies(self) -> PolicyFile:
        """The current retention policies of ERASER_CONFIG."""
        return policy_file(self.settings)

    def client(self, account: str) -> tuple[Client, Callable[[], str]]:
        """The account's client, and the fingerprint of the current key. Raises `SettingsError`."""
        with self._lock:
            if account not in self._clients:
                named = self.settings.accounts[account]
                source = self._source(named.credentials)
                source.current()  # fail now, with what to set, rather than in an executor
                client = Client(
                    endpoint=named.require_endpoint(),
                    credentials=source,
                    connect_timeout_s=self.settings.connect_timeout,
                    read_timeout_s=self.settings.read_timeout,
                    call_deadline_s=self.settings.call_timeout,
                    pool_size=max(2, min(32, MOST_KEPT // len(self.settings.accounts))),
                    network=self.settings.network,
                    watch=self.budget.of(account),
                )
                self._clients[account] = client, lambda: source.current().fingerprint
            return self._clients[account]

    def sightings(self, account: str) -> Sightings:
        """The recent lists of this process: its control questions."""
        with self._lock:
            return self._sights.setdefault(account, Sightings())

    def _source(self, named: CredentialsReference) -> CredentialsSource | Renewing[Any]:
        """Accounts with the same login share the source of its tokens, and those with the same agency its keys: a wrong
        password is tried once, not by each of them.
        """
        if named.issued_by is None:
            return source_of(named, self.environ, self.settings.network)
        if named not in self._logins:
            self._logins[named] = source_of(named, self.environ, self.settings.network)
        return self._logins[named]

    def executor(self, account: str) -> Executor:
        """An executor for one account."""
        client, key = self.client(account)
        return Executor(
            ledger=self.ledger(account),
            remote=client,
            key=key,
            schedule=self.schedule,
            worker=self.worker,
            call_deadline_s=self.settings.call_timeout,
            notify=lambda wakeup: self.notify(account, wakeup),
            stopping=self.stopping,
            still_meant=Revalidation(self.policies),
            sightings=self.sightings(account),
            ours=lambda project: self.places.is_ours(project, account),
            home=self.home(account),
            related=self.related(account).value,
            first_look_s=self.settings.related_schedule[0],
            to_bin=self.settings.related_assets is AssetMode.BIN,
            prefetch=self._prefetched.setdefault(account, Prefetch(MOST_AHEAD))
            if self._flushed_by == os.getpid()
            else Prefetch(),
        )

    def prefetch(self) -> None:
        """From now on executors of this process may take leases ahead: somebody calls `flush` all the time."""
        self._flushed_by = os.getpid()

    def flush(self, *, everything: bool = False) -> None:
        """Settle and give back what no executor took on in time, or everything. Raises nothing: what fails is kept."""
        for account, prefetch in list(self._prefetched.items()):
            if not (everything or prefetch.is_stale()):
                continue
            try:
                self._flush(account, prefetch)
            except WrongLedger as error:
                self.refused = error
            except Unreachable:  # it is tried again, and the dispatcher says what is away
                continue
            except Exception:  # one account's trouble stops no other
                log.exception("dispatcher.fault", extra={"account": account})

    def _flush(self, account: str, prefetch: Prefetch) -> None:
        ledger = replace(self.ledger(account), patience_s=0.0)
        with prefetch.collect(give_back=True) as results:
            key, earlier = self.fingerprint(account) or "", [one.settlement for one in results]
            answer = ledger.take(worker=self.worker, key=key, want=False, earlier=earlier)
        log_settled(account, results, answer.earlier)
        if answer.wakeup:
            self.notify(account, answer.wakeup)
        if answer.next_ms is not None:
            self.wake(account, answer.next_ms)

    def related(self, account: str) -> Related:
        """What is done about what a job leaves behind, where its request does not say."""
        return self.account(account).related or self.settings.related

    def observer(self, account: str) -> Observer:
        """What looks at what deleted jobs of one account left behind."""
        client, key = self.client(account)

        def lookups(project_id: str, kind: str, app_user: str | None) -> Lookups:
            view = View(key(), project_id, app_user, kind)
            return Lookups(client, self.ledger(account), self.sightings(account), view, pause=self.stopping.wait)

        return Observer(
            self.ledger(account),
            lookups,
            self.settings.related_schedule,
            self.settings.related_assets,
            self.stopping.is_set,
            self.settings.deadline,
            Examiner(client, self.ledger(account), self.stopping.wait),
        )

    def home(self, account: str) -> str | None:
        """The project whose list is requested if no other is given."""
        named, other = self.settings.accounts[account].projects, self.settings.default_project()
        if not named and other is not None and self.settings.account_of(other).name == account:
            return other
        return next(iter(named), None)

    def work(self, account: str, wakeup: str | None = None, *, traceparent: str | None = None) -> None:
        """Work as an executor until nothing is due or its time is over, and let the dispatcher check again in time.

        traceparent: of the message that started it.
        """
        with tracing.executor(account, traceparent):
            self._work(account, wakeup)

    def _work(self, account: str, wakeup: str | None) -> None:
        try:
            result = self.executor(account).work(wakeup)
            next_ms = result.next_ms
            if result.erasures and self.observer(account).work():
                next_ms = 0.0  # somebody looks again at once
            self._barred.pop(account, None)
        except WrongLedger as error:
            self.refused = error
            return
        except SettingsError as error:  # its gate says why, the other accounts continue, and it is tried again
            if self._barred.get(account) != str(error):
                self._barred[account] = str(error)
                log.error("credentials.missing", extra={"account": account, "error": str(error)})
            cause = "misconfigured" if self.settings.accounts[account].endpoint is None else "credentials"
            next_ms = self.ledger(account).block_account(cause, str(error))
        if next_ms is not None:
            self.wake(account, next_ms)


_app_context: AppContext | None = None
_app_context_lock: threading.Lock


def _new_lock() -> None:
    global _app_context_lock  # noqa: PLW0603 - a forked child has its own
    _app_context_lock = threading.Lock()


_new_lock()
when_forked(_new_lock)


def app_context() -> AppContext:
    """This process's application, from its environment. Raises `SettingsError` if that is wrong."""
    global _app_context  # noqa: PLW0603 - the one place where everything is wired
    with _app_context_lock:
        if _app_context is None:
            _app_context = AppContext.load(os.environ)
        return _app_context
