"""Random calls, days and other hands: an asset is always in the state that the documents' rules say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.caller import Caller
from tests.support.library import LibraryCaller
from worker.model.errors import UsageError
from worker.simulator import Simulator

USABLE = ("UNACTIVED", "ACTIVED", "WAITING_DELETE")
MOVES = ("delete", "force", *USABLE, "restore", "block", "unblock", "day", "week")


class Documented:
    """The rules, written down once more: state, the state to go back to, and the days in the bin."""

    def __init__(self, state: str) -> None:
        self.state, self.before, self.days = state, state, 0

    def move(self, move: str) -> bool:
        """Whether it is allowed; an allowed one is carried out."""
        state = self.state
        match move:
            case "delete" if state in ("UNACTIVED", "BLOCK"):
                self.before = self.before if state == "BLOCK" else state
                self.state, self.days = "DELETING", 0
            case "force" if state in ("UNACTIVED", "BLOCK", "DELETING"):
                self.state = "DELETED"
            case "restore" if state == "DELETING":
                self.state = self.before
            case "block" if state != "DELETED":
                self.before = self.before if state in ("BLOCK", "DELETING") else state
                self.state = "BLOCK"
            case "unblock" if state == "BLOCK":
                self.state = self.before
            case "day" | "week":
                self.days += 1 if move == "day" else 7
                if state == "DELETING" and self.days >= 7:
                    self.state = "DELETED"
            case _ if move in USABLE and state in USABLE:
                self.state = move
            case _:
                return False
        return True


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as app:
        yield app


def carry_out(simulator: Simulator, library: LibraryCaller, move: str) -> bool:
    """Whether the simulator allowed it."""
    match move:
        case "delete":
            return library.delete("a").status == 200
        case "force":
            return library.delete("a", "force").status == 200
        case "restore":
            return library.restore("a").status == 200
        case "day" | "week":
            simulator.move_library_clock(1 if move == "day" else 7)
            return True
        case "block" | "unblock":
            try:
                simulator.block_asset("a") if move == "block" else simulator.unblock_asset("a")
            except UsageError:
                return False
            return True
        case _:
            return library.update("a", asset_state=move).status == 200


@settings(max_examples=150)
@given(start=st.sampled_from(USABLE), moves=st.lists(st.sampled_from(MOVES), max_size=25))
def test_an_asset_is_where_the_rules_say(simulator: Simulator, start: str, moves: list[str]) -> None:
    simulator.reset()
    simulator.add_asset("a", asset_state=start)
    library, documented = LibraryCaller(Caller.of(simulator)), Documented(start)
    for move in moves:
        allowed = documented.move(move)
        assert carry_out(simulator, library, move) is allowed, move
        assert library.state("a") == documented.state, move
    happened = simulator.tally()[simulator.project]["asset:a"]
    assert sum(happened.get("purged", {}).values()) == (documented.state == "DELETED")
