"""Builds the readers of an account's credentials from its references in the settings. Opens no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worker.config.accounts import CredentialsReference
from worker.config.keyless import STS, KeylessReference
from worker.config.logins import ENDPOINT, LoginReference
from worker.config.network import STRAIGHT, Network
from worker.config.toml import CONFIG
from worker.config.urls import iam_endpoint_of, sts_endpoint_of
from worker.metastudio.credentials import CredentialsSource, EnvironmentCredentials, FileCredentials, find_credentials
from worker.metastudio.iam import IamTokens
from worker.metastudio.keyless import TemporaryKeys
from worker.metastudio.login import LoginSource
from worker.metastudio.renewing import Renewing
from worker.model.errors import SettingsError

_SDK_NAMES: Final = {  # what a reference stands for, under the official SDK's names
    "ak_env": "HUAWEICLOUD_SDK_AK",
    "sk_env": "HUAWEICLOUD_SDK_SK",
    "security_token_env": "HUAWEICLOUD_SDK_SECURITY_TOKEN",
}


def source_of(
    reference: CredentialsReference, environ: Mapping[str, str], network: Network = STRAIGHT
) -> CredentialsSource | Renewing[Any]:
    """Build what reads the credentials. `network`: the way to IAM. Raises `SettingsError` if a named variable is not
    set."""
    if reference.login is not None:
        return _tokens(reference.login, environ, network)
    if reference.keyless is not None:
        return _keys(reference.keyless, environ, network)
    theirs = _by_sdk_names(reference, environ)
    if reference.credentials_file is not None:
        return FileCredentials(reference.credentials_file, section=reference.section)
    return EnvironmentCredentials(theirs) if theirs else find_credentials(environ)


def _by_sdk_names(reference: CredentialsReference, environ: Mapping[str, str]) -> dict[str, str]:
    """The named variables under the official SDK's names, and nothing else of the environment.

    Nothing else, because one account's security token must never go with another one's key.
    """
    theirs: dict[str, str] = {}
    for field, sdk_name in _SDK_NAMES.items():
        ours = getattr(reference, field)
        for suffix in ("", "_FILE"):
            if ours and (value := environ.get(ours + suffix)):
                theirs[sdk_name + suffix] = value
        if ours and field != "security_token_env" and not {sdk_name, f"{sdk_name}_FILE"} & set(theirs):
            raise SettingsError(ours, f"not set, and {CONFIG} names it as {field}: set {ours} or {ours}_FILE")
    return theirs


def _tokens(login: LoginReference, environ: Mapping[str, str], network: Network) -> IamTokens:
    """Raises `SettingsError` where IAM is not known."""
    if login.endpoint is None:
        raise SettingsError(
            ENDPOINT,
            "not set, and without a region IAM's address is not known: "
            f"set it (in TOML: iam_endpoint) to https://HOST, such as {iam_endpoint_of('cn-north-4')}",
        )
    source = LoginSource(
        login.user, login.domain, environ=environ, password_env=login.password_env, password_file=login.password_file
    )
    return IamTokens(source, endpoint=login.endpoint, network=network)


def _keys(reference: KeylessReference, environ: Mapping[str, str], network: Network) -> TemporaryKeys:
    """Raises `SettingsError` where STS is not known."""
    if reference.address is None:
        raise SettingsError(
            STS,
            "not set, and without a region STS's address is not known: "
            f"set it (in TOML: sts_endpoint) to https://HOST, such as {sts_endpoint_of('cn-north-4')}",
        )
    return TemporaryKeys(reference, environ, network=network)
