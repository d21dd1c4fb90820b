"""Reads and validates one environment variable at a time, and remembers where each value came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from worker.config.durations import format_duration, parse_duration, parse_schedule
from worker.config.files import NotText, is_quoted, path_named, read_text
from worker.config.namespace import why_bad_namespace
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id

T = TypeVar("T")


SECRET = (
    "ERASER_REDIS_URL",
    "ERASER_BROKER_URL",
    "ERASER_IAM_PASSWORD",
    "ERASER_CONSOLE_PASSWORD",
)  # each may come as NAME_FILE


EVERY = "*"


LEASE_MARGIN = 15.0  # seconds between the end of the longest call and the end of its lease


SHORTEST_LEASE_MARGIN = 1.0


SHORTEST_PASSWORD = 12


class EnvironmentReader:
    """Reads one variable at a time and remembers where each value came from. An empty variable is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.origins: dict[str, str] = {}

    def value(self, name: str, check: Callable[[str, str], T]) -> T | None:
        text = self.environ.get(name, "").strip()
        if not text:
            return None
        if is_quoted(text):
            file = (
                f"; if they are part of the value, write it into a file that {name}_FILE names"
                if name in SECRET
                else ""
            )
            raise SettingsError(
                name, f"has quotes around it, which only a shell removes: write it without quotes{file}"
            )
        self.origins[name] = "environment"
        return check(text, name)

    def secret(self, name: str, check: Callable[[str, str], T]) -> T | None:
        file = self.environ.get(f"{name}_FILE", "").strip()
        if not file:
            return self.value(name, check)
        if self.environ.get(name, "").strip():
            raise SettingsError(name, f"{name} and {name}_FILE are both set: unset one of them")
        try:
            text = read_text(path_named(file, f"{name}_FILE")).strip()
        except OSError as error:
            raise SettingsError(f"{name}_FILE", f"cannot read {file}: {error.strerror}") from None
        except NotText as error:
            raise SettingsError(f"{name}_FILE", f"{file} {error}") from None
        if not text:
            raise SettingsError(f"{name}_FILE", f"{file} is empty: write the value of {name} into it")
        self.origins[name] = f"file {file}"
        return check(text, name)

    def duration(self, name: str, default: str) -> float:
        return self.value(name, check_duration) or parse_duration(default)

    def schedule(self, name: str, default: str) -> tuple[float, ...]:
        return self.value(name, check_schedule) or parse_schedule(default)

    def call_timeout(self, connect_timeout: float) -> float:
        name = "ERASER_CALL_TIMEOUT"
        deadline = self.duration(name, "45s")
        if deadline < connect_timeout:
            raise SettingsError(
                name,
                f"{format_duration(deadline)} is shorter than ERASER_CONNECT_TIMEOUT="
                f"{format_duration(connect_timeout)}: set it to at least that, or the timeout lower",
            )
        return deadline

    def lease(self, call_timeout: float) -> float:
        name = "ERASER_LEASE"
        lease = self.value(name, check_duration) or call_timeout + LEASE_MARGIN
        if lease < call_timeout + SHORTEST_LEASE_MARGIN:
            raise SettingsError(
                name,
                f"{format_duration(lease)} may end before the call does: leave it out, or set it to at least "
                f"{format_duration(call_timeout + SHORTEST_LEASE_MARGIN)} (ERASER_CALL_TIMEOUT + 1s)",
            )
        return lease


def as_text(text: str, _name: str) -> str:
    return text


def check_duration(text: str, name: str) -> float:
    return as_setting(parse_duration, text, name)


def check_schedule(text: str, name: str) -> tuple[float, ...]:
    return as_setting(parse_schedule, text, name)


def as_setting(parse: Callable[[str], T], text: str, name: str) -> T:
    try:
        return parse(text)
    except UsageError as error:
        raise SettingsError(name, str(error)) from None


def check_rate(text: str, name: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:  # also refuses nan and inf
        raise SettingsError(name, f"expected calls per second, above 0 and at most 1000; found {text[:40]!r}")
    return rate


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
