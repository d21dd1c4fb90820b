"""The unit tests of an application may use fakeredis: a deletion's whole way needs nothing that it lacks."""

from __future__ import annotations

import fakeredis
import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger.replays import Replays, ReplayStage
from worker.model.target import Target

JOB = Target(PROJECT, "a")


@pytest.fixture
def bench() -> Bench:
    bench = Bench(fakeredis.FakeRedis(server=fakeredis.FakeServer()))
    bench.open()
    return bench


def test_a_deletion_is_requested_once_repeated_and_settled(bench: Bench) -> None:
    assert bench.request("a") == ["pending"]
    assert bench.request("a") == ["=pending"]
    assert bench.settle(bench.take(), "pending", delay_s=30, wait="retry") == "pending"
    assert bench.turn().lease is None
    bench.pass_time(31)
    assert bench.settle(bench.take()) == "deleted"
    assert bench.state("a") == "deleted"


def test_a_held_and_a_cancelled_deletion_are_not_taken(bench: Bench) -> None:
    bench.request("a", "b")
    bench.holds.add([JOB], why="LAW-1", by="ops")
    bench.ledger.cancel([Target(PROJECT, "b")], why="T-1")
    assert bench.turn().lease is None
    assert (bench.state("a"), bench.state("b")) == ("held", "cancelled")


def test_a_dead_letter_is_replayed_and_a_lost_lease_is_rescued(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="server_error")
    replays = Replays(bench.ledger)
    replays.snapshot("r", [JOB])
    replays.start(replays.terms("r", mark=replays.mark(), why="T-1", by=None, what="all", groups={}, deadline_s=86_400))
    (replay,) = replays.current()
    replays.requeue_batch(replay, 1, ReplayStage.REST)
    bench.take()
    bench.pass_time(61)
    assert bench.ledger.rescue(alive=[], counts=True)[0] == [(JOB, "pending")]
