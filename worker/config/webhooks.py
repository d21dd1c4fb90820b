"""Endpoints of webhooks: where events are sent, which ones, and how to find the secrets that sign them.

    [webhooks.crm]
    url = "https://crm.example.com/hooks/eraser"
    events = ["deletion.deleted", "deletion.dead"]   # without it: all of them
    projects = ["0123…"]                             # without it: all of them
    secret_files = ["crm.secret", "crm-old.secret"]  # relative to the TOML file; or
    # secret_envs = ["CRM_SECRET"]                   # names of environment variables (NAME_FILE works too)
    # private = true                                 # addresses of the own network, and of this machine, are allowed
    # ca_bundle = "own-ca.pem"                       # trusted instead of the public CAs

No secret is ever in this file. Each of several signs every message, so that a receiver may be given the new one at any
time while both are named.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from worker.config import tables
from worker.config.files import QUOTES, path_named
from worker.config.problems import Problems
from worker.config.tables import nearest
from worker.config.toml import Place, Toml
from worker.config.trust import trust
from worker.config.urls import is_address, is_loopback, masked, split_url
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id


class EventType(StrEnum):
    """What webhooks are about."""

    DELETED = "deletion.deleted"
    GONE = "deletion.gone"
    DEAD = "deletion.dead"
    CANCELLED = "deletion.cancelled"
    ERASURE_CLOSED = "erasure.closed"
    REPLAY_FINISHED = "replay.finished"
    ACCOUNT_CLOSED = "account.closed"
    ACCOUNT_OPENED = "account.opened"
    PARKED = "message.parked"


KEY: Final = "ERASER_WEBHOOKS_KEY"  # what the secrets of endpoints in the ledger are derived from
KEY_PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret, as the specification says
TEST: Final = "webhook.test"  # sent by `eraser webhooks test` only

_HOST: Final = re.compile(r"(?=.{1,254}\Z)[0-9a-z_-]+(\.[0-9a-z_-]+)*\.?")
_OWN: Final = re.compile(r"[^.]*|.*\.(localhost|localdomain|local|internal)")  # names that no public server has
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a proxy may take a name that ends so for an address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver. `secret_files` and `secret_envs` name its secrets; they never contain them.

    One that the console keeps in the ledger has `secret_ids` instead: see `worker.webhooks.signing`. key_mark: of the
    key from which its secrets are derived. on: messages are made and sent.
    """

    name: str
    url: str = field(repr=False)
    events: tuple[str, ...] = tuple(EventType)
    projects: tuple[str, ...] = ()  # none: all
    secret_files: tuple[Path, ...] = ()
    secret_envs: tuple[str, ...] = ()
    private: bool = False
    ca_bundle: Path | None = None
    secret_ids: tuple[str, ...] = ()
    key_mark: str = ""
    on: bool = True

    @property
    def kept(self) -> bool:
        """Whether it is in the ledger, and not in the TOML file."""
        return bool(self.secret_ids)

    @property
    def shown(self) -> str:
        """Its address for people, without what may be a secret."""
        return self.url.partition("?")[0]


