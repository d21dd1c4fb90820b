"""Accounts: each has one rate limit and one key. One comes from the environment, or several from a TOML file.

    [accounts.studio-a]
    region = "cn-north-4"                 # or: endpoint = "https://…"; neither: ERASER_REGION or ERASER_ENDPOINT
    rate = 10                             # calls per second; default by region
    projects = ["0123…"]                  # a project belongs to one account only
    related = "verify"                    # leave, verify or delete what a job leaves behind; else ERASER_RELATED
    credentials_file = "studio-a.ini"     # as the official SDK reads it; relative to the TOML file
    section = "basic"
    # or the names of environment variables (NAME_FILE works too):
    # ak_env = "STUDIO_A_AK", sk_env = "STUDIO_A_SK", security_token_env = "STUDIO_A_TOKEN"
    # or an IAM user, see `worker.config.logins`:
    # iam_user = "eraser", iam_domain = "studio-a", iam_password_file = "studio-a.password"
    # or no stored secret at all, see `worker.config.keyless`:
    # credentials = "ecs"

No secret is ever in this file: credentials are named, and read when a call is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worker.config import tables
from worker.config.keyless import KEYLESS_KEYS, KeylessReference, Source, check_keyless
from worker.config.logins import IAM_KEYS, LoginReference, check_login
from worker.config.problems import Problems
from worker.config.toml import Place, Toml
from worker.config.urls import CAREFUL_RATE, REGIONS, check_endpoint, check_region, endpoint_of, region_of
from worker.model.erasure import Related
from worker.model.errors import SettingsError

DEFAULT = "default"  # the account of every project that the TOML file gives to no other account

_KEY_NAMES = ("ak_env", "sk_env", "security_token_env")
ACCOUNTS = tables.Section(
    "accounts",
    "account",
    {
        "region": tables.text_checked(check_region),
        "endpoint": tables.text_checked(check_endpoint),
        "credentials_file": tables.path,
        "section": tables.text,
        **dict.fromkeys(_KEY_NAMES, tables.variable_name),
        **IAM_KEYS,
        **KEYLESS_KEYS,
        "rate": tables.number("calls per second", 1000, float),
        "projects": tables.project_ids(),
        "related": tables.one_of(Related),
    },
)


@dataclass(frozen=True, slots=True)
class CredentialsReference:
    """How to find an account's credentials; never the credentials. All None: as the official SDK finds them."""

    login: LoginReference | None = None  # tokens of IAM instead of a key
    keyless: KeylessReference | None = None  # temporary keys of the platform
    credentials_file: Path | None = None
    section: str = "basic"
    ak_env: str | None = None
    sk_env: str | None = None
    security_token_env: str | None = None

    @property
    def issued_by(self) -> LoginReference | KeylessReference | None:
        """What has to be fetched before a call, if anything has."""
        return self.login or self.keyless

    def __str__(self) -> str:
        if self.issued_by is not None:
            return str(self.issued_by)
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
    related: Related | None = None  # what is done about what a job leaves behind; None: as ERASER_RELATED says
    place: Place | None = field(default=None, repr=False, compare=False)  # in the TOML file; None: the environment

    def require_endpoint(self) -> str:
        """The endpoint. Raises `SettingsError`, which says what to set, if there is none."""
        if self.endpoint is None:
            raise SettingsError(
                "ERASER_REGION",
                f"not set, so the address of MetaStudio is not known: set it to {', '.join(REGIONS)}, "
                "or set ERASER_ENDPOINT",
            )
        return self.endpoint

    def described(self) -> tuple[str, str]:
        """(effective value, origin), for people."""
        where = self.endpoint or "no endpoint: this process can only record requests"
        projects = {0: "every project", 1: "1 project"}.get(len(self.projects), f"{len(self.projects)} projects")
        return f"{where}, {self.rate:g}/s, {projects}, credentials: {self.credentials}", self.origin

    @property
    def origin(self) -> str:
        """Where it comes from."""
        return "environment" if self.place is None else str(self.place)

    def near_issuer(self, environ: Mapping[str, str]) -> Account:
        """The same; where tokens or keys are issued, also with the address that issues them."""
        login, keyless = self.credentials.login, self.credentials.keyless
        login = login and login.near(self.region, environ)
        keyless = keyless and keyless.near(self.region, environ)
        return replace(self, credentials=replace(self.credentials, login=login, keyless=keyless))


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


