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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from worker.config import tables
from worker.config.files import path_named
from worker.config.problems import Problems
from worker.config.tables import nearest
from worker.config.toml import Place, Toml
from worker.config.urls import is_loopback, masked, split_url
from worker.model.errors import UsageError


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


TEST: Final = "webhook.test"  # sent by `eraser webhooks test` only


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver. `secret_files` and `secret_envs` name its secrets; they never contain them."""

    name: str
    url: str
    events: tuple[EventType, ...] = tuple(EventType)
    projects: tuple[str, ...] = ()  # none: all
    secret_files: tuple[Path, ...] = ()
    secret_envs: tuple[str, ...] = ()
    private: bool = False
    ca_bundle: Path | None = None

    @property
    def shown(self) -> str:
        """Its address for people, without what may be a secret."""
        return self.url.partition("?")[0]


def _url(text: str) -> str:
    parts = split_url(text, "url", "https://HOST/PATH")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or not text.isascii():
        raise UsageError(f"expected https://HOST/PATH; found {masked(text)!r}")
    if "@" in parts.netloc or parts.fragment:
        raise UsageError("expected no user, password or fragment: webhooks are signed, and need no password")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(f"plain http is for loopback (127.0.0.1, ::1, localhost) only; found {masked(text)!r}")
    return text if parts.path else parts._replace(path="/").geturl()


def _events(words: tuple[str, ...]) -> tuple[EventType, ...]:
    for word in words:
        if word not in tuple(EventType):
            raise UsageError(f"unknown event {word[:40]!r}{nearest(word, EventType)}; known: {', '.join(EventType)}")
    return tuple(map(EventType, words))


def _variables(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tables.variable_name(word, "") for word in words)


def _paths(words: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(path_named(word, "") for word in words)


def _list(of: Any, what: str) -> tables.Reader:
    """A list of texts that another function checks."""
    read = tables.texts(f'a list of {what}: {{key}} = ["…"]')
    return lambda value, key: of(read(value, key))


WEBHOOKS: Final = tables.Section(
    "webhooks",
    "webhook",
    {
        "url": tables.checked(_url, 'a text: {key} = "https://HOST/PATH"'),
        "events": _list(_events, "events"),
        "projects": tables.project_ids(least=1),
        "secret_files": _list(_paths, "files"),
        "secret_envs": _list(_variables, "NAMES of environment variables"),
        "private": tables.flag,
        "ca_bundle": tables.path,
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
    return Endpoint(place.name, **{**values, "secret_files": files, "ca_bundle": ca_bundle})
