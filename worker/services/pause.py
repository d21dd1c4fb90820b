"""Emergency stop and resume: for which accounts, and the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.config.tables import nearest
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.model.errors import UsageError
from worker.services.act import Approval


@dataclass(frozen=True, slots=True)
class GateChange:
    """Result for one account. `was`: what kept its gate closed before, or None.

    rest_s: seconds until its key may be tried, because it was refused too often recently.
    """

    account: str
    gate: str
    was: str | None
    rest_s: float = 0.0


def accounts_meant(
    app: AppContext, account: str | None, *, every: bool | None, command: str, gone: bool = False
) -> list[str]:
    """The named account, the only one, or all of them if requested. Raises `UsageError`.

    every: None if the command takes only one account. gone: also accounts that are missing from the settings.
    """
    known = app.known_accounts() if gone else list(app.settings.accounts)
    if account is not None and every:
        raise UsageError("give --account or --all, not both")
    if account is not None:
        return [check_account(account, known)]
    if len(known) == 1 or every:
        return known
    every_one = f", or eraser {command} --all" if every is not None else ""
    raise UsageError(
        f"which account? There are {', '.join(known)}: type eraser {command} --account {known[0]}{every_one}"
    )


def check_account(account: str, known: list[str]) -> str:
    """The account, if it is known. Raises `UsageError`."""
    if account in known:
        return account
    raise UsageError(f"there is no account {account[:40]!r}{nearest(account, known)}; there are: {', '.join(known)}")


def pause(app: AppContext, accounts: list[str], approval: Approval) -> Iterator[GateChange]:
    """Stop all calls. A call in progress is finished."""
    action = AuditAction()
    for account in accounts:
        was = app.ledger(account).pause(**approval.who(action))
        yield GateChange(account, "paused", "paused" if was else None)


def resume(app: AppContext, accounts: list[str], approval: Approval) -> Iterator[GateChange]:
    """Allow calls again; a closed gate is probed first."""
    action = AuditAction()
    for account in accounts:
        was, refused = app.ledger(account).resume(**approval.who(action))
        rest_s = max((app.budget.retry(record) for record in refused), default=0.0)
        app.wake(account, now=True)  # after that: an executor that came before would find the key refused
        yield GateChange(account, "ok", was, rest_s)
