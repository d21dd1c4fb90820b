"""Where a process's accounts come from: its TOML file, and its environment for what that leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.config.accounts import DEFAULT, Account, CredentialsReference, default_rate, place, read_accounts
from worker.config.environment import EnvironmentReader
from worker.config.keyless import CREDENTIALS, keyless_of_environment
from worker.config.logins import USER, login_of_environment
from worker.config.problems import Problems
from worker.config.urls import check_endpoint, check_region
from worker.model.errors import SettingsError

REGION: Final = "ERASER_REGION"
ENDPOINT: Final = "ERASER_ENDPOINT"


def accounts_of(
    reader: EnvironmentReader, problems: Problems, *, config: Path | None, rate: float | None, projects: tuple[str, ...]
) -> dict[str, Account]:
    """The accounts of a process, by name: those of its TOML file, or one from its environment."""
    endpoint: str | None = "https://wrong.invalid"  # so that accounts without an own address have one
    region, credentials = None, CredentialsReference()
    with problems:
        endpoint, region = _place_of_environment(reader)
    with problems:
        credentials = _issued(reader.environ)
    ours = Account(DEFAULT, endpoint, region, rate or default_rate(region), projects, credentials)
    found: dict[str, Account] = {}
    with problems:
        found = read_accounts(config, around=ours, rate=rate) if config else {}
    with problems:
        return {name: account.near_issuer(reader.environ) for name, account in (found or {DEFAULT: ours}).items()}
    return {}


def _issued(environ: Mapping[str, str]) -> CredentialsReference:
    login, keyless = login_of_environment(environ), keyless_of_environment(environ)
    if login and keyless:
        raise SettingsError(CREDENTIALS, f"{keyless.source}, and {USER} is set too: choose; unset one of them")
    return CredentialsReference(login=login, keyless=keyless)


def _place_of_environment(reader: EnvironmentReader) -> tuple[str | None, str | None]:
    problems, texts = Problems(), dict.fromkeys((REGION, ENDPOINT))
    for name, check in ((REGION, check_region), (ENDPOINT, check_endpoint)):
        with problems:
            texts[name] = reader.value(name, check)
    problems.settle()
    return place(texts[REGION], texts[ENDPOINT], (REGION, ENDPOINT))
