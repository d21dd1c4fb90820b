"""Data of the ledgers that another program damaged: listing it, and discarding it once a person has looked at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from worker.execution.app_context import AppContext
from worker.ledger import damage
from worker.ledger.damage import Damaged, DamageList
from worker.ledger.redis_read import WrongKind
from worker.services.act import Approval

T = TypeVar("T")


def each(app: AppContext, accounts: Iterable[str] | None = None) -> Iterator[Damaged]:
    """Everything that was set aside and not discarded yet. Raises `Unreachable`."""
    for account in app.settings.accounts if accounts is None else accounts:
        yield from DamageList(app.redis, account, app.keys).each()


def give_up(app: AppContext, account: str, names: Iterable[str], approval: Approval) -> list[tuple[str, str]]:
    """Delete what was set aside under these names: `dropped` or `unknown` for each."""
    return damage.drop(app.ledger(account), names, **approval.who())


def put_right(app: AppContext, read: Callable[[AppContext], T]) -> T:
    """Read; if one of our keys has the wrong type, let the ledgers set it aside first."""
    try:
        return read(app)
    except WrongKind:
        for account in app.settings.accounts:
            damage.check(app.ledger(account), keys=True)
        return read(app)


def what_to_do(one: Damaged) -> str:
    """For people: what to do next."""
    account = f" --account {one.account}" if one.account != "default" else ""
    drop = f"eraser damaged discard {one.name}{account} --reason R"
    if one.ref is not None:
        again = f"eraser request {one.ref.id} --project {one.ref.project_id} requests it again"
        return f"{again}; {drop} discards it"
    if one.name.startswith("holds:"):
        return f"check the hold list (eraser hold list, eraser hold import), then eraser resume --reason R, and {drop}"
    if one.name == "assets":
        known = "the dispatching worker finds out anew who named what, within minutes"
        return f"{known}: then eraser resume --reason R, and {drop}"
    if one.name.startswith("erasure:"):
        return f"what that job left behind is not known any more: look for it at MetaStudio; then {drop}"
    if one.name in ("gate", "account"):
        return f"check that nobody had paused the account, and its address, then eraser resume --reason R, and {drop}"
    return f"no deletion waits for it; after a check: {drop}"