def read_accounts(path: Path, *, around: Account, rate: float | None) -> dict[str, Account]:
    """The accounts of a TOML file, by name.

    `around` is the environment's own account, for an address left out; `rate` an explicit ERASER_RATE.
    """
    toml, problems = Toml.config(path), Problems()
    with problems:  # policies: see `worker.retention.policy_file`; webhooks: `worker.config.webhooks`
        tables.refuse_unknown(toml.at(), toml.content, ("accounts", "policies", "webhooks"), "table")
    accounts = {}
    for place, values in ACCOUNTS.read(toml, problems):
        with problems:
            accounts[place.name] = _account(path, place, values, around, rate)
    _refuse_shared_projects(accounts.values(), problems)
    problems.settle()
    return accounts


def _account(path: Path, where: Place, values: Mapping[str, Any], around: Account, rate: float | None) -> Account:
    endpoint, region = around.endpoint, around.region
    if "region" in values or "endpoint" in values:
        try:
            endpoint, region = place(values.get("region"), values.get("endpoint"), ("region", "endpoint"))
        except SettingsError as error:
            raise (where / error.name).refuse(error.reason) from None
    if endpoint is None:
        raise where.refuse('no address of MetaStudio: add region = "…" or endpoint = "https://…"')
    projects = values.get("projects", ())
    if not projects and where.name != DEFAULT:
        raise where.refuse('nothing would use this account: add projects = ["…"]')
    own_rate = values.get("rate") or rate or default_rate(region)
    credentials = _reference(path, where, values, around)
    return Account(where.name, endpoint, region, own_rate, projects, credentials, values.get("related"), where)


def _reference(path: Path, where: Place, values: Mapping[str, Any], around: Account) -> CredentialsReference:
    named, iam = ([key for key in keys if key in values] for keys in (_KEY_NAMES, IAM_KEYS))
    keys = [*named, *(["credentials_file"] if "credentials_file" in values else [])]
    keyless = next((key for key in KEYLESS_KEYS if key in values), None)
    if keyless and values.get("credentials") is not Source.KEY:
        if other := [*iam, *keys]:
            raise where.refuse(f"{keyless} and {other[0]} exclude each other: keep one", near=keyless)
        return CredentialsReference(keyless=check_keyless(path.parent, where, values))
    if iam:
        if keys:
            raise where.refuse(f"{iam[0]} and {keys[0]} exclude each other: keep a login or a key", near=iam[0])
        return CredentialsReference(login=check_login(path.parent, where, values))
    if not keys and not keyless and around.credentials.issued_by is not None:  # the environment's, for every account
        return around.credentials
    if "credentials_file" in values:
        if named:
            raise where.refuse(f"credentials_file and {named[0]} exclude each other: keep one", near=named[0])
        file = path.parent / values["credentials_file"]
        return CredentialsReference(credentials_file=file, section=values.get("section", "basic"))
    if "section" in values:
        raise where.refuse("section belongs to a credentials_file: add it or remove section", near="section")
    if named and not {"ak_env", "sk_env"} <= set(named):
        raise where.refuse(f"{named[0]} is not a complete key: set both ak_env and sk_env", near=named[0])
    return CredentialsReference(**{key: values[key] for key in named})


def _refuse_shared_projects(accounts: Iterable[Account], problems: Problems) -> None:
    owner: dict[str, str] = {}
    for account in accounts:
        for project in account.projects:
            if project in owner and account.place is not None:
                with problems:
                    raise (account.place / "projects").refuse(
                        f"project {project} is listed by accounts {owner[project]} and {account.name}: "
                        "a project belongs to one account only"
                    )
            owner[project] = account.name
