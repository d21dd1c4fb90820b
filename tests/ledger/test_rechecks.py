"""Rechecks in the ledger: who looked, what came back, and how the scheduled one goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger import rechecks
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.queries import Queries
from worker.ledger.receipts import Receipts
from worker.ledger.rechecks import LEASE_S, Rechecks, RecheckTurn
from worker.model.target import Target
from worker.receipts.receipt import expand

A, B, C = (Target(PROJECT, job) for job in "abc")
DAY_S = 86400.0


def events(bench: Bench) -> list[tuple[str, str | None, str | None]]:
    """Of each receipt: the job, what it is, and the look."""
    found = [expand("default", entry) for entry in Receipts(bench.client, "default").each()]
    return [(line["id"], line["event"], line["look_request_id"]) for line in found]


def deleted(bench: Bench, *jobs: str, **claim: Any) -> None:
    for job in jobs:
        bench.request(job, **claim)
        bench.settle(bench.take())


def record(bench: Bench, *, look: str | None = "y-1", run: str | None = None, **found: str) -> bool:
    results = {Target(PROJECT, job): result for job, result in found.items()}
    return rechecks.record(bench.ledger, run, results, looks=[look] * len(results))


def back(bench: Bench) -> set[str]:
    found = BulkQueries(bench.client, "default").came_back()
    assert Queries(bench.client, "default", rate=1).status().came_back == len(found)
    return {ref.id for ref in found}


def turn(bench: Bench, worker: str = "w1") -> RecheckTurn | float:
    return rechecks.turn(bench.ledger, key="k1", worker=worker, every_s=30 * DAY_S)


def go_on(bench: Bench, worker: str = "w1") -> RecheckTurn:
    found = turn(bench, worker)
    assert isinstance(found, RecheckTurn)
    return found


def test_a_persons_recheck_is_kept_with_who_when_by_which_key_and_the_results(bench: Bench) -> None:
    deleted(bench, "a", "b", "c")
    began = int(bench.now)
    bench.set_clock(began)
    run = rechecks.begin(bench.ledger, key="k-77", by="ops-1", since_ms=began - 1000)
    record(bench, run=run, a="gone", b="back")
    bench.pass_time(5)
    rechecks.record(bench.ledger, run, {C: "unknown"}, looks=[None], over=True)
    (kept,) = Rechecks(bench.client, "default").newest()
    assert (kept.id, kept.by, kept.key, kept.since) == (run, "ops-1", "k-77", began - 1000)
    assert (kept.at, kept.last, kept.ended) == (began, began + 5000, began + 5000)
    assert kept.results == {"gone": 1, "back": 1, "unknown": 1}
    bench.pass_time(401 * DAY_S)
    bench.ledger.forget(keep_s=400 * DAY_S)
    assert Rechecks(bench.client, "default").newest() == []


def test_what_came_back_leaves_one_receipt_and_is_known_until_it_is_gone_again(bench: Bench) -> None:
    deleted(bench, "a", "b")
    for _ in range(2):
        record(bench, a="back", b="unknown")
    assert (back(bench), events(bench)[2:]) == ({"a"}, [("a", "came_back", "y-1")])
    for _ in range(2):
        record(bench, a="gone", b="gone", look="y-2")
    assert (back(bench), events(bench)[3:]) == (set(), [("a", "gone_again", "y-2")])
    log = bench.record("a")["log"]
    assert log.index("deletion.came_back") < log.index("deletion.gone_again")
    counted = bench.counters().events
    assert (counted["deletion.came_back", ""], counted["deletion.gone_again", ""]) == (1, 1)


def test_what_was_requested_since_is_no_longer_meant(bench: Bench) -> None:
    deleted(bench, "a")
    record(bench, a="back")
    bench.pass_time(1)
    bench.request("a", force=True)
    assert back(bench) == set()
    record(bench, a="back")
    assert len(events(bench)) == 2, "of what waits nothing is found out"
    bench.pass_time(1)
    bench.settle(bench.take())
    assert back(bench) == set(), "it was deleted once more"
    bench.pass_time(1)
    record(bench, a="back", look="y-3")
    assert (back(bench), events(bench)[-1]) == ({"a"}, ("a", "came_back", "y-3"))


def test_a_job_whose_record_has_expired_may_come_back_too(bench: Bench) -> None:
    record(bench, a="back")
    assert (back(bench), events(bench)) == ({"a"}, [])
    bench.request("a")
    assert back(bench) == set()


# -- the scheduled one -------------------------------------------------------------------------------------------------


def test_one_worker_at_a_time_and_the_next_one_goes_on_where_it_was(bench: Bench) -> None:
    deleted(bench, "a", "b", "c")
    bench.set_clock(int(bench.now) + 1)
    reads = Rechecks(bench.client, "default")
    first = go_on(bench)
    refs, cursor = reads.after(first.cursor, bench.now, 2)
    assert refs == [A, B]
    assert turn(bench, "w2") == bench.now + LEASE_S * 1000
    results = {A: "gone", B: "gone"}
    assert rechecks.record(bench.ledger, first.id, results, looks=[None, None], moved=(first.cursor, cursor))
    assert not rechecks.record(bench.ledger, first.id, results, looks=[None, None], moved=(first.cursor, cursor))
    bench.pass_time(LEASE_S + 1)
    second = go_on(bench, "w2")
    assert (second.id, second.cursor) == (first.id, cursor)
    assert reads.after(cursor, bench.now, 2)[0] == [C]
    assert reads.newest()[0].results == {"gone": 2, "back": 0, "unknown": 0}
    assert (reads.newest()[0].by, reads.newest()[0].key) == (None, "k1")


def test_a_round_ends_and_the_next_one_begins_when_its_time_has_come(bench: Bench) -> None:
    began = bench.now
    first = go_on(bench)
    assert rechecks.record(bench.ledger, first.id, {}, looks=[], over=True, moved=(first.cursor, ""))
    assert turn(bench) == turn(bench, "w2") == began + 30 * DAY_S * 1000
    bench.pass_time(30 * DAY_S)
    assert go_on(bench, "w2").id != first.id
    assert [run.ended is None for run in Rechecks(bench.client, "default").newest()] == [True, False]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_it_goes_through_everything_once_also_what_ended_at_the_same_moment(bench: Bench, limit: int) -> None:
    jobs = [f"j{n}" for n in range(7)]
    deleted(bench, *jobs)
    bench.request("k")
    bench.settle(bench.take(), "gone", evidence="seen_before")
    for job in jobs[1:6]:
        bench.client.zadd(bench.p + "deleted", {f"{PROJECT}/{job}": bench.now})
    reads, cursor, found = Rechecks(bench.client, "default"), go_on(bench).cursor, []
    while True:
        refs, cursor = reads.after(cursor, bench.now + 1000, limit)
        if not refs:
            break
        found += [ref.id for ref in refs]
    assert (len(found), set(found)) == (8, {*jobs, "k"})
    assert reads.after("deleted 0 -", bench.now - 3600_000, limit) == ([], "")
