"""What a replay would do, before anybody does it: which letters, in which order, how long. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from worker.ledger.bulk_queries import DeadLetter
from worker.ledger.holds import OnHold
from worker.replay.canary import TEN


@dataclass(frozen=True, slots=True)
class Share:
    """What one account has to do."""

    account: str
    mark: int  # the number of the latest death when the letters were chosen
    letters: tuple[DeadLetter, ...]  # in the order in which they go
    rate: float  # calls a second that the gate aims at
    gate: str  # ok, outage, paused, …
    due_before: int  # deletions that are due already

    @property
    def seconds(self) -> float:
        """How long the first calls take, where nothing else is in the way."""
        return len(self.letters) / self.rate


def apart(letters: Iterable[DeadLetter], on_hold: OnHold) -> tuple[list[DeadLetter], list[DeadLetter]]:
    """Those that go, and those that are on hold: for them nothing is sent, so they stay dead."""
    go: list[DeadLetter] = []
    held: list[DeadLetter] = []
    for letter in letters:
        is_held = letter.ref in on_hold.refs or letter.whose in on_hold.users
        (held if is_held else go).append(letter)
    return go, held


def canaries_first(letters: Sequence[DeadLetter], group_of: Callable[[DeadLetter], str]) -> list[DeadLetter]:
    """The first eleven, which decide about the rest, are taken from all groups in turn, the largest first."""
    by_group: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        by_group.setdefault(group_of(letter), []).append(letter)
    groups = sorted(by_group.values(), key=len, reverse=True)
    first: list[DeadLetter] = []
    for turn in range(TEN):
        first += [group[turn] for group in groups if turn < len(group)]
        if len(first) >= TEN:
            break
    first = first[:TEN]
    chosen = {letter.ref for letter in first}
    return first + [letter for letter in letters if letter.ref not in chosen]
