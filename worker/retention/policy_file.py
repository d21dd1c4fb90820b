"""Reads policies from the TOML file of ERASER_CONFIG. Every error names file, line, key and what to write instead."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from worker.config import tables
from worker.config.durations import parse_duration
from worker.config.personal import check_app_user, check_reason
from worker.config.problems import Problems
from worker.config.tables import checked, nearest
from worker.config.toml import REFUSE, Place, Toml
from worker.config.watched_file import WatchedFile
from worker.ledger.types import PolicyText
from worker.metastudio.targets.avatar_job import DELETABLE, STATES
from worker.model.erasure import Related
from worker.model.errors import SettingsError, UsageError
from worker.retention.cron import Cron
from worker.retention.policy import AGE_BY, FINISHED, Policy


def _check_state(state: str) -> None:
    allowed = ", ".join(sorted(DELETABLE - FINISHED))
    if state not in STATES:
        raise UsageError(f"there is no state {state!r}{nearest(state, STATES)}; use {allowed}")
    if state not in DELETABLE:
        raise UsageError(f"MetaStudio does not allow jobs in {state} to be deleted; use {allowed}")


_DURATION = checked(parse_duration, 'a duration as a text: {key} = "90d"')
POLICIES = tables.Section(
    "policies",
    "policy",
    {
        "projects": tables.project_ids('the ids of the projects to clean up: projects = ["…"]', least=1),
        "states": tables.texts('the states of jobs that may go: states = ["TRAIN_FAILED"]', _check_state),
        "older_than": _DURATION,
        "age_by": tables.reader(" or ".join(AGE_BY), AGE_BY.__contains__),
        "include_finished": tables.flag,
        **dict.fromkeys(("batch_name", "tag", "job_name", "resolution"), tables.exact_text),
        "flexus": tables.flag,
        "app_user": checked(check_app_user),
        "grace": _DURATION,
        "schedule": checked(Cron.parse),
        "max_jobs": tables.number("a whole number of jobs", 1_000_000, int),
        "max_percent": tables.number("a percentage of the project's jobs", 100, float),
        "narrow": tables.flag,
        "reason": checked(check_reason),
        "related": tables.one_of(Related),
        "delete_models_in_use": tables.flag,
    },
    required=("projects", "states", "older_than"),
    meant={"name": "job_name", "project": "projects", "age": "older_than", "cron": "schedule", "tags": "tag"},
)
KEYS = tuple(POLICIES.keys)

Policies = Mapping[str, Policy]


class PolicyFile:
    """The policies of a file, read again when it changes: a worker must not act on an old version. Thread-safe.

    `account_of` returns a project's account, `knows` says whether it is configured.
    """

    def __init__(
        self, path: Path | None, account_of: Callable[[str], str], knows: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._file = WatchedFile(path, partial(self._parse, path), REFUSE) if path else None
        self._knows = knows
        self._account_of = account_of
        self._policy_text: PolicyText | None = None

    def current(self) -> Policies:
        """The current policies of the file, by name. Raises `SettingsError` with all that is wrong in it."""
        return self._file.current() if self._file else {}

    def policy_text(self) -> PolicyText | None:
        """The version of the policies. None: there is no file, it cannot be read, or it never had a policy."""
        try:
            policies = self.current()
        except SettingsError:
            return None
        return self._policy_text if policies or (self._policy_text and self._policy_text.changed) else None

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

    def _parse(self, path: Path, text: str) -> Policies:
        toml, problems = Toml.parse(text, path), Problems()
        policies = {}
        for place, values in POLICIES.read(toml, problems):
            with problems:
                policies[place.name] = _policy(place, values)
            with problems:
                self._check_projects(place / "projects", values["projects"])
        problems.settle()
        hashes = json.dumps({name: policy.hash for name, policy in policies.items()}, sort_keys=True)
        version, last = hashlib.sha256(hashes.encode()).hexdigest()[:12], self._policy_text
        if last is None and self._file:
            self._policy_text = PolicyText(version, self._file.written_at * 1000)
        elif last and last.id != version:
            self._policy_text = PolicyText(version, time.time() * 1000, changed=True)
        return MappingProxyType(policies)

    def _check_projects(self, place: Place, projects: tuple[str, ...]) -> None:
        if unknown := next((project for project in projects if not self._knows(project)), None):
            raise place.refuse(
                f"{unknown} is not a project of this installation: "
                "correct it, or add it to ERASER_PROJECTS or to the projects of an account"
            )
        accounts = {self._account_of(project) for project in projects}
        if len(accounts) > 1:
            raise place.refuse(
                f"they belong to accounts {', '.join(sorted(accounts))}: write one policy for each account"
            )


def _policy(place: Place, read: Mapping[str, Any]) -> Policy:
    values, problems = dict(read), Problems()
    with problems:
        _check_related(place, values)
    with problems:
        _check_states(place, values["states"], included=values.pop("include_finished", False))
    problems.settle()
    values |= {"states": frozenset(values["states"]), "older_than_s": values.pop("older_than")}
    if "grace" in values:
        values["grace_s"] = values.pop("grace")
    whole = json.dumps(place.toml.content["policies"][place.name], sort_keys=True)
    return Policy(place.name, **values, hash=hashlib.sha256(whole.encode()).hexdigest()[:12])


def _check_related(place: Place, values: dict[str, Any]) -> None:
    """To delete the models of finished jobs needs a second word: they may be avatars in use."""
    meant = values.pop("delete_models_in_use", False)
    risky = values.get("related") is Related.DELETE and FINISHED & set(values["states"])
    if risky and not meant:
        raise (place / "related").refuse(
            f"with {' and '.join(sorted(risky))} in states the models of avatars in use would be "
            "deleted, too: add delete_models_in_use = true to mean it, or remove related"
        )
    if meant and not risky:
        raise (place / "delete_models_in_use").refuse("nothing needs it here: remove it")


def _check_states(place: Place, states: tuple[str, ...], *, included: bool) -> None:
    finished = sorted(FINISHED & set(states))
    if finished and not included:
        raise (place / "states").refuse(
            f"jobs in {' and '.join(finished)} may be avatars in use: remove the state, or add "
            "include_finished = true to delete them"
        )
    if included and not finished:
        raise (place / "include_finished").refuse(
            "states names neither JOB_SUCCESS nor JOB_FINISH: add one, or remove this"
        )
