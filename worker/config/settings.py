"""Settings: read once from the environment, validated, frozen. Every error says what to set.

A new setting is one field of `Settings`: its name, its check, its default, and how people see it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from worker.config.accounts import DEFAULT, Account
from worker.config.accounts_of_environment import ENDPOINT, REGION, accounts_of
from worker.config.durations import format_duration, format_schedule, parse_duration, parse_schedule
from worker.config.environment import (
    EVERY,
    REASON_PATTERN,
    SECRET,
    EnvironmentReader,
    check_assets,
    check_namespace,
    check_password,
    check_pattern,
    check_project,
    check_projects,
    check_rate,
    check_related,
    check_replicas,
    parsed,
    refuse_unknown,
)
from worker.config.files import path_named
from worker.config.keyless import CREDENTIALS, METADATA
from worker.config.log_format import LOG_FORMAT, LogFormat, check_log_format
from worker.config.logins import DOMAIN, USER
from worker.config.namespace import NAMESPACE
from worker.config.network import NO_PROXY, PROXY, Network, Proxy, check_no_proxy, check_proxy
from worker.config.problems import Problems
from worker.config.redis_urls import broker_of, check_broker_url, check_redis_url
from worker.config.toml import CONFIG
from worker.config.trust import CA_BUNDLE, check_ca_bundle
from worker.config.urls import check_hosts, is_loopback, masked
from worker.config.webhooks import KEY, Endpoint, check_key, read_webhooks
from worker.model.erasure import AssetMode, Related
from worker.model.errors import SettingsError

PROJECT = "HUAWEICLOUD_SDK_PROJECT_ID"
PROJECTS = "ERASER_PROJECTS"
REDIS_URL, BROKER_URL = "ERASER_REDIS_URL", "ERASER_BROKER_URL"
LEASE, CALL_TIMEOUT, CONNECT_TIMEOUT = "ERASER_LEASE", "ERASER_CALL_TIMEOUT", "ERASER_CONNECT_TIMEOUT"
READ_TIMEOUT = "ERASER_READ_TIMEOUT"

RETRY_SCHEDULE = "10s,30s,2m,5m,15m,30m,1h,2h,4h,8h"  # eleven attempts, about 16 hours
NOT_DELETABLE_SCHEDULE = "1m,10m,1h,4h,12h,24h"  # the last step repeats until the deadline
RELATED_SCHEDULE = "1m,10m,1d"
LEASE_MARGIN = 15.0  # seconds between the end of the longest call and the end of its lease
SHORTEST_LEASE_MARGIN = 1.0


def _setting(
    name: str,
    check: Callable[[str, str], Any],
    *,
    default: Any = None,
    shown: Callable[[Any], str] = str,
    unset: str = "not set",
    show: bool = True,
) -> Any:
    """A field that is read from the environment. shown: how people see a value, unset: what they see without one."""
    return field(repr=show, metadata={"name": name, "check": check, "default": default, "shown": shown, "unset": unset})


def _duration(name: str, default: str) -> Any:
    return _setting(name, parsed(parse_duration), default=parse_duration(default), shown=format_duration)


def _schedule(name: str, default: str) -> Any:
    return _setting(name, parsed(parse_schedule), default=parse_schedule(default), shown=format_schedule)


def _recheck(text: str) -> float | None:
    """A duration, or `off`."""
    return None if text.strip() == "off" else parse_duration(text)


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings. Durations are in seconds; they contain no credentials, only how to find them."""

    accounts: Mapping[str, Account]
    owners: Mapping[str, str]  # project -> its account, if set
    webhooks: Mapping[str, Endpoint]  # where events are sent, by name
    projects: frozenset[str]  # this installation's own, by name
    every_project: bool  # ERASER_PROJECTS=*: any other is allowed, too
    origins: Mapping[str, str] = field(repr=False, compare=False)  # setting -> where its value comes from

    redis_url: str | None = _setting(REDIS_URL, check_redis_url, shown=masked, show=False)
    redis_replicas: int | None = _setting(  # how many must have what is confirmed; 0: the server's own disk
        "ERASER_REDIS_REPLICAS", check_replicas, unset="not set: the primary's answer counts"
    )
    # as Celery writes it, but for Sentinels: see `worker.execution.broker_url`
    broker_url: str | None = _setting(BROKER_URL, check_broker_url, shown=masked, show=False)
    # an explicit ERASER_RATE; what counts is each account's
    rate: float | None = _setting("ERASER_RATE", check_rate, shown="{:g}".format, unset="by region")
    retry_schedule: tuple[float, ...] = _schedule("ERASER_RETRY_SCHEDULE", RETRY_SCHEDULE)  # attempts are one more
    not_deletable_schedule: tuple[float, ...] = _schedule("ERASER_NOT_DELETABLE_SCHEDULE", NOT_DELETABLE_SCHEDULE)
    deadline: float = _duration("ERASER_DEADLINE", "30d")
    connect_timeout: float = _duration(CONNECT_TIMEOUT, "5s")
    read_timeout: float = _duration(READ_TIMEOUT, "30s")  # never longer than the call's deadline
    call_timeout: float = _duration(CALL_TIMEOUT, "45s")
    lease: float = _setting(LEASE, parsed(parse_duration), shown=format_duration)
    record_ttl: float = _duration("ERASER_RECORD_TTL", "400d")
    ca_bundle: Path | None = _setting(CA_BUNDLE, check_ca_bundle, unset="not set: the public CAs are trusted")
    proxy: Proxy | None = _setting(PROXY, check_proxy, unset="not set: hosts are reached straight", show=False)
    no_proxy: tuple[str, ...] = _setting(
        NO_PROXY, check_no_proxy, default=(), shown=", ".join, unset="this machine only"
    )
    # what is done about what a job leaves behind: docs/related.md
    related: Related = _setting("ERASER_RELATED", check_related, default=Related.VERIFY)
    related_schedule: tuple[float, ...] = _schedule("ERASER_RELATED_SCHEDULE", RELATED_SCHEDULE)  # after the deletion
    related_assets: AssetMode = _setting("ERASER_RELATED_ASSETS", check_assets, default=AssetMode.FORCE)
    console_password: str | None = _setting(
        "ERASER_CONSOLE_PASSWORD", check_password, shown=lambda _: "set", show=False
    )
    webhooks_key: str | None = _setting(KEY, check_key, shown=lambda _: "set", show=False)
    config: Path | None = _setting(CONFIG, path_named)
    receipts_dir: Path | None = _setting(  # where receipts go when they leave Redis; None: they stay there
        "ERASER_RECEIPTS_DIR", path_named, unset="that of eraser up, where it runs; other workers leave them in Redis"
    )
    receipt_key: Path | None = _setting(  # an Ed25519 private key that signs them
        "ERASER_RECEIPT_KEY_FILE", path_named, unset="not set: receipts are not signed"
    )
    recheck: float | None = _setting(  # how often workers look whether deleted jobs are still gone; None: never
        "ERASER_RECHECK", parsed(_recheck), shown=format_duration, unset="off"
    )
    redis_server: Path | None = _setting("ERASER_REDIS_SERVER", path_named)  # the binary of the embedded mode
    # hashes of the HTTP API's tokens: not secret, but a file like the secrets
    api_tokens: Path | None = _setting("ERASER_API_TOKENS_FILE", path_named)
    # the prefix of all keys and queues
    namespace: str = _setting("ERASER_NAMESPACE", check_namespace, default=NAMESPACE)
    allowed_hosts: tuple[str, ...] = _setting(  # host names of the HTTP server, besides those of this machine
        "ERASER_ALLOWED_HOSTS", check_hosts, default=(), shown=", ".join, unset="this machine's own names"
    )
    reason_pattern: re.Pattern[str] | None = _setting(  # what passes as a reason or an id, whatever its form
        REASON_PATTERN, check_pattern, shown=lambda pattern: pattern.pattern, unset="not set"
    )
    log_format: LogFormat = _setting(LOG_FORMAT, check_log_format, default=LogFormat.AUTO)
    project: str | None = _setting(PROJECT, check_project)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check every setting; raises `SettingsError` with all that is wrong."""
        reader, problems = EnvironmentReader(environ), Problems()
        for name in sorted(environ):
            with problems:
                refuse_unknown(name, KNOWN)
        values = {each.name: each.metadata["default"] for each in _FROM_ENVIRONMENT}
        for each in _FROM_ENVIRONMENT:
            with problems:
                values[each.name] = _value(reader, **each.metadata)
        listed, project = None, values["project"]
        with problems:
            listed = reader.value(PROJECTS, check_projects)
        named = listed if listed and listed != (EVERY,) else (project,) if project else ()
        accounts = accounts_of(reader, problems, config=values["config"], rate=values["rate"], projects=named)
        owners = {one: name for name, account in accounts.items() for one in account.projects}
        any_project = not accounts or DEFAULT in accounts  # none: what is wrong with them is known already

        def why_not_ours(project: str) -> str | None:
            return None if any_project or project in owners else _no_account(project, accounts, values["config"])

        webhooks: dict[str, Endpoint] = {}
        with problems:
            webhooks = read_webhooks(values["config"], why_not_ours) if values["config"] else {}
        if values["redis_url"] is not None and values["broker_url"] is None and problems.none_of(BROKER_URL):
            with problems:
                values["broker_url"] = broker_of(values["redis_url"])
                reader.origins[BROKER_URL] = REDIS_URL
        if values["read_timeout"] > values["call_timeout"]:
            values["read_timeout"], reader.origins[READ_TIMEOUT] = values["call_timeout"], CALL_TIMEOUT
        if values["lease"] is None:
            values["lease"] = values["call_timeout"] + LEASE_MARGIN
            reader.origins |= {LEASE: CALL_TIMEOUT} if CALL_TIMEOUT in reader.origins else {}
        if problems.none_of(CALL_TIMEOUT, CONNECT_TIMEOUT, LEASE):
            _check_timeouts(values, problems)
        problems.settle(reader.origins)
        theirs = any(account.place and account.projects for account in accounts.values())
        whence = (reader.origins.get(PROJECTS) or (project and PROJECT), CONFIG if theirs else None)
        reader.origins[PROJECTS] = ", ".join(filter(None, whence)) or "default"
        return cls(
            **values,
            accounts=MappingProxyType(accounts),
            webhooks=MappingProxyType(webhooks),
            owners=MappingProxyType(owners),
            projects=frozenset(named).union(*(account.projects for account in accounts.values())),
            every_project=listed == (EVERY,),
            origins=MappingProxyType(reader.origins),
        )

    def account_of(self, project_id: str) -> Account:
        """The account of this project; raises `SettingsError` if there is none."""
        if project_id in self.owners:
            return self.accounts[self.owners[project_id]]
        if DEFAULT in self.accounts:
            return self.accounts[DEFAULT]
        raise SettingsError(CONFIG, _no_account(project_id, self.accounts, self.config))

    def default_project(self) -> str | None:
        """The default project of commands: the environment's, or the only one."""
        if self.project is not None:
            return self.project
        return next(iter(self.projects)) if len(self.projects) == 1 else None

    @property
    def network(self) -> Network:
        """How calls leave this machine."""
        return Network(self.ca_bundle, self.proxy, self.no_proxy)

    @property
    def simulated(self) -> bool | None:
        """Whether all calls stay on this machine: then a simulator answers. None: this process makes no calls."""
        called = [account.endpoint for account in self.accounts.values() if account.endpoint]
        return all(is_loopback(urlsplit(endpoint).hostname or "") for endpoint in called) if called else None

    def knows(self, project_id: str) -> bool:
        """Whether deletions may be requested in this project without allowing it explicitly."""
        return self.every_project or project_id in self.projects

    def described(self) -> Iterator[tuple[str, str | None, str, str]]:
        """(name, effective value, what people see without one, origin) of every setting, with secrets masked."""
        for each in _FROM_ENVIRONMENT:
            name, value = each.metadata["name"], getattr(self, each.name)
            text = None if value in (None, ()) else each.metadata["shown"](value)
            yield name, text, each.metadata["unset"], self.origins.get(name, "default")
        projects = EVERY if self.every_project else ", ".join(sorted(self.projects)) or None
        yield PROJECTS, projects, "none", self.origins.get(PROJECTS, "default")

    def describe(self) -> list[tuple[str, str, str]]:
        """(name, effective value, origin) of every setting and account, with secrets masked, for people."""
        rows = [(name, unset if value is None else value, origin) for name, value, unset, origin in self.described()]
        return [*rows, *((f"account {one.name}", *one.described()) for one in self.accounts.values())]


