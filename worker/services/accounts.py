"""The accounts in the settings and in the ledger: which MetaStudio each belongs to, and rebinding one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from worker.config.urls import check_endpoint
from worker.execution.app_context import AppContext
from worker.ledger.records import AccountStatus
from worker.ledger.types import Rebound
from worker.model.errors import OtherEndpoint, RefusedBySafetyRule, UsageError
from worker.model.states import State
from worker.services import json_form
from worker.services.act import Approval, Plan
from worker.services.labels import count

WAITING = (State.PENDING, State.RUNNING, State.HELD, State.DEAD)  # states in which a deletion would still be sent


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """One account, in the settings of this process and in the ledger."""

    account: str
    endpoint: str | None  # in the settings; None: this process only records
    ledger_endpoint: str | None  # None: not used yet
    since: float | None  # ms since 1970
    waiting: int
    in_settings: bool  # whether it is in the settings; False: no worker calls for it any more
    deletions: int  # deletions in any state
    holds: int  # of jobs and of app users
    credentials: str | None  # where they come from; None: gone from the settings

    @property
    def abandoned(self) -> bool:
        """It is missing from the settings, but not empty."""
        return not self.in_settings and bool(self.deletions or self.holds)

    @property
    def elsewhere(self) -> OtherEndpoint | None:
        """What is wrong if the two differ."""
        if None in (self.endpoint, self.ledger_endpoint) or self.endpoint == self.ledger_endpoint:
            return None
        return OtherEndpoint(self.account, bound=self.ledger_endpoint or "", ours=self.endpoint or "")

    def as_json(self) -> dict[str, Any]:
        return json_form.as_json(self) | {"elsewhere": self.elsewhere is not None}


def each(app: AppContext) -> Iterator[AccountOverview]:
    """Every account of the settings, then those that are missing from them. Raises `Unreachable`."""
    return overviews(app, (app.queries(name).status() for name in app.known_accounts()))


def abandoned(app: AppContext) -> list[AccountOverview]:
    """Accounts that are missing from the settings and not empty; a process that makes no calls cannot know. Raises
    `Unreachable`."""
    if all(account.endpoint is None for account in app.settings.accounts.values()):
        return []
    gone = (app.queries(name).status() for name in app.known_accounts() if name not in app.settings.accounts)
    return [one for one in overviews(app, gone) if one.abandoned]


def overviews(app: AppContext, accounts: Iterable[AccountStatus]) -> Iterator[AccountOverview]:
    """The same from what was read already."""
    for one in accounts:
        name, bound = one.gate.account, one.bound
        yield AccountOverview(
            account=name,
            endpoint=app.account(name).endpoint,
            ledger_endpoint=bound.endpoint if bound else None,
            since=bound.since if bound else None,
            waiting=sum(one.every[state] for state in WAITING),
            in_settings=name in app.settings.accounts,
            deletions=sum(one.every.values()),
            holds=one.holds,
            credentials=str(app.account(name).credentials) if name in app.settings.accounts else None,
        )


def new_address(app: AppContext, account: str, text: str) -> str:
    """The new address of an account. Raises `UsageError` if it is invalid, or not that of the settings."""
    endpoint = check_endpoint(text, "--endpoint")
    ours = app.settings.accounts[account].endpoint
    if ours is not None and ours != endpoint:
        raise UsageError(
            f"--endpoint: {endpoint} is not what the settings say of account {account}: {ours}. Set ERASER_REGION, "
            "ERASER_ENDPOINT or ERASER_CONFIG to the new address first, here and for the workers"
        )
    return endpoint


def plan_rebind(app: AppContext, account: str, endpoint: str) -> Rebound:
    """What binding the account to this address would do. Changes nothing."""
    return app.unbound_ledger(account).rebind(endpoint, why=None, by=None, plan=True)


def shown(account: str, endpoint: str, planned: Rebound) -> Plan:
    """The plan in words."""
    title = f"account {account} will belong to {endpoint}, instead of {planned.was or 'no address yet'}"
    remark = "finished deletions stay as they are; the gate's state for the old address is reset"
    return Plan(title, {}, [remark], {"account": account, "endpoint": endpoint, "was": planned.was})


def rebind(app: AppContext, account: str, endpoint: str, planned: Rebound, approval: Approval) -> None:
    """Bind the account to this address. Raises `RefusedBySafetyRule` if something waits; nothing was done then."""
    _refuse_waiting(account, planned)
    approval.check(1, "account")
    done = app.unbound_ledger(account).rebind(endpoint, why=approval.reason, by=approval.by, plan=False)
    _refuse_waiting(account, done)


def _refuse_waiting(account: str, found: Rebound) -> None:
    """Raise `RefusedBySafetyRule` if a deletion for the old address has not finished."""
    if found.bound or found.free:
        return
    waits = ", ".join(f"{number:,} {state}" for state, number in found.waits.items() if number)
    total = count(sum(found.waits.values()), "deletion")
    raise RefusedBySafetyRule(
        "waiting",
        f"{total} of account {account} ({waits}) belong to {found.was}: at another address each would look like one "
        "that is gone. Nothing was done. Let them finish, or end them: eraser cancel, eraser hold remove, eraser dead "
        "discard; or keep this ledger as it is and use another ERASER_NAMESPACE",
    )
