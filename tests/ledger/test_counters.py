"""What the ledger counts: every move with its count, once, whatever is repeated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger import counters
from worker.model.target import Target

LUA = Path(counters.__file__).with_name("lua")


def ref(job: str) -> list[Target]:
    return [Target(PROJECT, job)]


def test_nothing_was_counted_in_an_empty_ledger(bench: Bench) -> None:
    assert bench.counters() == counters.Counters()


def test_requests_are_counted_by_what_they_became(bench: Bench) -> None:
    bench.request("a", "b", "c")
    bench.request("a")
    bench.settle(bench.take(), "deleted")
    bench.settle(bench.take(), "dead", cause="refused")
    bench.request("a", "b")
    events = bench.counters().events
    assert {how: events["deletion.requested", how] for how in ("new", "merged", "again", "done")} == {
        "new": 3,
        "merged": 1,
        "again": 1,
        "done": 1,
    }


def test_a_call_is_counted_by_its_outcome_and_its_length(bench: Bench) -> None:
    bench.request("a", "b", "c")
    bench.settle(bench.take(), "pending", ms=10.0, attempt={"outcome": "failed"})
    bench.settle(bench.take(), "deleted", ms=10.4)
    bench.settle(bench.take(), "deleted", ms=90_000.0)
    calls = bench.counters().calls
    assert calls["failed"] == counters.Calls({10.0: 1}, 10)
    assert calls["deleted"] == counters.Calls({25.0: 1, float("inf"): 1}, 90_010)
    assert calls["deleted"].number == 2


def test_ends_are_counted_by_cause_and_evidence(bench: Bench) -> None:
    bench.request("a", "b", "c", "d")
    bench.settle(bench.take(), "deleted")
    bench.settle(bench.take(), "gone", evidence="after_our_call")
    bench.settle(bench.take(), "dead", cause="refused")
    bench.ledger.cancel(ref("d"), why="T-1")
    events = bench.counters().events
    ends = {"deletion.deleted": "", "deletion.gone": "after_our_call", "deletion.died": "refused"}
    assert [events[end] for end in (*ends.items(), ("deletion.cancelled", ""))] == [1, 1, 1, 1]


def test_what_people_do_with_dead_letters_is_counted(bench: Bench) -> None:
    bench.request("a", "b", "c")
    for cause in ("refused", "server_error", "server_error"):
        bench.settle(bench.take(), "dead", cause=cause)
    bench.ledger.discard(ref("b"), why="T-1", by="ann")
    bench.ledger.replay(ref("a"), why="T-1", deadline_s=60)
    bench.ledger.restore(ref("b"), why="T-1", by="ann")
    events = bench.counters().events
    assert events["deletion.died", "server_error"] == 2, "a restored letter did not die again"
    for event in (("deletion.discarded", ""), ("deletion.restored", ""), ("deletion.replayed", "")):
        assert events[event] == 1


def test_an_answer_that_comes_too_late_is_counted_as_such(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=[], counts=True)
    bench.settle(bench.take(), "dead", cause="server_error")
    assert bench.settle(lease, "pending", attempt={"outcome": "failed"}) == "late dead"
    assert bench.settle(lease, "deleted") == "deleted"
    counted = bench.counters()
    assert counted.events["deletion.died", "server_error"] == counted.events["deletion.deleted", ""] == 1
    assert counted.events["deletion.stale_result", ""] == 1
    assert counted.events["deletion.lost", "worker_gone"] == 1
    assert "failed" not in counted.calls, "an answer that lost is no attempt of the record either"


def test_holds_are_counted_when_they_stop_something_and_when_they_let_it_go(bench: Bench) -> None:
    bench.request("a", "b")
    bench.holds.add(ref("a"), why="CASE-1", by="ann")
    bench.holds.add(ref("nobody-asked"), why="CASE-1", by="ann")
    bench.holds.remove(ref("a"))
    events = bench.counters().events
    assert (events["deletion.held", "job"], events["deletion.released", ""]) == (1, 1)


def test_a_repeated_operation_is_counted_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ledger._caller, "next", lambda: ("one", 1))
    bench.request("a")
    bench.request("a")
    assert bench.counters().events == {("deletion.requested", "new"): 1}


def test_what_is_forgotten_is_counted_and_its_counts_stay(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "deleted")
    bench.pass_time(1000)
    assert bench.ledger.forget(keep_s=10) == 1
    events = bench.counters().events
    assert (events["deletion.forgotten", ""], events["deletion.deleted", ""]) == (1, 1)


def test_both_sides_know_the_same_bounds() -> None:
    (bounds,) = re.findall(r"BOUNDS = \{(.*?)\}", (LUA / "_counters.lua").read_text(encoding="utf-8"))
    assert tuple(int(bound) for bound in bounds.split(",")) == counters.BOUNDS_MS
