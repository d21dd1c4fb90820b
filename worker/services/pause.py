"""The red button and its release: which accounts are meant, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.config.accounts import nearest
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.model.errors import UsageError
from worker.model.ids import check_opaque, check_reason
from worker.services.request import Notify


@dataclass(frozen=True, slots=True)
class GateChange:
    """Result for one account. `was`: what kept its gate closed before, or None.

    rest_s: its key was refused so often lately that it is not tried before.
    """

    account: str
    gate: str
    was: str | None
    rest_s: float = 0.0


def accounts_meant(
    app: AppContext, account: str | None, *, every: bool | None, command: str, gone: bool = False
) -> list[str]:
    """The account named, the only one there is, or all of them where that was said. Raises `UsageError`.

    every: None where the command takes one account only. gone: also one that is gone from the settings.
    """
    known = app.known_accounts() if gone else list(app.settings.accounts)
    if account is not None and every:
        raise UsageError("give --account or --all, not both")
    if account is not None:
        if account not in known:
            raise UsageError(
                f"there is no account {account[:40]!r}{nearest(account, known)}; there are: {', '.join(known)}"
            )
        return [account]
    if len(known) == 1 or every:
        return known
    every_one = f", or eraser {command} --all" if every is not None else ""
    raise UsageError(
        f"which account? There are {', '.join(known)}: type eraser {command} --account {known[0]}{every_one}"
    )


def pause(app: AppContext, accounts: list[str], *, reason: str, by: str | None) -> Iterator[GateChange]:
    """Stop all calls. A call under way is finished."""
    check_reason(reason), check_opaque(by, "by")
    action = AuditAction()
    for account in accounts:
        was = app.ledger(account).pause(why=reason, by=by, action=action)
        yield GateChange(account, "paused", "paused" if was else None)


def resume(
    app: AppContext, accounts: list[str], notify: Notify, *, reason: str, by: str | None = None
) -> Iterator[GateChange]:
    """Let calls go again; what was closed is tried first."""
    check_reason(reason), check_opaque(by, "by")
    action = AuditAction()
    for account in accounts:
        was, wakeup, refused = app.ledger(account).resume(why=reason, by=by, action=action)
        rest_s = max((app.budget.retry(record) for record in refused), default=0.0)
        if wakeup:
            notify(account, wakeup)
        app.wake(account, 0)
        yield GateChange(account, "ok", was, rest_s)
