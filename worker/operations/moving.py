"""Moving a project to another account: what lies where, a plan, and carrying it over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.deletion import State, check_opaque, check_reason, why_bad_id
from worker.errors import RefusedBySafetyRule, SettingsError, UsageError
from worker.ledger.acts import Act, ActName
from worker.ledger.bindings import bindings
from worker.ledger.carrying import adopt_users, carry
from worker.ledger.moves import Ref
from worker.ledger.places import Home
from worker.ledger.schema.keys import Key
from worker.operations.words import count
from worker.runtime import Runtime

PATIENCE_S = 10.0  # for calls under way: most are answered within it


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would carry."""

    project: str
    source: str
    to: str
    states: dict[State, int]  # those with any
    holds: int  # of jobs, asked for or not
    user_holds: int  # of app users: they stay where they are, too
    begun: bool  # an earlier command began it

    def as_json(self) -> dict[str, Any]:
        return {
            "project_id": self.project,
            "from": self.source,
            "to": self.to,
            "states": {state.value: number for state, number in self.states.items()},
            "holds": self.holds,
            "app_user_holds": self.user_holds,
            "begun": self.begun,
        }


@dataclass(frozen=True, slots=True)
class Moved:
    """Result. `left`: calls that are under way; they are carried when the same is typed again."""

    carried: int
    left: int


@dataclass(frozen=True, slots=True)
class Stray:
    """A project whose deletions and holds lie under another account than the settings say."""

    project: str
    home: str
    ours: str | None  # None: the settings give it to no account
    moving: bool

    @property
    def command(self) -> str:
        return f"eraser accounts move {self.project} --to {self.ours or 'ACCOUNT'} --reason R"

    def as_json(self) -> dict[str, Any]:
        return {
            "project_id": self.project,
            "account": self.home,
            "settings": self.ours,
            "moving": self.moving,
            "command": self.command,
        }

    def __str__(self) -> str:
        if self.moving:
            return f"project {self.project} is being moved from account {self.home} to {self.ours}: continue the move"
        ours = f"the settings give it to {self.ours}" if self.ours else "the settings give it to no account"
        return f"project {self.project} is stored under account {self.home}, and {ours}: nothing is done for it"


def strays(running: Runtime) -> list[Stray]:
    """Every such project. Raises `Unreachable`."""
    return [_stray(running, project, home) for project, home in sorted(running.places.strays().items())]


def _stray(running: Runtime, project: str, home: Home) -> Stray:
    try:
        ours: str | None = running.settings.account_of(project).name
    except SettingsError:
        ours = None
    return Stray(project, home.account, home.to or ours, moving=home.to is not None)


def plan(running: Runtime, project: str, to: str) -> MovePlan | None:
    """What lies elsewhere. None: nothing does. Raises `UsageError`, `RefusedBySafetyRule` and `Unreachable`."""
    if why := why_bad_id(project, "project id"):
        raise UsageError(why)
    home = running.places.home(project)
    if home is None or (home.account == to and home.to is None):
        return None
    if home.to is not None and home.to != to:
        raise UsageError(f"project {project} is being moved to {home.to} already: end that first, with --to {home.to}")
    _check_settings(running, project, to)
    running.check_endpoints()
    _check_address(running, home.account, to)
    states, holds = _count(running, home.account, project)
    user_holds = int(running.redis.hlen(running.keys.account(home.account) + Key.HELD_USERS))
    return MovePlan(project, home.account, to, states, holds, user_holds, begun=home.to is not None)


def move(
    running: Runtime, planned: MovePlan, *, reason: str, by: str | None, advance: Callable[[int], None] = lambda _: None
) -> Moved:
    """Carry it over. Stopped anywhere it may be begun again; nothing of it is taken until all of it is there."""
    check_reason(reason), check_opaque(by, "by")
    project = planned.project
    said = Act(of=f"{project}: {planned.source} to {planned.to}").named(ActName.MOVED, by=by, why=reason)
    source, target = running.ledger(running.places.begin_move(project, planned.to)), running.ledger(planned.to)
    carried, give_up = 0, time.monotonic() + PATIENCE_S
    while True:
        adopt_users(source, target, project)
        source.rescue(alive=[], counts=False)
        before = carried
        for left in carry(source, target, project, running.places.members(source.account, project), said):
            carried += left
            advance(left)
        if running.places.end_move(project, source.account, planned.to, running.redis_ms()):
            running.wake(planned.to, 0)
            return Moved(carried, 0)
        if carried == before and (time.monotonic() >= give_up or running.stopping.wait(0.5)):
            return Moved(carried, sum(_count(running, source.account, project)[0].values()))


def _count(running: Runtime, account: str, project: str) -> tuple[dict[State, int], int]:
    refs = [Ref.parse(ref) for ref in dict.fromkeys(running.places.members(account, project))]
    found = Counter(state for _, state in running.glance(account).states(refs) if state is not None)
    holds = sum(1 for _ in running.places.holds(account, project))
    return {state: found[state] for state in State if found[state]}, holds


def _check_settings(running: Runtime, project: str, to: str) -> None:
    known = running.settings.accounts
    if to not in known:
        raise UsageError(f"--to: there is no account {to[:40]!r} in the settings; there are: {', '.join(known)}")
    ours = running.settings.account_of(project).name
    if ours != to:
        raise UsageError(
            f"the settings give project {project} to account {ours}, not to {to}: say --to {ours}, or add it to the "
            f"projects of {to} in ERASER_CONFIG first, here and for the workers"
        )


def _check_address(running: Runtime, source: str, to: str) -> None:
    bound = bindings(running.redis, (source, to), running.keys)
    here = running.settings.accounts[to].endpoint or (bound[to].endpoint if to in bound else None)
    if source in bound and here is not None and bound[source].endpoint != here:
        raise RefusedBySafetyRule(
            "endpoint",
            f"account {source} belongs to {bound[source].endpoint}, and {to} to {here}: there each of its jobs would "
            "look as if it were gone. Nothing was done. Finish or cancel what waits, and request it again",
        )


def told(planned: MovePlan) -> list[str]:
    """The plan in lines."""
    lines = [f"{number:11,}  {state}" for state, number in planned.states.items()]
    if planned.holds:
        lines.append(f"{planned.holds:11,}  {'hold' if planned.holds == 1 else 'holds'} of jobs")
    if planned.user_holds:
        lines.append(f"{planned.user_holds:11,}  holds of app users, which stay in {planned.source} too")
    return lines or [f"{count(0, 'deletion'):>11}  nothing is there"]
