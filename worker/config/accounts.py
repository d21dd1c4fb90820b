"""Accounts: each has one rate limit and one key. One comes from the environment, or several from a TOML file.

    [accounts.studio-a]
    region = "cn-north-4"                 # or: endpoint = "https://…"; neither: ERASER_REGION or ERASER_ENDPOINT
    rate = 10                             # calls per second; default by region
    projects = ["0123…"]                  # a project belongs to one account only
    credentials_file = "studio-a.ini"     # as the official SDK reads it; relative to the TOML file
    section = "basic"
    # or the names of environment variables (NAME_FILE works too):
    # ak_env = "STUDIO_A_AK", sk_env = "STUDIO_A_SK", security_token_env = "STUDIO_A_TOKEN"
    # or an IAM user, see `worker.config.logins`:
    # iam_user = "eraser", iam_domain = "studio-a", iam_password_file = "studio-a.password"

No secret is ever in this file: credentials are named, and read when a call is signed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.config.files import NotText, path_named, read_text
from worker.config.logins import IAM_KEYS, LoginReference, check_login
from worker.config.urls import CAREFUL_RATE, REGIONS, check_endpoint, check_region, endpoint_of, region_of
from worker.model.errors import SettingsError
from worker.model.ids import why_bad_id

CONFIG = "ERASER_CONFIG"
DEFAULT = "default"  # the account of every project that the TOML file gives to no other account

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")  # upper case only: a pasted secret key is mixed
_TEXTS = ("region", "endpoint", "credentials_file", "section", "ak_env", "sk_env", "security_token_env", *IAM_KEYS)
_KEYS = (*_TEXTS, "rate", "projects")
_KEY_NAMES = ("ak_env", "sk_env", "security_token_env")


@dataclass(frozen=True, slots=True)
class CredentialsReference:
    """How to find an account's credentials; never the credentials. All None: as the official SDK finds them."""

    login: LoginReference | None = None  # tokens of IAM instead of a key
    credentials_file: Path | None = None
    section: str = "basic"
    ak_env: str | None = None
    sk_env: str | None = None
    security_token_env: str | None = None

    def __str__(self) -> str:
        if self.login is not None:
            return str(self.login)
        if self.credentials_file is not None:
            return f"file {self.credentials_file} [{self.section}]"
        if self.ak_env is None:
            return "HUAWEICLOUD_SDK_* or the SDK's credentials file"
        return "environment " + ", ".join(filter(None, (self.ak_env, self.sk_env, self.security_token_env)))