def decoded(secret: str) -> bytes | None:
    """The bytes that a secret stands for; None: it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if secret.startswith(KEY_PREFIX) and SHORTEST <= len(key) <= LONGEST else None


def check_key(text: str, name: str) -> str:
    if decoded(text) is None:
        raise SettingsError(name, "expected what `eraser webhooks secret` prints (the value is not shown)")
    return text


def kept_endpoint(name: str, url: str, events: Sequence[str], projects: Sequence[str]) -> Endpoint:
    """An endpoint that the ledger keeps, without its secrets: never private. Raises `UsageError`."""
    if not tables.NAME.fullmatch(name):
        raise UsageError(f"name: expected {tables.A_NAME}; found {name[:40]!r}")
    checked = _url(url)
    if "?" in checked:
        raise UsageError("expected an address without ?: messages are signed, so it needs no secret")
    host = urlsplit(checked).hostname or ""
    if not ip_address(host).is_global if is_address(host) else _OWN.fullmatch(host.rstrip(".")):
        raise UsageError(f"{host} is not public: an endpoint in your own network is written in the TOML file")
    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise UsageError(why)
    return Endpoint(name, checked, _events(tuple(events)) or tuple(EventType), tuple(projects))


def _shown(url: str) -> str:
    """What errors repeat of a URL: what follows the path may be a secret."""
    return re.split("[?#]", masked(url))[0]


def _url(text: str) -> str:
    parts = split_url(text, "url", "https://HOST/PATH", _shown)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or parts.port == 0 or not (is_address(host) or _HOST.fullmatch(host)):
        raise UsageError(f"expected https://HOST/PATH; found {_shown(text)!r}")
    if not is_address(host) and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise UsageError(f"{host} is no name and no address in its usual form: write 192.0.2.1 for an address")
    if not text.isascii():
        raise UsageError(f"a URL is ASCII, with %xx for all else; found {_shown(text)!r}")
    if "@" in parts.netloc or parts.fragment:
        raise UsageError("expected no user, password or fragment: webhooks are signed, and need no password")
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(f"plain http is for loopback (127.0.0.1, ::1, localhost) only; found {_shown(text)!r}")
    return text if parts.path else parts._replace(path="/").geturl()


def _events(words: tuple[str, ...]) -> tuple[EventType, ...]:
    for word in words:
        if word not in tuple(EventType):
            raise UsageError(f"unknown event {word[:40]!r}{nearest(word, EventType)}; known: {', '.join(EventType)}")
    return tuple(map(EventType, words))


def _variables(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tables.variable_name(word, "") for word in words)


def _path(text: str, _: str = "") -> Path:
    if text.lstrip(QUOTES + " ").startswith(KEY_PREFIX):
        raise UsageError(
            f"expected the path of a file, not the secret itself; for a file of such a name ./{KEY_PREFIX}…"
        )
    return path_named(text, "")


def _paths(words: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(map(_path, words))


def _list(of: Any, what: str, *, secret: bool = False) -> tables.Reader:
    """A list of texts that another function checks."""
    read = tables.texts(f'a list of {what}: {{key}} = ["…"]', secret=secret)
    return lambda value, key: of(read(value, key))


WEBHOOKS: Final = tables.Section(
    "webhooks",
    "webhook",
    {
        "url": tables.checked(_url, 'a text: {key} = "https://HOST/PATH"', secret=True),
        "events": _list(_events, "events"),
        "projects": tables.project_ids(least=1),
        "secret_files": _list(_paths, "files", secret=True),
        "secret_envs": _list(_variables, "NAMES of environment variables", secret=True),
        "private": tables.flag,
        "ca_bundle": tables.text_checked(_path),
    },
    required=("url",),
    meant={"secret": "secret_files", "secrets": "secret_files", "secret_file": "secret_files"},
)


def read_webhooks(path: Path, why_not_ours: Callable[[str], str | None] = lambda _: None) -> dict[str, Endpoint]:
    """The endpoints of a TOML file, by name. Raises `SettingsError` with all that is wrong. why_not_ours: why a project
    can have no events here.
    """
    problems, found = Problems(), {}
    for place, values in WEBHOOKS.read(Toml.config(path), problems):
        with problems:
            found[place.name] = _endpoint(path.parent, place, values)
        for why in filter(None, map(why_not_ours, values.get("projects", ()))):
            with problems:
                raise (place / "projects").refuse(why)
    problems.settle()
    return found


def _endpoint(folder: Path, place: Place, values: Mapping[str, Any]) -> Endpoint:
    if not values.get("secret_files") and not values.get("secret_envs"):
        raise place.refuse('nothing signs its messages: add secret_files = ["…"], see `eraser webhooks secret`')
    host = urlsplit(values["url"]).hostname or ""
    if is_loopback(host) and not values.get("private"):
        raise (place / "url").refuse(f"{host} is this machine: add private = true if that is meant")
    files = tuple(folder / file for file in values.get("secret_files", ()))
    ca_bundle = folder / values["ca_bundle"] if "ca_bundle" in values else None
    if ca_bundle:
        try:
            trust(ca_bundle).current()  # fail now, and not at each message
        except SettingsError as error:
            raise (place / "ca_bundle").refuse(error.reason) from None
    return Endpoint(place.name, **{**values, "secret_files": files, "ca_bundle": ca_bundle})