_FROM_ENVIRONMENT = tuple(each for each in fields(Settings) if each.metadata)
KNOWN = (
    *(each.metadata["name"] for each in _FROM_ENVIRONMENT if each.name != "project"),
    *(f"{name}_FILE" for name in SECRET),
    *(CREDENTIALS, METADATA, "ERASER_IAM_PASSWORD", USER, DOMAIN, REGION, ENDPOINT, PROJECTS),
)


def _value(reader: EnvironmentReader, name: str, check: Callable[[str, str], Any], default: Any, **_: Any) -> Any:
    or_file = name in SECRET or name == PROJECT  # not secret, but all the SDK's names may come as _FILE here
    value = reader.value(name, check, or_file=or_file)
    return default if value is None else value


def _no_account(project_id: str, accounts: Iterable[str], config: Path | None) -> str:
    return (
        f"project {project_id} belongs to no account: add it to the projects of one of {', '.join(accounts)} in "
        f"{config}, or add an account named {DEFAULT}"
    )


def _check_timeouts(values: Mapping[str, Any], problems: Problems) -> None:
    call, connect, lease = values["call_timeout"], values["connect_timeout"], values["lease"]
    with problems:
        if call < connect:
            raise SettingsError(
                CALL_TIMEOUT,
                f"{format_duration(call)} is shorter than {CONNECT_TIMEOUT}={format_duration(connect)}: "
                "set it to at least that, or the timeout lower",
            )
    with problems:
        if lease < call + SHORTEST_LEASE_MARGIN:
            raise SettingsError(
                LEASE,
                f"{format_duration(lease)} may end before the call does: leave it out, or set it to at least "
                f"{format_duration(call + SHORTEST_LEASE_MARGIN)} ({CALL_TIMEOUT} + 1s)",
            )
