"""What is done with dead letters that were chosen: replayed, discarded, restored; each after a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.deletion import Lane, State, check_opaque, check_reason
from worker.errors import DryRun, RefusedBySafetyRule
from worker.ledger.acts import Act
from worker.ledger.glance import Letter
from worker.ledger.moves import Ref
from worker.operations.dead import Selection, note_replay
from worker.operations.requests import CAP, Ring
from worker.runtime import Runtime

NAMED = 200  # characters of the groups' names that the audit keeps


@dataclass(frozen=True, slots=True)
class Done:
    """Result: how many reached the state that was wanted, and what became of the others."""

    done: int
    others: tuple[tuple[Ref, str], ...]


def check_confirmed(count: int, most: int | None, *, yes: bool, again: str) -> None:
    """Refuse what nobody confirmed: many need --yes, more than a hundred also --max. `again`: the command as typed."""
    if count > (CAP if most is None else most):
        why = f"--max allows {most:,}" if most is not None else f"more than {CAP} must be confirmed"
        raise RefusedBySafetyRule(
            "max", f"{count:,} dead letters, and {why}. Nothing was done.", hint=f"{again} --yes --max {count}"
        )
    if not yes:
        cap = f" --max {count}" if count > CAP else ""
        raise DryRun(hint=f"{again} --yes{cap}")


def act_of(selection: Selection, most: int | None) -> Act:
    """What the audit is told beside who and why. most: what was allowed with --max."""
    return Act(
        of=None if selection.named else selection.what[:NAMED], cap=most if len(selection.letters) > CAP else None
    )


def replay(
    running: Runtime, selection: Selection, ring: Ring, *, reason: str, by: str | None, act: Act | None = None
) -> Done:
    """A new round at once for a few jobs that were named, before bulk work; many: `worker.operations.replays`."""
    act = act or act_of(selection, None)
    check_homes(running, selection.letters)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        results, bells = running.ledger(account).replay(
            refs,
            why=reason,
            by=by,
            lane=Lane.USER,
            deadline_s=running.settings.deadline,
            mark=selection.marks.get(account),
            act=act,
        )
        for bell in bells:
            ring(account, bell)
        running.wake(account, 0)
        return results

    done = _do(selection, State.PENDING, reason, by, move)
    note_replay(running, selection.letters)
    return done


def check_homes(running: Runtime, letters: Iterable[Letter]) -> None:
    """Raise `ProjectElsewhere` for a letter that lies under another account than the settings give its project to."""
    for project, account in dict.fromkeys((letter.ref.project_id, letter.account) for letter in letters):
        running.places.check([project], account)


def discard(running: Runtime, selection: Selection, *, reason: str, by: str | None, act: Act | None = None) -> Done:
    """Give each up. `restore` takes them back within 30 days."""
    act = act or act_of(selection, None)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        return running.ledger(account).discard(refs, why=reason, by=by, act=act)

    return _do(selection, State.DISCARDED, reason, by, move)


def restore(
    running: Runtime, selection: Selection, *, reason: str | None, by: str | None, act: Act | None = None
) -> Done:
    """Take discarded letters back."""
    act = act or act_of(selection, None)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        return running.ledger(account).restore(refs, why=reason, by=by, act=act)

    return _do(selection, State.DEAD, reason, by, move)


def _do(
    selection: Selection,
    wanted: State,
    reason: str | None,
    by: str | None,
    move: Callable[[str, list[Ref]], list[tuple[Ref, str]]],
) -> Done:
    check_reason(reason), check_opaque(by, "by")
    shares: dict[str, list[Ref]] = {}
    for letter in selection.letters:
        shares.setdefault(letter.account, []).append(letter.ref)
    results = [result for account, refs in shares.items() for result in move(account, refs)]
    others = tuple((ref, became) for ref, became in results if became != wanted)
    return Done(len(results) - len(others), others)
