"""Reads and validates one environment variable at a time, and remembers where each value came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from worker.config import known_secrets
from worker.config.files import is_quoted, path_named, read_file
from worker.config.namespace import why_bad_namespace
from worker.config.tables import nearest
from worker.model.erasure import AssetMode, Related
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id

T = TypeVar("T")

_PREFIXES = ("ERASER_", "HUAWEICLOUD_SDK_")

SECRET = (  # each may come as NAME_FILE
    "ERASER_REDIS_URL",
    "ERASER_BROKER_URL",
    "ERASER_IAM_PASSWORD",
    "ERASER_CONSOLE_PASSWORD",
    "ERASER_PROXY",
    "ERASER_WEBHOOKS_KEY",
)
RENAMED = {  # old name of a setting -> new name
    "ERASER_KEEP_FINAL": "ERASER_RECORD_TTL",
    "ERASER_CALL_DEADLINE": "ERASER_CALL_TIMEOUT",
    "ERASER_CONSOLE_HOSTS": "ERASER_ALLOWED_HOSTS",
}
REASON_PATTERN = "ERASER_REASON_PATTERN"
EVERY = "*"
SHORTEST_PASSWORD = 12


class EnvironmentReader:
    """Reads one variable at a time and remembers where each value came from. An empty variable is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.origins: dict[str, str] = {}

    def value(self, name: str, check: Callable[[str, str], T], *, or_file: bool = False) -> T | None:
        """The checked value, or None. or_file: NAME_FILE may name a file with the value."""
        text = self.environ.get(name, "").strip()
        file = self.environ.get(f"{name}_FILE", "").strip() if or_file else ""
        if file:
            if text:
                raise SettingsError(name, f"{name} and {name}_FILE are both set: unset one of them")
            refuse = partial(SettingsError, f"{name}_FILE")
            text = read_file(path_named(file, f"{name}_FILE"), refuse).strip()
            if not text:
                raise refuse(f"{file} is empty: write the value of {name} into it")
        elif is_quoted(text):
            hint = f"; if they are part of the value, write it into a file that {name}_FILE names"
            raise SettingsError(
                name,
                "has quotes around it, which only a shell removes: write it without quotes"
                + (hint if name in SECRET else ""),
            )
        if not text:
            return None
        if name in SECRET:
            known_secrets.add(name, *known_secrets.parts(text))
        self.origins[name] = f"file {file}" if file else "environment"
        return check(text, name)


def refuse_unknown(name: str, known: Collection[str]) -> None:
    """Raise for the name of a variable that looks like a setting and is none."""
    meant = name.strip("\ufeff\"' \t\r\xa0")
    if meant != name and meant.startswith(_PREFIXES):
        raise SettingsError(
            meant, f"its name is written as {name!r}: an env file has a mark, quotes or a blank there; remove them"
        )
    if name in RENAMED:
        raise SettingsError(name, f"{name} is called {RENAMED[name]} now: rename it")
    if name.startswith("ERASER_") and name not in known:
        raise SettingsError(name, f"there is no such setting{nearest(name, known)}: correct or unset it")


def parsed(parse: Callable[[str], T]) -> Callable[[str, str], T]:
    """A check that gives the setting's name to the errors of `parse`."""

    def check(text: str, name: str) -> T:
        try:
            return parse(text)
        except UsageError as error:
            raise SettingsError(name, str(error)) from None

    return check


def check_rate(text: str, name: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:  # also refuses nan and inf
        raise SettingsError(name, f"expected calls per second, above 0 and at most 1000; found {text[:40]!r}")
    return rate


def check_replicas(text: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text, re.ASCII):
        why = "expected how many replicas must have what is confirmed, or 0 for the disk of the server itself"
        raise SettingsError(name, f"{why}; found {text[:40]!r}")
    return int(text)


def one_of(kind: type[StrEnum], text: str, name: str) -> Any:
    """One word of an enumeration."""
    if text not in tuple(kind):
        raise SettingsError(name, f"expected {', '.join(kind)}; found {text[:40]!r}")
    return kind(text)


check_related: Final = partial(one_of, Related)
check_assets: Final = partial(one_of, AssetMode)


def check_pattern(text: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(name, f"expected a regular expression: {error}") from None


def check_password(text: str, name: str) -> str:
    if len(text) < SHORTEST_PASSWORD:
        raise SettingsError(name, f"expected at least {SHORTEST_PASSWORD} characters; found {len(text)}")
    return text


def check_project(text: str, name: str) -> str:
    if why := why_bad_id(text, "project id"):
        raise SettingsError(name, why)
    return text


def check_projects(text: str, name: str) -> tuple[str, ...]:
    if text == EVERY:
        return (EVERY,)
    projects = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise SettingsError(name, f"{why}. Expected project ids with commas between them, or {EVERY} for any")
    return projects


def check_namespace(text: str, name: str) -> str:
    if why := why_bad_namespace(text):
        raise SettingsError(name, why)
    return text
