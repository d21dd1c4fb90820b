"""The keys that sign the calls, and where they come from.

Rotated secrets are read from files without a restart. Nothing here prints, stores or raises a secret.
"""

from __future__ import annotations

import configparser
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeVar

from worker.config import known_secrets
from worker.config.files import is_quoted, path_named
from worker.config.keyless import CREDENTIALS, default_file
from worker.config.watched_file import WatchedFile
from worker.metastudio.response import Response
from worker.model.errors import SettingsError
from worker.model.ids import why_bad_id

T = TypeVar("T")

AK: Final = "HUAWEICLOUD_SDK_AK"
SK: Final = "HUAWEICLOUD_SDK_SK"
TOKEN: Final = "HUAWEICLOUD_SDK_SECURITY_TOKEN"  # noqa: S105  the name of a setting, not its value
PROJECT: Final = "HUAWEICLOUD_SDK_PROJECT_ID"
FILE: Final = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"

STAT_EVERY_S: Final = 1.0  # a rotated file is noticed within this; more often would be a system call per deletion


@dataclass(frozen=True, slots=True)
class Signer:
    """The identity that signs a call: what refusals are counted by, and which secret it was. Hashes; safe to store
    and to log.
    """

    record: str
    fingerprint: str


class Watch(Protocol):
    """Limits how often a key is refused: too often would lock it. See `worker.execution.key_budget`."""

    def before(self, signer: Signer, *, anew: bool = False, close: bool = True) -> None:
        """Raises if the key must not be used now. anew: ignore what is known of it; close: then no other call uses
        it either.
        """
        ...

    def after(self, signer: Signer, response: Response, *, target: str | None = None, final: bool = True) -> None:
        """A call that it signed was answered, or not. final: a refusal is not only of an expired token."""
        ...

    def refused(self, signer: Signer, response: Response, *, target: str | None = None, close: bool = True) -> None:
        """It was refused. close: every user of it must stop."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """One access key. It is shown as at most the first four characters of `ak`."""

    ak: str
    sk: str
    security_token: str | None = None
    project_id: str | None = None

    def __post_init__(self) -> None:
        # An invalid key must raise an error that names a setting: http.client would refuse it and print it.
        _check(AK, self.ak)
        _check(SK, self.sk, ascii_only=False)
        if self.security_token is not None:
            _check(TOKEN, self.security_token)
        if self.project_id is not None:
            _check_project(PROJECT, self.project_id)

    def __repr__(self) -> str:
        shown = self.ak[:4] if len(self.ak) > 8 else ""
        return f"Credentials(ak={shown}…, sk=***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are never pickled: they must not travel in messages or be stored")

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change whenever the key does; safe to store and to log."""
        parts = "\0".join((self.ak, self.sk, self.security_token or ""))
        return hashlib.sha256(parts.encode()).hexdigest()[:8]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not appear in anything that is kept of an answer."""
        return tuple(s for s in (self.ak, self.sk, self.security_token) if s)

    @property
    def signer(self) -> Signer:
        """The identity for refusals: the gateway counts them by access key."""
        return Signer(hashlib.sha256(self.ak.encode()).hexdigest()[:16], self.fingerprint)


class CredentialsSource(Protocol):
    """The source of the credentials of one account."""

    def current(self) -> Credentials:
        """The credentials to use now. Raises `SettingsError` with what to set."""
        ...


class EnvironmentCredentials:
    """HUAWEICLOUD_SDK_AK, …_SK, …_SECURITY_TOKEN and …_PROJECT_ID, each also as <NAME>_FILE."""

    def __init__(self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = [variable(environ, name, clock, secret=name != PROJECT) for name in (AK, SK, TOKEN, PROJECT)]
        self._made_of = lru_cache(maxsize=1)(_of_variables)

    def current(self) -> Credentials:
        return self._made_of(*(read() for read in self._read))


def _of_variables(ak: str | None, sk: str | None, token: str | None, project: str | None) -> Credentials:
    if not ak:
        raise SettingsError(AK, f"not set; set it (or {AK}_FILE) to the access key that belongs to {SK}")
    if not sk:
        raise SettingsError(SK, f"not set; set it (or {SK}_FILE) to the secret key that belongs to {AK}")
    return Credentials(ak, sk, token or None, project or None)


class FileCredentials:
    """The official SDK's INI file: a section with ak, sk, and optionally security_token and project_id."""

    def __init__(
        self, path: str | Path, section: str = "basic", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._section = section
        self._file = watched(Path(path), FILE, self._parse, clock)

    def current(self) -> Credentials:
        return self._file.current()

    def _parse(self, text: str) -> Credentials:
        path = self._file.path
        where = f"{path}, section [{self._section}]"
        # Without interpolation, because "%" is an ordinary character of a secret key.
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(text)
            readable = True
        except configparser.Error:
            readable = False  # its message quotes lines of the file, so it must not be repeated
        if not readable:
            raise SettingsError(FILE, f"{path} is not an INI file as the SDK reads it")
        if not parser.has_section(self._section):
            raise SettingsError(FILE, f"{path} has no section [{self._section}] with ak and sk")
        values = parser[self._section]
        for key in ("ak", "sk"):
            _check(FILE, values.get(key, ""), what=f"{key} in {where}", ascii_only=key == "ak")
        token, project = values.get("security_token") or None, values.get("project_id") or None
        if token:
            _check(FILE, token, what=f"security_token in {where}")
        if project:
            _check_project(FILE, project)
        found = Credentials(values["ak"], values["sk"], token, project)
        known_secrets.add(where, *found.secrets)
        return found


def find_credentials(environ: Mapping[str, str]) -> CredentialsSource:
    """The environment first, then the SDK's credentials file."""
    if any(environ.get(name) for key in (AK, SK) for name in (key, f"{key}_FILE")):
        return EnvironmentCredentials(environ)
    named = environ.get(FILE)
    if named:
        return FileCredentials(path_named(named, FILE))
    default = default_file(environ)
    if default.is_file():
        return FileCredentials(default)
    raise SettingsError(
        AK,
        f"no credentials found; set {AK} and {SK}, or {AK}_FILE and {SK}_FILE, or {FILE} to an INI file with a section "
        f"[basic] that has ak and sk, or write that file to {default} "
        f"(temporary keys need {TOKEN} or security_token as well); or let this ECS, pod or OIDC agency issue them: "
        f"{CREDENTIALS}=ecs, cce or oidc",
    )


def watched(path: Path, setting: str, parse: Callable[[str], T], clock: Callable[[], float]) -> WatchedFile[T]:
    """A file of secrets. While it is being replaced it may be missing or empty for a moment: the last value stays."""
    refuse = partial(SettingsError, setting)

    def value(text: str) -> T:
        if not text.strip():
            raise refuse(f"{path} is empty")
        return parse(text)

    return WatchedFile(path, value, refuse, keep=True, every_s=STAT_EVERY_S, what="credentials file", clock=clock)


def secret_file(path: Path, setting: str, clock: Callable[[], float]) -> Callable[[], str]:
    """Return how to read a file that has one secret and nothing else."""

    def value(text: str) -> str:
        known_secrets.add(str(path), text.strip())
        return _line(text)

    return watched(path, setting, value, clock).current


def _line(text: str) -> str:
    return text.strip("\r\n")


def variable(
    environ: Mapping[str, str], name: str, clock: Callable[[], float], *, secret: bool = True
) -> Callable[[], str | None]:
    """Return how to read one setting, from its variable or from the file that <NAME>_FILE names."""
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise SettingsError(name, f"set in two ways; unset it or {name}_FILE")
    if path:
        file, setting = path_named(path, f"{name}_FILE"), f"{name}_FILE"
        return secret_file(file, setting, clock) if secret else watched(file, setting, _line, clock).current
    if value and is_quoted(value):
        raise SettingsError(
            name,
            "has quotes around it, which only a shell removes: write it without quotes; "
            f"if they are part of the value, write it into a file that {name}_FILE names (the value is not shown)",
        )
    if value and secret:
        known_secrets.add(value, value.strip())
    return lambda: value


def _check(name: str, value: str, *, what: str = "it", ascii_only: bool = True) -> None:
    if not value.strip():
        why = "is blank"
    elif any(c.isspace() for c in value):
        why = "has a blank or a line break in or around it"
    elif is_quoted(value):
        why = "has quotes around it"
    elif not value.isprintable():
        why = "has a control character in it"
    elif ascii_only and not value.isascii():
        why = "has a character outside ASCII in it"
    else:
        return
    raise SettingsError(name, f"{what} {why}; copy the key again, without quotes or blanks (the value is not shown)")


def _check_project(name: str, value: str) -> None:
    why = why_bad_id(value, "project id")
    if why:
        raise SettingsError(name, why)
