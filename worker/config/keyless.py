"""Where temporary keys come from that nobody has to store: the agency of an ECS or of a CCE pod, or an OIDC token.

    environment    ERASER_CREDENTIALS=ecs, cce or oidc; without it the variables that CCE puts into a pod
                   (HC_CONTAINER_…), and those of the official SDK for OIDC (HUAWEICLOUD_OIDC_…), where there is no key
    TOML           [accounts.NAME] credentials = "ecs", "cce" or "oidc", and oidc_provider_urn, oidc_agency_urn,
                   oidc_token_file, sts_endpoint

Nothing here is secret: what proves who we are is in a file that the platform writes, and read when it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from worker.config import environment
from worker.config.files import home, path_named
from worker.config.logins import OF_A_KEY, given
from worker.config.tables import Reader, one_of, path, text, text_checked
from worker.config.toml import Place
from worker.config.urls import address_of, check_endpoint, split_url, sts_endpoint_of
from worker.model.errors import SettingsError

CREDENTIALS: Final = "ERASER_CREDENTIALS"
METADATA: Final = "ERASER_METADATA_ENDPOINT"
STS: Final = "HUAWEICLOUD_SDK_STS_ENDPOINT"
POD_URI, POD_TOKEN = "HC_CONTAINER_CREDENTIALS_FULL_URI", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"
OIDC: Final = "HUAWEICLOUD_OIDC_"
PROVIDER, AGENCY, TOKEN, TOKEN_FILE = (
    f"{OIDC}{name}" for name in ("PROVIDER_URN", "AGENCY_URN", "ID_TOKEN", "TOKEN_FILE")
)
SESSION, DURATION, POLICY, POLICY_IDS = (
    f"{OIDC}{name}" for name in ("SESSION_NAME", "DURATION_SECONDS", "POLICY", "POLICY_IDS")
)

OF_AN_ECS: Final = "http://169.254.169.254"
_SESSION: Final = "avatar-eraser"
_DURATION_S: Final = 3600  # STS's own default


class Source(StrEnum):
    """Who issues the keys. `key`: nobody, it is one that was made for us."""

    KEY = "key"
    ECS = "ecs"
    CCE = "cce"
    OIDC = "oidc"


KEYLESS_KEYS: Final[dict[str, Reader]] = {
    "credentials": one_of(Source),
    **dict.fromkeys(("oidc_provider_urn", "oidc_agency_urn"), text),
    "oidc_token_file": path,
    "sts_endpoint": text_checked(check_endpoint),
}


@dataclass(frozen=True, slots=True)
class KeylessReference:
    """Where to ask for keys, and what to show there. What the TOML file leaves out comes from the environment."""

    source: Source
    address: str | None = None  # of the metadata service, of the pod identity's agent, or of STS (None: not known)
    token_file: Path | None = None
    token_name: str = ""  # the setting that names it
    provider_urn: str = ""
    agency_urn: str = ""
    session: str = _SESSION
    duration_s: int = _DURATION_S
    policy: str | None = field(default=None, repr=False)  # narrows the rights of the session
    policy_ids: tuple[str, ...] = ()

    def near(self, region: str | None, environ: Mapping[str, str]) -> KeylessReference:
        """The same with what the environment says; STS's address is by default that of the account's region. Raises
        `SettingsError` for what is missing."""
        match self.source:
            case Source.ECS:
                text = given(environ, METADATA)
                return replace(self, address=_near_by(text, METADATA).rstrip("/") if text else OF_AN_ECS)
            case Source.CCE:
                file = path_named(_needed(environ, POD_TOKEN), POD_TOKEN)
                address = _near_by(_needed(environ, POD_URI), POD_URI)
                return replace(self, address=address, token_file=file, token_name=POD_TOKEN)
        sts, token, file_ = given(environ, STS), given(environ, TOKEN), self.token_file
        if file_ is None and not token:
            file_ = path_named(_needed(environ, TOKEN_FILE), TOKEN_FILE)
        return replace(
            self,
            address=self.address or (check_endpoint(sts, STS) if sts else sts_endpoint_of(region) if region else None),
            token_file=file_,
            token_name=TOKEN_FILE if file_ else TOKEN,
            provider_urn=self.provider_urn or _needed(environ, PROVIDER),
            agency_urn=self.agency_urn or _needed(environ, AGENCY),
            session=given(environ, SESSION) or _SESSION,
            duration_s=_seconds(given(environ, DURATION)),
            policy=given(environ, POLICY) or None,
            policy_ids=tuple(filter(None, (one.strip() for one in given(environ, POLICY_IDS).split(",")))),
        )

    def __str__(self) -> str:
        match self.source:
            case Source.ECS:
                return "temporary keys of this ECS's agency"
            case Source.CCE:
                return f"temporary keys of this pod's identity, from {self.address}"
        token = f"file {self.token_file}" if self.token_file else f"environment {self.token_name}"
        return f"temporary keys of {self.address or 'STS'} for {self.agency_urn}, token from {token}"


def keyless_of_environment(environ: Mapping[str, str]) -> KeylessReference | None:
    """What the environment says; None: a key. Raises `SettingsError` if it contradicts itself."""
    word = given(environ, CREDENTIALS)
    if word:
        environment.one_of(Source, word, CREDENTIALS)
    key = next((name for name in OF_A_KEY if given(environ, name)), None)
    if not word and (given(environ, PROVIDER) or given(environ, AGENCY)):
        if key:
            raise SettingsError(CREDENTIALS, f"not set, and {PROVIDER} and {key} are: set it to oidc, or to key")
        word = Source.OIDC
    if not word and given(environ, POD_URI) and not key and not default_file(environ).is_file():
        word = Source.CCE
    return None if word in ("", Source.KEY) else KeylessReference(Source(word))


def check_keyless(directory: Path, where: Place, values: Mapping[str, Any]) -> KeylessReference:
    """The same of an account's table; relative files are in `directory`."""
    source: Source = values.get("credentials", Source.KEY)
    extra = next((key for key in KEYLESS_KEYS if key in values and key != "credentials"), None)
    if extra and source is not Source.OIDC:
        raise where.refuse(f'{extra} belongs to credentials = "oidc": add that or remove {extra}', near=extra)
    file = values.get("oidc_token_file")
    return KeylessReference(
        source,
        address=values.get("sts_endpoint"),
        token_file=directory / file if file else None,
        provider_urn=values.get("oidc_provider_urn", ""),
        agency_urn=values.get("oidc_agency_urn", ""),
    )


def default_file(environ: Mapping[str, str]) -> Path:
    """The official SDK's credentials file of this user."""
    return home(environ) / ".huaweicloud" / "credentials"


def _needed(environ: Mapping[str, str], name: str) -> str:
    if value := given(environ, name):
        return value
    raise SettingsError(name, f"not set, and temporary keys need it: set it, or choose others with {CREDENTIALS}")


def _seconds(text: str) -> int:
    if not text:
        return _DURATION_S
    if not re.fullmatch(r"[0-9]{3,5}", text, re.ASCII) or not 900 <= int(text) <= 12 * 3600:
        raise SettingsError(DURATION, f"expected whole seconds, from 900 to 43200; found {text[:40]!r}")
    return int(text)


def _near_by(url: str, name: str) -> str:
    """A URL of the platform's own, from which keys come: plain http is only for addresses that are not public."""
    parts = split_url(url, name, "http://ADDRESS/PATH")
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise SettingsError(name, f"expected http://ADDRESS/PATH or https://HOST/PATH; found {url[:100]!r}")
    if parts.scheme == "http" and not _is_near(host):
        raise SettingsError(name, f"plain http is for addresses of this host or its network only; found {url[:100]!r}")
    return url


def _is_near(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" or (address is not None and not address.is_global)