@dataclass(frozen=True, slots=True)
class Account:
    """One rate limit and one key. `endpoint` is None in a process that makes no calls (a producer)."""

    name: str
    endpoint: str | None
    region: str | None
    rate: float  # calls per second
    projects: tuple[str, ...] = ()
    credentials: CredentialsReference = CredentialsReference()

    def require_endpoint(self) -> str:
        """The endpoint. Raises `SettingsError`, which says what to set, if there is none."""
        if self.endpoint is None:
            raise SettingsError(
                "ERASER_REGION",
                f"not set, so the address of MetaStudio is not known: set it to {', '.join(REGIONS)}, "
                "or set ERASER_ENDPOINT",
            )
        return self.endpoint

    def near_iam(self, environ: Mapping[str, str]) -> Account:
        """The same; with a login, also with the address that issues tokens."""
        login = self.credentials.login
        if login is None:
            return self
        return replace(self, credentials=replace(self.credentials, login=login.near(self.region, environ)))


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` with the nearest known name, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def place(region: str | None, endpoint: str | None, names: tuple[str, str]) -> tuple[str | None, str | None]:
    """(endpoint, region) from the two settings. Raises `SettingsError` if they disagree."""
    if endpoint is not None:
        endpoint = check_endpoint(endpoint, names[1])
        if region is not None and endpoint_of(check_region(region, names[0])) != endpoint:
            raise SettingsError(
                names[1], f"{endpoint} is not {names[0]}={region} ({endpoint_of(region)}): set only one of the two"
            )
        return endpoint, region_of(endpoint)
    if region is not None:
        return endpoint_of(check_region(region, names[0])), region
    return None, None


def default_rate(region: str | None) -> float:
    """Calls per second that Huawei documents for the region; for an unknown region the lowest documented limit."""
    return REGIONS.get(region or "", CAREFUL_RATE)


def read_config(path: Path) -> dict[str, Any]:
    """The content of the TOML file, unchecked. Raises `SettingsError`."""
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise SettingsError(CONFIG, f"cannot read {path}: {error.strerror}") from None
    except NotText as error:
        raise SettingsError(CONFIG, f"{path} {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(CONFIG, f"{path} is not TOML: {error}") from None


def read_accounts(path: Path, *, around: Account, rate: float | None) -> dict[str, Account]:
    """The accounts of a TOML file, by name.

    `around` is the environment's own account, for an address left out; `rate` an explicit ERASER_RATE.
    """
    document = read_config(path)
    _refuse_unknown(path, document, ("accounts", "policies"), "table")  # policies: see `worker.retention.policy_file`
    tables = document.get("accounts", {})
    if not isinstance(tables, dict):
        raise SettingsError(CONFIG, f"{path}: accounts must be tables: write [accounts.NAME]")
    accounts = {name: _account(path, name, table, around, rate) for name, table in tables.items()}
    _refuse_shared_projects(path, accounts.values())
    return accounts


def _account(path: Path, name: str, table: Any, around: Account, rate: float | None) -> Account:
    where = f"{path}: [accounts.{name}]"
    if not _NAME.fullmatch(name):
        raise SettingsError(
            CONFIG,
            f"{path}: account name {name!r}: expected 1 to 32 lower-case letters, digits or -, not beginning with -",
        )
    if not isinstance(table, dict):
        raise SettingsError(CONFIG, f"{path}: accounts.{name} must be a table: write [accounts.{name}]")
    _refuse_unknown(f"{where}", table, _KEYS, "key")
    for key in _TEXTS:
        if key in table and (not isinstance(table[key], str) or not table[key]):
            raise SettingsError(CONFIG, f'{where} {key}: expected a text: {key} = "…"')
    endpoint, region = around.endpoint, around.region
    if "region" in table or "endpoint" in table:
        names = (f"{where} region", f"{where} endpoint")
        endpoint, region = place(table.get("region"), table.get("endpoint"), names)
    if endpoint is None:
        raise SettingsError(CONFIG, f'{where}: no address of MetaStudio: add region = "…" or endpoint = "https://…"')
    projects = _projects(where, table)
    if not projects and name != DEFAULT:
        raise SettingsError(CONFIG, f'{where}: nothing would use this account: add projects = ["…"]')
    return Account(
        name=name,
        endpoint=endpoint,
        region=region,
        rate=_rate(where, table) or rate or default_rate(region),
        projects=projects,
        credentials=_reference(path, where, table, around),
    )


def _reference(path: Path, where: str, table: Mapping[str, Any], around: Account) -> CredentialsReference:
    named = [key for key in _KEY_NAMES if key in table]
    keys = [*named, *(key for key in ("credentials_file",) if key in table)]
    iam = [key for key in IAM_KEYS if key in table]
    if iam:
        if keys:
            raise SettingsError(CONFIG, f"{where}: {iam[0]} and {keys[0]} exclude each other: keep a login or a key")
        return CredentialsReference(login=check_login(path.parent, where, table))
    if not keys and around.credentials.login is not None:  # the environment's login is used for every account
        return CredentialsReference(login=around.credentials.login)
    if "credentials_file" in table:
        if named:
            raise SettingsError(CONFIG, f"{where}: credentials_file and {named[0]} exclude each other: keep one")
        file = path.parent / path_named(table["credentials_file"], CONFIG)
        return CredentialsReference(credentials_file=file, section=table.get("section", "basic"))
    if "section" in table:
        raise SettingsError(CONFIG, f"{where}: section belongs to a credentials_file: add it or remove section")
    if named and not {"ak_env", "sk_env"} <= set(named):
        raise SettingsError(CONFIG, f"{where}: {named[0]} is not a complete key: set both ak_env and sk_env")
    for key in named:
        if not _VARIABLE.fullmatch(table[key]):  # the value may be the secret itself: never repeat it
            raise SettingsError(
                CONFIG, f"{where} {key}: expected the NAME of an environment variable, in capitals, not the secret"
            )
    return CredentialsReference(**{key: table[key] for key in named})


def _rate(where: str, table: Mapping[str, Any]) -> float | None:
    rate = table.get("rate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1000:
        raise SettingsError(
            CONFIG, f"{where} rate: expected calls per second, above 0 and at most 1000; found {rate!r}"
        )
    return float(rate)


def _projects(where: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    projects = table.get("projects", [])
    if not isinstance(projects, list):
        raise SettingsError(CONFIG, f'{where} projects: expected a list: projects = ["…"]')
    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise SettingsError(CONFIG, f"{where} projects: {why}")
    return tuple(dict.fromkeys(projects))


def _refuse_unknown(where: object, table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in table:
        if key not in known:
            raise SettingsError(
                CONFIG, f"{where}: unknown {what} {key!r}{nearest(key, known)}; known: {', '.join(known)}"
            )


def _refuse_shared_projects(path: Path, accounts: Iterable[Account]) -> None:
    owner: dict[str, str] = {}
    for account in accounts:
        for project in account.projects:
            if project in owner:
                raise SettingsError(
                    CONFIG,
                    f"{path}: project {project} is listed by accounts {owner[project]} and {account.name}: "
                    "a project belongs to one account only",
                )
            owner[project] = account.name
