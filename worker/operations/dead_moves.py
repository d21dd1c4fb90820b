"""What is done with dead letters that were chosen: replayed, discarded, restored; each after a plan."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.deletion import Lane, State, check_opaque, check_reason
from worker.errors import RefusedBySafetyRule
from worker.ledger.acts import Act
from worker.ledger.moves import Ref
from worker.ledger.read import Gate
from worker.operations.dead import REPLAYS, Selection, group_of
from worker.operations.requests import CAP, Ring
from worker.runtime import Runtime

NAMED = 200  # characters of the groups' names that the audit keeps


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an account needs for its share of a replay."""

    account: str
    count: int
    gate: Gate
    due_before: int  # deletions that are due already

    @property
    def seconds(self) -> float:
        return self.count / self.gate.rate


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: how many reached the state that was wanted, and what became of the others."""

    done: int
    others: tuple[tuple[Ref, str], ...]
    run: str | None = None


def paces(running: Runtime, selection: Selection) -> list[Pace]:
    """What the gates allow: one entry an account that has a share."""
    found = []
    for account in running.settings.accounts:
        share = sum(letter.account == account for letter in selection.letters)
        if share:
            status = running.reads(account).status()
            found.append(Pace(account, share, status.gate, sum(status.due.values())))
    return found


def check_confirmed(count: int, most: int | None, *, yes: bool, again: str) -> None:
    """Refuse what nobody confirmed: many need --yes, more than a hundred also --max. `again`: the command as typed."""
    if count > (CAP if most is None else most):
        why = f"--max allows {most:,}" if most is not None else f"above {CAP} the number has to be confirmed"
        raise RefusedBySafetyRule(
            "max", f"{count:,} letters, and {why}. Nothing was done. To go on:\n  {again} --yes --max {count}"
        )
    if not yes:
        cap = f" --max {count}" if count > CAP else ""
        raise RefusedBySafetyRule("yes", f"this was the plan only, nothing was done. To go on:\n  {again} --yes{cap}")


def act_of(selection: Selection, most: int | None) -> Act:
    """What the audit is told beside who and why. most: what was allowed with --max."""
    named = ", ".join(selection.groups)
    return Act(of=named[:NAMED] or None, cap=most if len(selection.letters) > CAP else None)


def replay(
    running: Runtime, selection: Selection, ring: Ring, *, reason: str, by: str | None, act: Act | None = None
) -> Done:
    """A new round for each: in the user lane for jobs that were named, in the bulk lane for groups."""
    lane = Lane.BULK if selection.groups else Lane.USER
    run = None if selection.at_once else f"replay-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

    act = act or act_of(selection, None)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        results, bells = running.ledger(account).replay(
            refs, why=reason, by=by, run=run, lane=lane, deadline_s=running.settings.deadline, act=act
        )
        for bell in bells:
            ring(account, bell)
        running.wake(account, 0)
        return results

    done = _do(selection, State.PENDING, reason, by, move)
    _note_replay(running, selection)
    return replace(done, run=run)


def discard(running: Runtime, selection: Selection, *, reason: str, by: str | None, act: Act | None = None) -> Done:
    """Give each up. `restore` takes them back within 30 days."""
    act = act or act_of(selection, None)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        return running.ledger(account).discard(refs, why=reason, by=by, act=act)

    return _do(selection, State.DISCARDED, reason, by, move)


def restore(running: Runtime, selection: Selection, *, reason: str, by: str | None, act: Act | None = None) -> Done:
    """Take discarded letters back."""
    act = act or act_of(selection, None)

    def move(account: str, refs: list[Ref]) -> list[tuple[Ref, str]]:
        return running.ledger(account).restore(refs, why=reason, by=by, act=act)

    return _do(selection, State.DEAD, reason, by, move)


def _do(
    selection: Selection,
    wanted: State,
    reason: str,
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


def _note_replay(running: Runtime, selection: Selection) -> None:
    """Remember when each group was replayed: its letters leave it, so nothing else would tell."""
    if not selection.letters:
        return
    now = running.reads(selection.letters[0].account).now_ms()
    running.redis.hset(REPLAYS, mapping={f"{letter.account} {group_of(letter)}": now for letter in selection.letters})
