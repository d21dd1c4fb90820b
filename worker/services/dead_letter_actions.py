"""Actions on selected dead letters: replay, discard, restore; each after a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.ledger.bulk_queries import DeadLetter
from worker.model.errors import DryRun, RefusedBySafetyRule
from worker.model.ids import check_opaque, check_reason
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services.dead_letters import Selection, note_replay
from worker.services.request import CAP, Notify

NAMED = 200  # characters of the groups' names that the audit keeps


@dataclass(frozen=True, slots=True)
class Done:
    """Result: how many reached the wanted state, and the states of the others."""

    done: int
    others: tuple[tuple[Target, str], ...]


def check_confirmed(count: int, most: int | None, *, yes: bool, again: str) -> None:
    """Refuse without confirmation: many need --yes, more than a hundred also --max. `again`: the command as typed."""
    if count > (CAP if most is None else most):
        why = f"--max allows {most:,}" if most is not None else f"more than {CAP} must be confirmed"
        raise RefusedBySafetyRule(
            "max", f"{count:,} dead letters, and {why}. Nothing was done.", hint=f"{again} --yes --max {count}"
        )
    if not yes:
        cap = f" --max {count}" if count > CAP else ""
        raise DryRun(hint=f"{again} --yes{cap}")


def action_of(selection: Selection, most: int | None) -> AuditAction:
    """The audit's fields besides actor and reason. most: the number allowed with --max."""
    return AuditAction(
        of=None if selection.named else selection.what[:NAMED], cap=most if len(selection.letters) > CAP else None
    )


def replay(
    app: AppContext,
    selection: Selection,
    notify: Notify,
    *,
    reason: str,
    by: str | None,
    action: AuditAction | None = None,
) -> Done:
    """A new round at once for a few named jobs, before bulk work; for many see `worker.services.replay`."""
    action = action or action_of(selection, None)
    check_homes(app, selection.letters)

    def move(account: str, refs: list[Target]) -> list[tuple[Target, str]]:
        results, wakeups = app.ledger(account).replay(
            refs,
            why=reason,
            by=by,
            lane=Lane.USER,
            deadline_s=app.settings.deadline,
            mark=selection.marks.get(account),
            action=action,
        )
        for wakeup in wakeups:
            notify(account, wakeup)
        app.wake(account, 0)
        return results

    done = _do(selection, State.PENDING, reason, by, move)
    note_replay(app, selection.letters)
    return done


def check_homes(app: AppContext, letters: Iterable[DeadLetter]) -> None:
    """Raise `ProjectElsewhere` for a dead letter stored under another account than the settings give its project to."""
    for project, account in dict.fromkeys((letter.ref.project_id, letter.account) for letter in letters):
        app.places.check([project], account)


def discard(
    app: AppContext, selection: Selection, *, reason: str, by: str | None, action: AuditAction | None = None
) -> Done:
    """Discard each. `restore` undoes it within 30 days."""
    action = action or action_of(selection, None)

    def move(account: str, refs: list[Target]) -> list[tuple[Target, str]]:
        return app.ledger(account).discard(refs, why=reason, by=by, action=action)

    return _do(selection, State.DISCARDED, reason, by, move)


def restore(
    app: AppContext, selection: Selection, *, reason: str | None, by: str | None, action: AuditAction | None = None
) -> Done:
    """Restore discarded dead letters."""
    action = action or action_of(selection, None)

    def move(account: str, refs: list[Target]) -> list[tuple[Target, str]]:
        return app.ledger(account).restore(refs, why=reason, by=by, action=action)

    return _do(selection, State.DEAD, reason, by, move)


def _do(
    selection: Selection,
    wanted: State,
    reason: str | None,
    by: str | None,
    move: Callable[[str, list[Target]], list[tuple[Target, str]]],
) -> Done:
    check_reason(reason), check_opaque(by, "by")
    shares: dict[str, list[Target]] = {}
    for letter in selection.letters:
        shares.setdefault(letter.account, []).append(letter.ref)
    results = [result for account, refs in shares.items() for result in move(account, refs)]
    others = tuple((ref, became) for ref, became in results if became != wanted)
    return Done(len(results) - len(others), others)
