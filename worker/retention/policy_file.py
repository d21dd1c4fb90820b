"""Reads policies from the TOML file of ERASER_CONFIG. Every error names file, key and what to write instead."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from worker.config.accounts import CONFIG, nearest, read_config
from worker.config.durations import parse_duration
from worker.ledger.types import PolicyText
from worker.metastudio.states import DELETABLE, STATES
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import check_opaque, check_reason, why_bad_id
from worker.retention.cron import Cron
from worker.retention.policy import AGE_BY, FINISHED, GRACE_S, MAX_JOBS, MAX_PERCENT, Policy

KEYS = (
    *("projects", "states", "older_than", "age_by", "include_finished"),
    *("batch_name", "tag", "job_name", "resolution", "flexus", "app_user"),
    *("grace", "schedule", "max_jobs", "max_percent", "narrow", "reason"),
)
_OFTEN_MEANT = {"name": "job_name", "project": "projects", "age": "older_than", "cron": "schedule", "tags": "tag"}
_MOST_JOBS = 1_000_000


class PolicyFile:
    """The policies of a file, read again when it changes: a worker must not act on an old version. Thread-safe.

    `account_of` returns a project's account, `knows` says whether it is configured.
    """

    def __init__(
        self, path: Path | None, account_of: Callable[[str], str], knows: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._path = path
        self._knows = knows
        self._account_of = account_of
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._book: PolicyText | None = None
        self._policies: Mapping[str, Policy] = MappingProxyType({})

    def current(self) -> Mapping[str, Policy]:
        """The current policies of the file, by name. Raises `SettingsError` for the first mistake in it."""
        if self._path is None:
            return self._policies
        with self._lock:
            try:
                found = self._path.stat()
            except OSError as error:
                raise SettingsError(CONFIG, f"cannot read {self._path}: {error.strerror}") from None
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._policies = MappingProxyType(self._read(self._path))
                self._book = self._next_policy_text(found.st_mtime * 1000)
                self._stamp = stamp
            return self._policies

    def policy_text(self) -> PolicyText | None:
        """The version of the policies. None: there is no file, it cannot be read, or it never had a policy."""
        try:
            policies = self.current()
        except SettingsError:
            return None
        return self._book if policies or (self._book and self._book.changed) else None

    def _next_policy_text(self, written_ms: float) -> PolicyText:
        text = json.dumps({name: policy.hash for name, policy in self._policies.items()}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        if self._book is None:
            return PolicyText(name, written_ms)
        return self._book if self._book.id == name else PolicyText(name, time.time() * 1000, changed=True)

    def named(self, name: str) -> Policy:
        """One policy. Raises `UsageError` with the most similar name."""
        policies = self.current()
        if name not in policies:
            known = f"; there are: {', '.join(policies)}" if policies else ": write [policies.NAME] into ERASER_CONFIG"
            raise UsageError(f"there is no policy {name[:40]!r}{nearest(name, policies)}{known}")
        return policies[name]

    def account(self, policy: Policy) -> str:
        """The account of its projects."""
        return self._account_of(policy.projects[0])

    def _read(self, path: Path) -> dict[str, Policy]:
        policies = read_policies(path)
        for policy in policies.values():
            if unknown := next((project for project in policy.projects if not self._knows(project)), None):
                raise SettingsError(
                    CONFIG,
                    f"{path}: [policies.{policy.name}] projects: {unknown} is not a project of this installation: "
                    "correct it, or add it to ERASER_PROJECTS or to the projects of an account",
                )
            accounts = {self._account_of(project) for project in policy.projects}
            if len(accounts) > 1:
                several = ", ".join(sorted(accounts))
                raise SettingsError(
                    CONFIG,
                    f"{path}: [policies.{policy.name}] projects: they belong to accounts {several}: "
                    "write one policy for each account",
                )
        return policies


def read_policies(path: Path) -> dict[str, Policy]:
    """The policies of a TOML file, by name. Raises `SettingsError`."""
    document = read_config(path)
    tables = document.get("policies", {})
    if not isinstance(tables, dict):
        raise SettingsError(CONFIG, f"{path}: policies must be tables: write [policies.NAME]")
    return {name: _policy(path, name, table) for name, table in tables.items()}


def _policy(path: Path, name: str, table: Any) -> Policy:
    where = f"{path}: [policies.{name}]"
    if not _is_name(name):
        raise SettingsError(
            CONFIG, f"{path}: policy name {name!r}: expected 1 to 32 lower-case letters, digits or -, the first no -"
        )
    if not isinstance(table, dict):
        raise SettingsError(CONFIG, f"{path}: policies.{name} must be a table: write [policies.{name}]")
    for key in table:
        if key not in KEYS:
            meant = f" (did you mean {_OFTEN_MEANT[key]}?)" if key in _OFTEN_MEANT else nearest(key, KEYS)
            raise SettingsError(CONFIG, f"{where}: unknown key {key!r}{meant}; known: {', '.join(KEYS)}")
    read = _Table(where, table)
    return Policy(
        name=name,
        projects=read.projects(),
        states=read.states(),
        older_than_s=read.duration("older_than", None),
        age_by=read.age_by(),
        batch_name=read.text("batch_name"),
        tag=read.text("tag"),
        job_name=read.text("job_name"),
        resolution=read.text("resolution"),
        flexus=read.flag("flexus"),
        app_user=read.checked("app_user", lambda text: check_opaque(text, "app user")),
        grace_s=read.duration("grace", GRACE_S),
        schedule=read.checked("schedule", Cron.parse),
        max_jobs=int(read.number("max_jobs", MAX_JOBS, _MOST_JOBS, "a whole number of jobs", whole=True)),
        max_percent=read.number("max_percent", MAX_PERCENT, 100, "a percentage of the project's jobs"),
        narrow=read.flag("narrow") or False,
        reason=read.checked("reason", check_reason),
        hash=hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12],
    )


def _is_name(name: str) -> bool:
    return (
        0 < len(name) <= 32
        and name.isascii()
        and name[0] != "-"
        and all(c.islower() or c.isdigit() or c == "-" for c in name)
    )


class _Table:
    """Reads one key at a time."""

    def __init__(self, where: str, table: Mapping[str, Any]) -> None:
        self._where = where
        self._table = table

    def wrong(self, key: str, why: str) -> SettingsError:
        return SettingsError(CONFIG, f"{self._where} {key}: {why}")

    def projects(self) -> tuple[str, ...]:
        projects = self._list("projects", 'the ids of the projects to clean up: projects = ["…"]')
        for project in projects:
            if why := why_bad_id(project, "project id"):
                raise self.wrong("projects", why)
        return tuple(dict.fromkeys(projects))

    def states(self) -> frozenset[str]:
        states = self._list("states", 'the states of jobs that may go: states = ["TRAIN_FAILED"]')
        allowed = ", ".join(sorted(DELETABLE - FINISHED))
        for state in states:
            if state not in STATES:
                raise self.wrong("states", f"there is no state {state!r}{nearest(state, STATES)}; use {allowed}")
            if state not in DELETABLE:
                raise self.wrong("states", f"MetaStudio does not allow jobs in {state} to be deleted; use {allowed}")
        finished, included = sorted(FINISHED & set(states)), self.flag("include_finished")
        if finished and not included:
            raise self.wrong(
                "states",
                f"jobs in {' and '.join(finished)} may be avatars in use: remove the state, or add "
                "include_finished = true to delete them",
            )
        if included and not finished:
            raise self.wrong(
                "include_finished", "states names neither JOB_SUCCESS nor JOB_FINISH: add one, or remove this"
            )
        return frozenset(states)

    def age_by(self) -> str:
        text = self.text("age_by") or AGE_BY[0]
        if text not in AGE_BY:
            raise self.wrong("age_by", f"expected {' or '.join(AGE_BY)}; found {text!r}")
        return text

    def duration(self, key: str, default: float | None) -> float:
        if key not in self._table and default is not None:
            return default
        if not isinstance(self._table.get(key), str):
            found = f"; found {self._table[key]!r}" if key in self._table else ""
            raise self.wrong(key, f'expected a duration as a text: {key} = "90d"{found}')
        return self.checked(key, parse_duration) or 0.0

    def text(self, key: str) -> str | None:
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 256:
            raise self.wrong(key, f'expected a text, matched exactly: {key} = "…"; found {value!r}')
        return value

    def flag(self, key: str) -> bool | None:
        value = self._table.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"expected true or false, without quotes; found {value!r}")
        return value

    def number(self, key: str, default: float, most: float, what: str, *, whole: bool = False) -> float:
        value = self._table.get(key, default)
        kind = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value <= most:
            raise self.wrong(key, f"expected {what}, above 0 and at most {most:,}, without quotes; found {value!r}")
        return float(value)

    def checked(self, key: str, check: Callable[[str], Any]) -> Any:
        """A text that another function checks; its error gets the place in the file as a prefix."""
        text = self.text(key)
        try:
            return None if text is None else check(text)
        except UsageError as error:
            raise self.wrong(key, str(error)) from None

    def _list(self, key: str, wanted: str) -> list[str]:
        value = self._table.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            found = f"; found {value!r}" if key in self._table else "; it is missing"
            raise self.wrong(key, f"expected {wanted}{found}")
        return value
