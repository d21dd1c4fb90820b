"""What was damaged in the ledgers by other hands: told, and given up once a person has looked at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from worker.deletion import check_opaque, check_reason
from worker.ledger import damage
from worker.ledger.ask import WrongKind
from worker.ledger.damage import Damaged, DamageList
from worker.runtime import Runtime

T = TypeVar("T")


def each(running: Runtime, accounts: Iterable[str] | None = None) -> Iterator[Damaged]:
    """Everything that was put aside and that nobody has looked at yet. Raises `Unreachable`."""
    for account in running.settings.accounts if accounts is None else accounts:
        yield from DamageList(running.redis, account, running.keys).each()


def give_up(
    running: Runtime, account: str, names: Iterable[str], *, reason: str, by: str | None
) -> Iterator[tuple[str, str]]:
    """Drop what was put aside under these names: `dropped` or `unknown` for each."""
    check_reason(reason), check_opaque(by, "by")
    yield from damage.drop(running.ledger(account), names, why=reason, by=by)


def put_right(running: Runtime, look: Callable[[Runtime], T]) -> T:
    """Look; where a key of ours is of the wrong kind, let the ledgers put it aside first."""
    try:
        return look(running)
    except WrongKind:
        for account in running.settings.accounts:
            damage.check(running.ledger(account), keys=True)
        return look(running)


def what_to_do(one: Damaged) -> str:
    """For people: how to go on."""
    account = f" --account {one.account}" if one.account != "default" else ""
    drop = f"eraser damaged discard {one.name}{account} --reason R"
    if one.ref is not None:
        again = f"eraser request {one.ref.job_id} --project {one.ref.project_id} requests it again"
        return f"{again}; {drop} discards it"
    if one.name.startswith("holds:"):
        return f"check the hold list (eraser hold list, eraser hold import), then eraser resume --reason R, and {drop}"
    return f"no deletion waits for it; after a check: {drop}"
