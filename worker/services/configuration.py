"""The configuration of this process: whether it is right, and what is in force. It uses no Redis and no MetaStudio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.config.accounts import DEFAULT
from worker.config.celery_environment import check_celery_environment
from worker.config.environment import EnvironmentReader
from worker.config.files import path_named
from worker.config.problems import Problems
from worker.config.settings import Settings
from worker.config.toml import CONFIG
from worker.execution.app_context import policy_file
from worker.execution.broker_url import celery_broker
from worker.retention.policy_file import Policies, PolicyFile


@dataclass(frozen=True, slots=True)
class Checked:
    """What a configuration without a mistake contains."""

    file: Path | None
    accounts: int
    policies: int
    webhooks: int = 0

    def as_json(self) -> dict[str, Any]:
        counts = {"accounts": self.accounts, "policies": self.policies, "webhooks": self.webhooks}
        return {"file": self.file and str(self.file), **counts}


def check(environ: Mapping[str, str], file: str | None = None) -> Checked:
    """Read all of this environment's configuration, with `file` instead of its ERASER_CONFIG.

    Raises `SettingsError` with everything that is wrong. Credentials are named in it and not looked for.
    """
    environ = {**environ, CONFIG: file} if file else environ
    problems, settings, path = Problems(), None, None
    with problems:
        settings = Settings.load(environ)
    with problems:
        if settings and settings.broker_url:
            check_celery_environment(environ, celery_broker(settings.broker_url).url)
    policies: Policies = {}
    with problems:
        path = EnvironmentReader(environ).value(CONFIG, path_named)
        # without settings it is not known which projects are ours: none is wrong then
        policies = (policy_file(settings) if settings else PolicyFile(path, lambda _: DEFAULT)).current()
    problems.settle()
    accounts, webhooks = (len(settings.accounts), len(settings.webhooks)) if settings else (0, 0)
    return Checked(path, accounts, len(policies), webhooks)


def in_force(settings: Settings) -> Iterator[dict[str, Any]]:
    """Every setting and every account for programs, with secrets masked. A value is null where nothing is set."""
    for name, value, _, origin in settings.described():
        yield {"setting": name, "value": value, "origin": origin}
    for account in settings.accounts.values():
        yield {
            "account": account.name,
            "endpoint": account.endpoint,
            "region": account.region,
            "rate": account.rate,
            "projects": list(account.projects),
            "related": account.related and account.related.value,
            "credentials": str(account.credentials),
            "origin": account.origin,
        }
    for endpoint in settings.webhooks.values():
        yield {
            "webhook": endpoint.name,
            "url": endpoint.shown,
            "events": list(endpoint.events),
            "projects": list(endpoint.projects),
            "secrets": [*map(str, endpoint.secret_files), *endpoint.secret_envs],
        }
