"""The red button and its release: which accounts are meant, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.accounts import nearest
from worker.deletion import check_opaque, check_reason
from worker.errors import UsageError
from worker.ledger.acts import Act
from worker.operations.requests import Ring
from worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Switched:
    """Result for one account. `was`: what kept its gate closed before, or None.

    rest_s: its key was refused so often lately that it is not tried before.
    """

    account: str
    gate: str
    was: str | None
    rest_s: float = 0.0


def accounts_meant(
    running: Runtime, account: str | None, *, every: bool | None, command: str, gone: bool = False
) -> list[str]:
    """The account named, the only one there is, or all of them where that was said. Raises `UsageError`.

    every: None where the command takes one account only. gone: also one that is gone from the settings.
    """
    known = running.known_accounts() if gone else list(running.settings.accounts)
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


def pause(running: Runtime, accounts: list[str], *, reason: str, by: str | None) -> Iterator[Switched]:
    """Stop all calls. A call under way is finished."""
    check_reason(reason), check_opaque(by, "by")
    act = Act()
    for account in accounts:
        was = running.ledger(account).pause(why=reason, by=by, act=act)
        yield Switched(account, "paused", "paused" if was else None)


def resume(
    running: Runtime, accounts: list[str], ring: Ring, *, reason: str, by: str | None = None
) -> Iterator[Switched]:
    """Let calls go again; what was closed is tried first."""
    check_reason(reason), check_opaque(by, "by")
    act = Act()
    for account in accounts:
        was, bell, refused = running.ledger(account).resume(why=reason, by=by, act=act)
        rest_s = max((running.budget.retry(record) for record in refused), default=0.0)
        if bell:
            ring(account, bell)
        running.wake(account, 0)
        yield Switched(account, "ok", was, rest_s)
