"""Settings: read once from the environment, validated, frozen. Every error says what to set.

A new setting is a line in `KNOWN`, a field, and a line in `Settings.load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from worker.config.accounts import DEFAULT, Account, CredentialsReference, default_rate, nearest, place, read_accounts
from worker.config.durations import format_duration, format_schedule
from worker.config.environment import (
    EVERY,
    SECRET,
    EnvironmentReader,
    as_text,
    check_namespace,
    check_password,
    check_project,
    check_projects,
    check_rate,
)
from worker.config.files import path_named
from worker.config.logins import login_of_environment
from worker.config.namespace import NAMESPACE
from worker.config.urls import broker_form, check_broker_url, check_hosts, check_redis_url, is_loopback, masked
from worker.model.errors import SettingsError

KNOWN = (
    *SECRET,
    *(f"{name}_FILE" for name in SECRET),
    "ERASER_REGION",
    "ERASER_ENDPOINT",
    "ERASER_RATE",
    "ERASER_RETRY_SCHEDULE",
    "ERASER_NOT_DELETABLE_SCHEDULE",
    "ERASER_DEADLINE",
    "ERASER_CONNECT_TIMEOUT",
    "ERASER_READ_TIMEOUT",
    "ERASER_CALL_TIMEOUT",
    "ERASER_LEASE",
    "ERASER_RECORD_TTL",
    "ERASER_CONFIG",
    "ERASER_RECEIPTS_DIR",
    "ERASER_RECEIPT_KEY_FILE",
    "ERASER_REDIS_SERVER",  # the server binary that the embedded mode starts
    "ERASER_IAM_USER",
    "ERASER_IAM_DOMAIN",
    "ERASER_API_TOKENS_FILE",  # hashes of the HTTP API's tokens: not secret, but a file like the secrets
    "ERASER_ALLOWED_HOSTS",
    "ERASER_NAMESPACE",
    "ERASER_PROJECTS",  # projects whose jobs may be deleted
)
RENAMED = {  # old name of a setting -> new name
    "ERASER_KEEP_FINAL": "ERASER_RECORD_TTL",
    "ERASER_CALL_DEADLINE": "ERASER_CALL_TIMEOUT",
    "ERASER_CONSOLE_HOSTS": "ERASER_ALLOWED_HOSTS",
}
PROJECT = "HUAWEICLOUD_SDK_PROJECT_ID"

RETRY_SCHEDULE = "10s,30s,2m,5m,15m,30m,1h,2h,4h,8h"  # eleven attempts, about 16 hours
NOT_DELETABLE_SCHEDULE = "1m,10m,1h,4h,12h,24h"  # the last step repeats until the deadline

_PREFIXES = ("ERASER_", "HUAWEICLOUD_SDK_")


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings. Durations are in seconds; they contain no credentials, only how to find them."""

    redis_url: str | None = field(repr=False)
    broker_url: str | None = field(repr=False)  # as Celery writes it
    rate: float | None  # an explicit ERASER_RATE; what counts is each account's
    retry_schedule: tuple[float, ...]  # its length + 1 is the number of attempts
    not_deletable_schedule: tuple[float, ...]  # the last step repeats
    deadline: float
    connect_timeout: float
    read_timeout: float  # never longer than the call's deadline
    call_timeout: float
    lease: float
    record_ttl: float
    console_password: str | None = field(repr=False)
    config: Path | None
    receipts_dir: Path | None  # where receipts go when they leave Redis; None: they stay there
    receipt_key: Path | None  # an Ed25519 private key that signs them
    redis_server: Path | None
    api_tokens: Path | None
    namespace: str  # the prefix of all keys and queues
    allowed_hosts: tuple[str, ...]  # host names of the HTTP server, besides those of this machine
    accounts: Mapping[str, Account]
    owners: Mapping[str, str]  # project -> its account, if set
    project: str | None  # HUAWEICLOUD_SDK_PROJECT_ID
    projects: frozenset[str]  # this installation's own, by name
    every_project: bool  # ERASER_PROJECTS=*: any other is allowed, too
    origins: Mapping[str, str] = field(repr=False, compare=False)  # setting -> where its value comes from

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every setting; raises `SettingsError` for the first that is wrong."""
        _refuse_unknown(environ)
        read = EnvironmentReader(environ)
        redis_url = read.secret("ERASER_REDIS_URL", check_redis_url)
        broker_url = read.secret("ERASER_BROKER_URL", check_broker_url)
        if broker_url is None and redis_url is not None:
            broker_url = broker_form(redis_url)
            read.origins["ERASER_BROKER_URL"] = "ERASER_REDIS_URL"
        connect_timeout = read.duration("ERASER_CONNECT_TIMEOUT", "5s")
        call_timeout = read.call_timeout(connect_timeout)
        read_timeout = min(read.duration("ERASER_READ_TIMEOUT", "30s"), call_timeout)
        rate = read.value("ERASER_RATE", check_rate)
        project = read.secret(PROJECT, check_project)  # not secret, but all the SDK's names may come as _FILE here
        config = read.value("ERASER_CONFIG", path_named)
        listed = read.value("ERASER_PROJECTS", check_projects)
        named = listed if listed and listed != (EVERY,) else (project,) if project else ()
        accounts = _accounts(read, config, rate, named)
        return cls(
            redis_url=redis_url,
            broker_url=broker_url,
            rate=rate,
            retry_schedule=read.schedule("ERASER_RETRY_SCHEDULE", RETRY_SCHEDULE),
            not_deletable_schedule=read.schedule("ERASER_NOT_DELETABLE_SCHEDULE", NOT_DELETABLE_SCHEDULE),
            deadline=read.duration("ERASER_DEADLINE", "30d"),
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            call_timeout=call_timeout,
            lease=read.lease(call_timeout),
            record_ttl=read.duration("ERASER_RECORD_TTL", "400d"),
            console_password=read.secret("ERASER_CONSOLE_PASSWORD", check_password),
            config=config,
            receipts_dir=read.value("ERASER_RECEIPTS_DIR", path_named),
            receipt_key=read.value("ERASER_RECEIPT_KEY_FILE", path_named),
            redis_server=read.value("ERASER_REDIS_SERVER", path_named),
            api_tokens=read.value("ERASER_API_TOKENS_FILE", path_named),
            namespace=read.value("ERASER_NAMESPACE", check_namespace) or NAMESPACE,
            allowed_hosts=read.value("ERASER_ALLOWED_HOSTS", check_hosts) or (),
            accounts=MappingProxyType(accounts),
            owners=MappingProxyType({one: name for name, account in accounts.items() for one in account.projects}),
            project=project,
            projects=frozenset(named).union(*(account.projects for account in accounts.values())),
            every_project=listed == (EVERY,),
            origins=MappingProxyType(read.origins),
        )

    def account_of(self, project_id: str) -> Account:
        """The account of this project; raises `SettingsError` if there is none."""
        if project_id in self.owners:
            return self.accounts[self.owners[project_id]]
        if DEFAULT in self.accounts:
            return self.accounts[DEFAULT]
        raise SettingsError(
            "ERASER_CONFIG",
            f"project {project_id} belongs to no account: add it to the projects of one of "
            f"{', '.join(self.accounts)} in {self.config}, or add an account named {DEFAULT}",
        )

    def default_project(self) -> str | None:
        """The default project of commands: the environment's, or the only one."""
        if self.project is not None:
            return self.project
        return next(iter(self.projects)) if len(self.projects) == 1 else None

    @property
    def simulated(self) -> bool | None:
        """Whether all calls stay on this machine: then a simulator answers. None: this process makes no calls."""
        called = [account.endpoint for account in self.accounts.values() if account.endpoint]
        return all(is_loopback(urlsplit(endpoint).hostname or "") for endpoint in called) if called else None

    def knows(self, project_id: str) -> bool:
        """Whether deletions may be requested in this project without allowing it explicitly."""
        return self.every_project or project_id in self.projects

    def describe(self) -> list[tuple[str, str, str]]:
        """(name, effective value, origin) of every setting and account, with secrets masked, for people."""
        rows = [(name, value, self.origins.get(name, "default")) for name, value in self._values().items()]
        for account in self.accounts.values():
            where = account.endpoint or "no endpoint: this process can only record requests"
            text = f"{where}, {account.rate:g}/s, {_count(account.projects)}, credentials: {account.credentials}"
            rows.append((f"account {account.name}", text, "ERASER_CONFIG" if self.config else "environment"))
        return rows

    def _values(self) -> dict[str, str]:
        return {
            "ERASER_REDIS_URL": masked(self.redis_url) if self.redis_url else "not set",
            "ERASER_BROKER_URL": masked(self.broker_url) if self.broker_url else "not set",
            "ERASER_RATE": f"{self.rate:g}" if self.rate else "by region",
            "ERASER_RETRY_SCHEDULE": format_schedule(self.retry_schedule),
            "ERASER_NOT_DELETABLE_SCHEDULE": format_schedule(self.not_deletable_schedule),
            "ERASER_DEADLINE": format_duration(self.deadline),
            "ERASER_CONNECT_TIMEOUT": format_duration(self.connect_timeout),
            "ERASER_READ_TIMEOUT": format_duration(self.read_timeout),
            "ERASER_CALL_TIMEOUT": format_duration(self.call_timeout),
            "ERASER_LEASE": format_duration(self.lease),
            "ERASER_RECORD_TTL": format_duration(self.record_ttl),
            "ERASER_CONFIG": str(self.config or "not set"),
            "ERASER_RECEIPTS_DIR": str(self.receipts_dir or "not set here; workers without it leave them in Redis"),
            "ERASER_RECEIPT_KEY_FILE": str(self.receipt_key or "not set: receipts are not signed"),
            "ERASER_REDIS_SERVER": str(self.redis_server or "not set"),
            "ERASER_API_TOKENS_FILE": str(self.api_tokens or "not set"),
            "ERASER_NAMESPACE": self.namespace,
            "ERASER_PROJECTS": EVERY if self.every_project else ", ".join(sorted(self.projects)) or "none",
            "ERASER_ALLOWED_HOSTS": ", ".join(self.allowed_hosts) or "this machine's own names",
            "ERASER_CONSOLE_PASSWORD": "set" if self.console_password else "not set",
            PROJECT: self.project or "not set",
        }


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        meant = name.strip("\ufeff\"' \t\r\xa0")
        if meant != name and meant.startswith(_PREFIXES):
            raise SettingsError(
                meant, f"its name is written as {name!r}: an env file has a mark, quotes or a blank there; remove them"
            )
        if name in RENAMED:
            raise SettingsError(name, f"{name} is called {RENAMED[name]} now: rename it")
        if name.startswith("ERASER_") and name not in KNOWN:
            raise SettingsError(name, f"there is no such setting{nearest(name, KNOWN)}: correct or unset it")


def _accounts(
    read: EnvironmentReader, config: Path | None, rate: float | None, projects: tuple[str, ...]
) -> dict[str, Account]:
    region, endpoint = read.value("ERASER_REGION", as_text), read.value("ERASER_ENDPOINT", as_text)
    endpoint, region = place(region, endpoint, ("ERASER_REGION", "ERASER_ENDPOINT"))
    ours = Account(
        name=DEFAULT,
        endpoint=endpoint,
        region=region,
        rate=rate or default_rate(region),
        projects=projects,
        credentials=CredentialsReference(login=login_of_environment(read.environ)),
    )
    found = read_accounts(config, around=ours, rate=rate) if config else {}
    return {name: account.near_iam(read.environ) for name, account in (found or {DEFAULT: ours}).items()}


def _count(projects: tuple[str, ...]) -> str:
    return "every project" if not projects else "1 project" if len(projects) == 1 else f"{len(projects)} projects"
