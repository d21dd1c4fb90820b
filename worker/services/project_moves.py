"""Moving a project to another account: projects in the wrong account, the plan, and the move."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.ledger.bindings import bindings
from worker.ledger.places import Home
from worker.ledger.project_moves import adopt_users, carry
from worker.ledger.schema.keys import Key
from worker.model.errors import RefusedBySafetyRule, SettingsError, UsageError
from worker.model.ids import why_bad_id
from worker.model.states import State
from worker.model.target import Target
from worker.services import json_form
from worker.services.act import Approval, Plan

PATIENCE_S = 10.0  # for calls in progress: most are answered within it


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would transfer."""

    project: str
    source: str
    to: str
    states: dict[State, int]  # those with any
    holds: int  # of jobs, requested or not
    user_holds: int  # of app users: they also stay in the old account
    begun: bool  # an earlier command started it

    def as_json(self) -> dict[str, Any]:
        about = {"project_id": self.project, "from": self.source}
        return about | json_form.as_json(self, "to", "states", "holds", "begun", app_user_holds="user_holds")


@dataclass(frozen=True, slots=True)
class Moved:
    """Result. `left`: calls in progress; they are moved when the command is repeated."""

    carried: int
    left: int


@dataclass(frozen=True, slots=True)
class Stray:
    """A project whose deletions and holds are stored under another account than the settings say."""

    project: str
    home: str
    ours: str | None  # None: the settings give it to no account
    moving: bool

    @property
    def command(self) -> str:
        return f"eraser accounts move {self.project} --to {self.ours or 'ACCOUNT'} --reason R"

    def as_json(self) -> dict[str, Any]:
        return json_form.as_json(self, "moving", "command", project_id="project", account="home", settings="ours")

    def __str__(self) -> str:
        if self.moving:
            return f"project {self.project} is being moved from account {self.home} to {self.ours}: continue the move"
        ours = f"the settings give it to {self.ours}" if self.ours else "the settings give it to no account"
        return f"project {self.project} is stored under account {self.home}, and {ours}: nothing is done for it"


def strays(app: AppContext) -> list[Stray]:
    """Every such project. Raises `Unreachable`."""
    return [_stray(app, project, home) for project, home in sorted(app.places.strays().items())]


def _stray(app: AppContext, project: str, home: Home) -> Stray:
    try:
        ours: str | None = app.settings.account_of(project).name
    except SettingsError:
        ours = None
    return Stray(project, home.account, home.to or ours, moving=home.to is not None)


def plan(app: AppContext, project: str, to: str) -> MovePlan | None:
    """What is in another account. None: nothing is. Raises `UsageError`, `RefusedBySafetyRule` and `Unreachable`."""
    if why := why_bad_id(project, "project id"):
        raise UsageError(why)
    home = app.places.home(project)
    if home is None or (home.account == to and home.to is None):
        return None
    if home.to is not None and home.to != to:
        raise UsageError(f"project {project} is being moved to {home.to} already: end that first, with --to {home.to}")
    _check_settings(app, project, to)
    app.check_ledger()
    _check_address(app, home.account, to)
    states, holds = _count(app, home.account, project)
    user_holds = int(app.redis.hlen(app.keys.account(home.account) + Key.HELD_USERS))
    return MovePlan(project, home.account, to, states, holds, user_holds, begun=home.to is not None)


def move(
    app: AppContext, planned: MovePlan, approval: Approval, advance: Callable[[int], None] = lambda _: None
) -> Moved:
    """Move it. If it is interrupted, it can be repeated; none of its deletions is taken until all are moved."""
    approval.check(1, "project")
    project = planned.project
    fields = approval.entry(ActionName.MOVED, f"{project}: {planned.source} to {planned.to}")
    source, target = app.ledger(app.places.begin_move(project, planned.to)), app.ledger(planned.to)
    carried, give_up = 0, time.monotonic() + PATIENCE_S
    while True:
        adopt_users(source, target, project)
        source.rescue(alive=[], counts=False)
        before = carried
        for left in carry(source, target, project, app.places.members(source.account, project), fields):
            carried += left
            advance(carried)
        if app.places.end_move(project, source.account, planned.to, app.redis_ms()):
            app.wake(planned.to, 0)
            return Moved(carried, 0)
        if carried == before and (time.monotonic() >= give_up or app.stopping.wait(0.5)):
            return Moved(carried, sum(_count(app, source.account, project)[0].values()))


def _count(app: AppContext, account: str, project: str) -> tuple[dict[State, int], int]:
    refs = [Target.parse(ref) for ref in dict.fromkeys(app.places.members(account, project))]
    found = Counter(state for _, state in app.bulk_queries(account).states(refs) if state is not None)
    holds = sum(1 for _ in app.places.holds(account, project))
    return {state: found[state] for state in State if found[state]}, holds


def _check_settings(app: AppContext, project: str, to: str) -> None:
    known = app.settings.accounts
    if to not in known:
        raise UsageError(f"--to: there is no account {to[:40]!r} in the settings; there are: {', '.join(known)}")
    ours = app.settings.account_of(project).name
    if ours != to:
        raise UsageError(
            f"the settings give project {project} to account {ours}, not to {to}: say --to {ours}, or add it to the "
            f"projects of {to} in ERASER_CONFIG first, here and for the workers"
        )


def _check_address(app: AppContext, source: str, to: str) -> None:
    bound = bindings(app.redis, (source, to), app.keys)
    here = app.settings.accounts[to].endpoint or (bound[to].endpoint if to in bound else None)
    if source in bound and here is not None and bound[source].endpoint != here:
        raise RefusedBySafetyRule(
            "endpoint",
            f"account {source} belongs to {bound[source].endpoint}, and {to} to {here}: there each of its jobs would "
            "look as if it were gone. Nothing was done. Finish or cancel what waits, and request it again",
        )


def shown(planned: MovePlan) -> Plan:
    """The plan in words."""
    numbers = {state.value: number for state, number in planned.states.items()}
    if planned.holds:
        numbers["hold of jobs" if planned.holds == 1 else "holds of jobs"] = planned.holds
    if planned.user_holds:
        numbers[f"holds of app users, which stay in {planned.source} too"] = planned.user_holds
    title = f"move project {planned.project} from account {planned.source} to {planned.to}"
    return Plan(title, numbers or {"deletions: nothing is there": 0}, (), planned.as_json())
