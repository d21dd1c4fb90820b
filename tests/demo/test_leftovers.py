"""The demo's judge of what jobs leave behind: the simulator's events decide, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.caller import Caller
from tests.support.library import LibraryCaller
from worker.demo import leftovers
from worker.demo.leftovers import LEAVERS, OTHERS, Happened
from worker.simulator import DEMO_PROJECT, Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as app:
        app.add_avatars([{"job_id": each.job_id, "cascade": each.cascade, "voice": each.voice} for each in LEAVERS])
        app.add_avatar(OTHERS)
        yield app


@pytest.fixture
def library(simulator: Simulator) -> LibraryCaller:
    """All jobs are deleted, with what they left."""
    library = LibraryCaller(Caller.of(simulator))
    for each in LEAVERS:
        assert library.caller.delete(each.job_id).status == 200
        for part in each.parts:
            kind, _, id = part.partition(":")
            if kind == "voice_job":
                assert library.delete_voice(id).status == 200
            elif library.state(id) != "DELETED":
                if library.state(id) == "ACTIVED":
                    library.update(id, asset_state="UNACTIVED")
                assert library.delete(id, "force").status == 200
    return library


def happened(simulator: Simulator) -> dict[str, Happened]:
    return {**simulator.tally()[DEMO_PROJECT]}


def test_everything_that_jobs_left_was_deleted_once_and_nothing_else(
    simulator: Simulator, library: LibraryCaller
) -> None:
    found = happened(simulator)
    assert (leftovers.wrong(found), leftovers.touched(found)) == ([], [])


@pytest.mark.parametrize("part", [part for each in LEAVERS for part in each.parts])
def test_a_part_that_nothing_happened_to_is_wrong(simulator: Simulator, library: LibraryCaller, part: str) -> None:
    found = happened(simulator) | {part: {"added": {"operator": 1}}}
    (why,) = leftovers.wrong(found)
    assert why.startswith(f"{part}: nothing happened, expected ")


def test_a_part_that_came_back_is_wrong(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.move_asset("asset-left-as-it-is", "UNACTIVED")
    (why,) = leftovers.wrong(happened(simulator))
    assert why.startswith("asset:asset-left-as-it-is: ")


def test_a_part_of_a_job_that_was_not_requested_must_not_be_touched(
    simulator: Simulator, library: LibraryCaller
) -> None:
    library.update(f"voice-asset-{OTHERS}", asset_state="UNACTIVED")
    assert leftovers.touched(happened(simulator)) == [f"asset:voice-asset-{OTHERS}"]
