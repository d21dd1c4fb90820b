"""The plan of a replay: which dead letters, in which order, how long. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from worker.ledger.bulk_queries import DeadLetter
from worker.ledger.holds import OnHold
from worker.model.shares import grouped
from worker.replay.canary import TEN


@dataclass(frozen=True, slots=True)
class Share:
    """One account's part of a replay."""

    account: str
    mark: int  # the number of the latest failure when the dead letters were selected
    letters: tuple[DeadLetter, ...]  # in the order of their start
    rate: float  # calls per second that the gate allows
    gate: str  # ok, outage, paused, …
    due_before: int  # deletions that are due already

    @property
    def seconds(self) -> float:
        """How long the first calls take, without other work."""
        return len(self.letters) / self.rate


def apart(letters: Iterable[DeadLetter], on_hold: OnHold) -> tuple[list[DeadLetter], list[DeadLetter]]:
    """The ones to replay, and the ones on hold, which stay dead."""
    go: list[DeadLetter] = []
    held: list[DeadLetter] = []
    for letter in letters:
        is_held = letter.ref in on_hold.refs or letter.whose in on_hold.users
        (held if is_held else go).append(letter)
    return go, held


def canaries_first(letters: Sequence[DeadLetter], group_of: Callable[[DeadLetter], str]) -> list[DeadLetter]:
    """Take the first eleven, which decide about the rest, from all groups in turn, the largest first."""
    groups = sorted(grouped(letters, group_of).values(), key=len, reverse=True)
    first: list[DeadLetter] = []
    for turn in range(TEN):
        first += [group[turn] for group in groups if turn < len(group)]
        if len(first) >= TEN:
            break
    first = first[:TEN]
    chosen = {letter.ref for letter in first}
    return first + [letter for letter in letters if letter.ref not in chosen]
