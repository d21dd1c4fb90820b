"""The one error tree, with the exit codes of the command line.

    EraserError                 1   something failed
    ├── UsageError              2   what the caller typed or sent is wrong; nothing was attempted
    │   └── SettingsError       2   a setting is missing or wrong; says which one and what to set
    │       ├── SettingsErrors  2   several are
    │       └── WrongLedger     2   this process must not touch the ledger
    │           ├── OtherEndpoint    it belongs to another MetaStudio than the settings name
    │           └── OtherSchema      it has a version that this program does not know
    ├── RefusedBySafetyRule     3   a cap, a confirmation or another check refused; nothing was done
    │   ├── DryRun              3   the plan was shown, and --yes was not given; nothing was done
    │   ├── UnknownProject      3   the project is not one of this installation's, and not allowed explicitly
    │   └── ProjectElsewhere    3   the project's deletions and holds are stored under another account
    └── Unreachable             4   Redis or MetaStudio does not answer; says what to do
        └── NotConfirmed        4   the primary has it, and too few others: a failover may lose it

Data lives in attributes; messages are for people and are never parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class EraserError(Exception):
    """An error that people read. `type` is its name for programs, `hint` a command that helps."""

    exit_code = 1
    type = "failed"
    before_hint = "To go on:"

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} {self.before_hint}\n  {hint}")
        self.message, self.hint = message, hint

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"type": self.type, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}


class UsageError(EraserError):
    """The caller's input is wrong; nothing was attempted."""

    exit_code = 2
    type = "invalid"


class SettingsError(UsageError):
    """A setting is missing or wrong. `name` is the setting to change, `reason` what is wrong with it.

    `origin` is where its value comes from, if that is known: `environment`, `file PATH`, or `PATH:LINE: [table] key`.
    """

    type = "settings"

    def __init__(self, name: str, reason: str, origin: str | None = None) -> None:
        where = f"{origin}: " if origin and origin != "environment" else ""
        super().__init__(f"{name}: {where}{reason}")
        self.name, self.reason, self.origin = name, reason, origin

    def at(self, origin: str) -> SettingsError:
        """The same error with the origin of its value."""
        return SettingsError(self.name, self.reason, origin)

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "setting": self.name, "origin": self.origin}


class SettingsErrors(SettingsError):
    """Several settings are wrong: `errors` are all of them, `name` is the first one's."""

    def __init__(self, errors: Sequence[SettingsError]) -> None:
        EraserError.__init__(self, "\n  ".join([f"{len(errors)} things are wrong:", *map(str, errors)]))
        self.errors = tuple(errors)
        self.name, self.reason, self.origin = errors[0].name, self.message, errors[0].origin

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "errors": [each.as_json() for each in self.errors]}


class WrongLedger(SettingsError):
    """This process must not touch the ledger: nothing was read, written or sent. A worker ends."""


class OtherEndpoint(WrongLedger):
    """The account has another address in the ledger than in the settings of this process."""

    type = "other-endpoint"

    def __init__(self, account: str, *, bound: str, ours: str) -> None:
        which = "" if account == "default" else f" --account {account}"
        super().__init__(
            "ERASER_ENDPOINT",
            f"account {account} of this ledger belongs to {bound}, and the settings of this process say {ours}. "
            "Nothing was done. Correct ERASER_REGION, ERASER_ENDPOINT or ERASER_CONFIG; an installation of its own "
            "needs an ERASER_NAMESPACE of its own, or another Redis database in ERASER_REDIS_URL; if MetaStudio "
            f"has moved: eraser accounts rebind{which} --endpoint {ours} --reason R",
        )
        self.account, self.bound, self.ours = account, bound, ours


class OtherSchema(WrongLedger):
    """The schema's version in Redis is more than one step away from that of this program."""

    type = "other-schema"

    def __init__(self, where: str, *, stored: int, ours: int) -> None:
        todo = f"Install a program of schema version {stored}"
        if stored < ours:
            todo = f"Update one step at a time: first let every worker run a program of schema version {stored + 1}"
        super().__init__(
            "schema version",
            f"{where} has version {stored}, and this program has {ours}, which works side by side with its neighbours "
            f"only. Nothing was done. {todo}; docs/upgrading.md says which that is",
        )
        self.stored, self.ours = stored, ours


class RefusedBySafetyRule(EraserError):
    """A safety rule said no. `rule` names it."""

    exit_code = 3
    type = "refused"

    def __init__(self, rule: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"refused by {rule}: {message}", hint=hint)
        self.rule = rule

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "rule": self.rule}


class DryRun(RefusedBySafetyRule):
    """The plan was shown and not confirmed. `hint`: the command that executes it."""

    before_hint = "To execute:"
    name = "plan first"

    def __init__(self, *, hint: str) -> None:
        EraserError.__init__(self, "Dry run, nothing was done.", hint=hint)
        self.rule = self.name


class UnknownProject(RefusedBySafetyRule):
    """A project that is not one of this installation's: a typing error would close a whole account."""

    type = "unknown-project"

    def __init__(self, project_id: str, why: str) -> None:
        super().__init__("project", f"{project_id} {why}")
        self.project_id = project_id


class ProjectElsewhere(RefusedBySafetyRule):
    """A project's records and holds are stored under one account, and the settings of this process name another one."""

    type = "project-elsewhere"

    def __init__(self, project_id: str, *, home: str, ours: str, moving: bool = False) -> None:
        command = f"eraser accounts move {project_id} --to {ours} --reason R"
        if moving:
            why = f"project {project_id} is being moved from {home} to {ours}. Nothing was done. To go on: {command}"
        else:
            why = (
                f"the deletions and holds of project {project_id} are stored under account {home}, and the settings "
                f"give it to {ours}. Until they are moved nothing of it is recorded, swept, replayed or sent. "
                f"Nothing was done. To move them: {command}; or give the project to {home} again in ERASER_CONFIG"
            )
        super().__init__("project elsewhere", why)
        self.project_id, self.home, self.ours, self.moving = project_id, home, ours, moving


class Unreachable(EraserError):
    """Redis or MetaStudio does not answer. Nothing is known to have been done."""

    exit_code = 4
    type = "unreachable"


class NotConfirmed(Unreachable):
    """It is recorded and may be carried out, but fewer servers have it than ERASER_REDIS_REPLICAS wants."""

    type = "not_confirmed"
