"""How an account logs in at IAM for tokens: it refers to the password, and never contains it.

    environment    ERASER_IAM_USER, ERASER_IAM_PASSWORD (or …_FILE), ERASER_IAM_DOMAIN, and where IAM is, if not in the
                   account's region: HUAWEICLOUD_SDK_IAM_ENDPOINT
    TOML           [accounts.NAME] iam_user, iam_domain, iam_password_env or iam_password_file, and iam_endpoint

A login excludes a key, so that it is always clear which of the two a call used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.config.tables import Reader, path, text, text_checked, variable_name
from worker.config.toml import Place
from worker.config.urls import check_endpoint, iam_endpoint_of
from worker.model.errors import SettingsError

USER, PASSWORD, DOMAIN = "ERASER_IAM_USER", "ERASER_IAM_PASSWORD", "ERASER_IAM_DOMAIN"
ENDPOINT = "HUAWEICLOUD_SDK_IAM_ENDPOINT"
IAM_KEYS: dict[str, Reader] = {
    **dict.fromkeys(("iam_user", "iam_domain"), text),
    "iam_password_env": variable_name,
    "iam_password_file": path,
    "iam_endpoint": text_checked(check_endpoint),
}

OF_A_KEY = ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_CREDENTIALS_FILE")


@dataclass(frozen=True, slots=True)
class LoginReference:
    """An IAM user, where to find its password, and IAM's address (None: not known)."""

    user: str
    domain: str
    password_env: str = PASSWORD
    password_file: Path | None = None
    endpoint: str | None = None

    def near(self, region: str | None, environ: Mapping[str, str]) -> LoginReference:
        """The same with its endpoint: its own, else the one of the environment, else that of the account's region."""
        text = environ.get(ENDPOINT, "").strip()
        if self.endpoint is not None or not (text or region):
            return self
        return replace(self, endpoint=check_endpoint(text, ENDPOINT) if text else iam_endpoint_of(region or ""))

    def __str__(self) -> str:
        where = f"file {self.password_file}" if self.password_file else f"environment {self.password_env}"
        return f"tokens of {self.endpoint or 'IAM'} for user {self.user} of {self.domain}, password from {where}"


def login_of_environment(environ: Mapping[str, str]) -> LoginReference | None:
    """The environment's login, or None. Raises `SettingsError` for an incomplete one, and for one beside a key."""
    named = {name: value.strip() for name in (USER, PASSWORD, DOMAIN) if (value := given(environ, name))}
    if not named:
        return None
    for name in (USER, PASSWORD, DOMAIN):
        if name not in named:
            also = f" (or {PASSWORD}_FILE)" if name == PASSWORD else ""
            others = " and ".join(named)
            raise SettingsError(name, f"not set{also}, and {others} is not a complete login: set it, or unset {others}")
    keys = [name for name in OF_A_KEY if given(environ, name)]
    if keys:
        raise SettingsError(
            USER,
            f"an IAM user and a key ({keys[0]}) are both set: choose; "
            f"to sign with the key unset {USER}, {PASSWORD} and {DOMAIN}, to use tokens unset {' and '.join(keys)}",
        )
    return LoginReference(named[USER], named[DOMAIN])


def check_login(directory: Path, where: Place, values: Mapping[str, Any]) -> LoginReference:
    """The login of an account's table; relative files are in `directory`."""
    for key in ("iam_user", "iam_domain"):
        if key not in values:
            raise where.refuse(f'an IAM user needs {key}: add {key} = "…"')
    env, file = values.get("iam_password_env"), values.get("iam_password_file")
    if (env is None) == (file is None):
        raise where.refuse("an IAM user needs one of iam_password_env and iam_password_file: never the password here")
    return LoginReference(
        user=values["iam_user"],
        domain=values["iam_domain"],
        password_env=env or PASSWORD,
        password_file=directory / file if file else None,
        endpoint=values.get("iam_endpoint"),
    )


def given(environ: Mapping[str, str], name: str) -> str:
    """What a variable says, or the path in its _FILE; empty if it is not set."""
    return environ.get(name, "").strip() or environ.get(f"{name}_FILE", "").strip()
