"""What has ended and is archived leaves Redis: a mark stays, with which everything goes on as before."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import redis

from tests.support.ledgers import PROJECT, Bench
from worker.ledger import scripts
from worker.ledger.archived import BUCKETS, Archived, ArchivedRecords, Leaving, bucket_of, key_of
from worker.ledger.damage import check
from worker.ledger.places import Home, Places
from worker.ledger.project_moves import carry
from worker.ledger.queries import Queries
from worker.ledger.receipts import Receipts
from worker.ledger.rechecks import Rechecks, record
from worker.ledger.schema.erasure import ErasureField
from worker.ledger.schema.fields import Field
from worker.ledger.types import DeletionRequest, GateSignal, Settlement
from worker.model.states import Lane, State
from worker.model.target import Target

DAY_S = 86_400.0
ABOVE = 600  # hash-max-listpack-entries, so that HSCAN has a cursor


def archive(bench: Bench) -> int | None:
    """Every receipt in the stream is archived: let the records leave, as the archivist does."""
    was = int(bench.client.hget(bench.p + "receipts:chain", "records_n") or 0)  # type: ignore[arg-type]
    found = [entry for entry in Receipts(bench.client, "default").each() if entry.n > was]
    upto = found[-1].n
    bench.client.hset(bench.p + "receipts:chain", "archived_n", upto)
    leaving = [
        Leaving(e.ref, e.n, e.fields["s"], int(e.fields["f"] or e.fields["t"]), e.fields["er"] or None) for e in found
    ]
    return bench.ledger.archive_records(leaving, was=was, upto=upto)


def ended(bench: Bench, *jobs: str, to: str = "deleted", **more: Any) -> None:
    for job in jobs:
        bench.request(job, by="ann")
        bench.settle(bench.take(), to=to, **more)


def requested_by_an_older_program(bench: Bench, target: Target) -> None:
    """One that has a mark is requested by a program that knows no marks: it has a record as well now."""
    key, name = key_of(bench.p, target)
    mark: Any = bench.client.hget(key, name)
    bench.client.hdel(key, name)
    assert bench.ledger.request([target], DeletionRequest(lane=Lane.BULK))[0].state == "pending"
    bench.client.hset(key, name, mark)


def of(bench: Bench, job: str) -> Archived | None:
    return ArchivedRecords(bench.client, "default").of(Target(PROJECT, job))


def test_a_deletion_that_has_ended_and_is_archived_leaves_redis_and_a_mark_stays(bench: Bench) -> None:
    ended(bench, "a", "b")
    assert archive(bench) == 2
    assert bench.record("a") == {}
    assert bench.indexes() == {}
    found = of(bench, "a")
    assert found is not None
    assert (found.state, found.receipt, found.round, found.sent) == (State.DELETED, 1, 1, "yes")
    assert ArchivedRecords(bench.client, "default").counts() == {PROJECT: {State.DELETED: 2}}
    bench.check_invariant()


def test_its_times_and_its_receipt_come_back_with_it_and_stay_when_it_leaves_again(bench: Bench) -> None:
    bench.request("a", by="ann")
    bench.pass_time(1.234)
    bench.settle(bench.take())
    before = bench.record("a")
    archive(bench)
    found = of(bench, "a")
    assert found is not None
    assert (found.requested_at, found.finished_at) == (float(before["at"]), float(before[Field.FINISHED_AT]))
    for result in ("back", "gone"):  # a recheck
        bench.pass_time(60)
        record(bench.ledger, None, {Target(PROJECT, "a"): result}, looks=["y-1"])
    times = (Field.REQUESTED_AT, Field.FINISHED_AT)
    assert [bench.record("a")[name] for name in times] == [before[name] for name in times]
    assert archive(bench) == 1
    again = of(bench, "a")
    assert again is not None
    assert (again.receipt, again.finished_at) == (1, found.finished_at), "the receipt that says who and why"


def test_what_a_job_left_behind_leaves_on_its_own(bench: Bench) -> None:
    job = "1f" * 16
    bench.request(job)
    bench.settle(bench.take())
    part = Target(PROJECT, "2e" * 16, "voice_asset")
    bench.ledger.request([part], DeletionRequest(lane=Lane.BULK, parent=f"{PROJECT}/{job}"))
    bench.ledger.cancel([part], why="T-1")
    assert archive(bench) == 2
    key, name = key_of(bench.p, part)
    assert str(bench.client.hget(key, name)).endswith(f" 1 {job}'"), "whose part it is"
    status = Queries(bench.client, "default", rate=10).status()
    assert (status.states[State.DELETED], status.states[State.CANCELLED], status.parts) == (1, 0, {State.CANCELLED: 1})
    bench.client.hset(key, name, "cl")
    check(bench.ledger, [part])
    assert Queries(bench.client, "default", rate=10).status().parts == {}, "a spoilt one counts no more"


def test_a_part_that_we_deleted_is_still_ours_once_it_is_archived(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), erasure={"related": "delete", "first_look_ms": 0})
    part = Target(PROJECT, "v1", "voice_asset")
    bench.ledger.request([part], DeletionRequest(lane=Lane.BULK, parent=f"{PROJECT}/a"))
    bench.ledger.cancel([part], why="T-1")
    parts = json.dumps([{"part": part.kind, "id": part.id}])
    bench.client.hset(bench.p + f"erasure:{PROJECT}/a", ErasureField.PARTS, parts)
    assert archive(bench) == 1
    key, name = key_of(bench.p, part)
    mark = bench.client.hget(key, name).decode()  # type: ignore[union-attr]
    for letters, deletion in (
        ("c--n-", ("cancelled", 0, "")),
        ("c--y-", ("cancelled", 1, "")),
        ("c-up-", ("cancelled", 0, "")),
        ("g--n-", ("gone", 0, "")),
        ("g-up-", ("gone", 0, "after_our_call")),  # its worker died: nothing else says that it was we who deleted it
        ("g-uy-", ("gone", 1, "after_our_call")),
    ):
        bench.client.hset(key, name, letters + mark[5:])
        (leased,) = bench.ledger.lease_erasures()[0]
        assert leased.deletions == {part: deletion}
        bench.client.zadd(bench.p + "erasures", {f"{PROJECT}/a": 0})
    bench.client.hset(key, name, mark)


def test_one_stays_while_a_call_for_it_may_be_under_way(bench: Bench) -> None:
    ended(bench, "a")
    bench.client.hset(bench.p + f"d:{PROJECT}/a", Field.CALL_ENDS_AT, int(bench.now) + 60_000)
    assert archive(bench) == 0
    assert bench.record("a")


def test_a_recheck_goes_on_through_what_was_archived(bench: Bench) -> None:
    jobs = [f"j{n}" for n in range(5)]
    ended(bench, *jobs)
    bench.request("c")
    bench.ledger.cancel([Target(PROJECT, "c")], why="T-1")
    archive(bench)
    ended(bench, "whole")
    rechecks, cursor, found = Rechecks(bench.client, "default"), "deleted 0 -", list[str]()
    while cursor:
        refs, cursor = rechecks.after(cursor, bench.now, 2)
        assert len(refs) <= 2
        found += [ref.id for ref in refs]
    assert (found[0], sorted(found[1:])) == ("whole", jobs)
    assert rechecks.after("deleted 0 -", 1000.0, 2) == ([], "")


def test_a_second_request_for_it_merges_as_before(bench: Bench) -> None:
    ended(bench, "a")
    ended(bench, "b", to="gone", evidence="never_seen", called=False, used=False)
    archive(bench)
    assert bench.request("a", "b", by="bob") == ["=deleted", "=gone"]
    assert of(bench, "a") is not None, "it needs no record for that"
    assert bench.counters().events["deletion.requested", "done"] == 2


def test_with_force_it_begins_its_next_round(bench: Bench) -> None:
    ended(bench, "a")
    archive(bench)
    assert bench.request("a", by="bob", force=True) == ["=pending"]
    record = bench.record("a")
    assert (record["round"], record["by"], record["unk"]) == ("2", "bob", "1")
    assert '"deletion.archived","sent":"yes","receipt":1' in record["past"]
    assert of(bench, "a") is None
    bench.settle(bench.take(), to="gone", evidence="after_our_call", called=False, used=False)
    last = list(Receipts(bench.client, "default").each())[-1]
    assert (last.fields["r"], last.fields["se"]) == ("2", "yes"), "its first round sent a DELETE"
    assert archive(bench) == 1
    found = of(bench, "a")
    assert found is not None
    assert (found.state, found.round, found.receipt) == (State.GONE, 2, 2)


def test_what_was_cancelled_begins_anew_by_any_request(bench: Bench) -> None:
    bench.request("a")
    bench.ledger.cancel([Target(PROJECT, "a")], why="T-1")
    assert archive(bench) == 1
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1") == [(Target(PROJECT, "a"), "cancelled")]
    assert bench.request("a") == ["pending"]


def test_what_is_under_way_or_is_meant_differently_now_stays(bench: Bench) -> None:
    ended(bench, "forced", "back", "open")
    bench.request("dead")
    bench.settle(bench.take(), to="dead", cause="refused")
    bench.ledger.discard([Target(PROJECT, "dead")], why="T-1", by="ann")
    bench.request("forced", force=True)
    bench.client.zadd(bench.p + "back", {f"{PROJECT}/back": bench.now})
    bench.request("open", force=True)
    bench.settle(bench.take(), erasure={"related": "verify", "first_look_ms": 60_000})
    bench.settle(bench.take(), erasure={"related": "verify", "first_look_ms": 60_000})
    archive(bench)
    assert set(bench.indexes()) == {f"{PROJECT}/{job}" for job in ("forced", "back", "open", "dead")}


def test_nothing_leaves_before_its_receipt_is_archived_and_no_receipt_is_passed_twice(bench: Bench) -> None:
    ended(bench, "a")
    one = Leaving(Target(PROJECT, "a"), 1, "deleted", int(bench.now), None)
    assert bench.ledger.archive_records([one], was=0, upto=1) is None
    bench.client.hset(bench.p + "receipts:chain", "archived_n", 1)
    other = Leaving(Target(PROJECT, "a"), 1, "deleted", int(bench.now) - 1, None)
    assert bench.ledger.archive_records([other], was=0, upto=1) == 0, "another end than the record's"
    assert bench.ledger.archive_records([one], was=0, upto=1) is None, "somebody else did it"
    assert bench.record("a")


def test_a_late_200_still_wins(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.pass_time(3600)
    bench.ledger.rescue(alive=[], counts=True)
    bench.settle(bench.take(), to="gone", evidence="never_seen", called=False, used=False)
    archive(bench)
    signal = GateSignal("ok", key="k1", ms=50)
    late = Settlement(
        attempt={"status": 200},
        ref=lease.ref,
        token=lease.token,
        to="dead",
        signal=signal,
        called=True,
        ms=50.0,
        status=500,
    )
    assert bench.turn(late, want=False).settled == "late gone"
    late = replace(late, to="deleted", status=200)
    assert bench.turn(late, want=False).settled == "deleted"
    assert bench.state("a") == "deleted"


def test_holds_and_acts_on_dead_letters_find_its_state(bench: Bench) -> None:
    ended(bench, "a")
    archive(bench)
    a = Target(PROJECT, "a")
    assert bench.holds.add([a], why="T-1", by="ann") == [(a, "deleted")]
    assert bench.ledger.discard([a], why="T-1", by="ann") == [(a, "deleted")]
    assert bench.ledger.restore([a], why="T-1", by="ann") == [(a, "deleted")]
    assert bench.request("a", force=True) == ["=held"]
    bench.pass_time(10)
    assert bench.turn().lease is None
    assert bench.state("a") == "held", "the hold that came while it was archived"


def test_its_keeping_time_ends_like_that_of_a_record(bench: Bench) -> None:
    ended(bench, "a", "b")
    archive(bench)
    bench.pass_time(10 * DAY_S)
    ended(bench, "c")
    archive(bench)
    while bench.ledger.forget(keep_s=5 * DAY_S):
        pass
    assert of(bench, "a") is None
    assert of(bench, "b") is None
    assert of(bench, "c") is not None
    assert bench.counters().events["deletion.forgotten", ""] == 2


def test_the_keeping_time_ends_in_a_bucket_that_is_read_in_pieces_too(bench: Bench) -> None:
    ends = ((f"j{n}-", (7 - 33 * bucket_of(f"j{n}-")) % BUCKETS) for n in range(20_000))
    jobs = list(
        islice((start + chr(end) for start, end in ends if end < 128 and chr(end).isalnum()), 600)
    )  # above hash-max-listpack-entries
    targets = [Target(PROJECT, job) for job in jobs]
    assert {key_of(bench.p, target)[0] for target in targets} == {f"{bench.p}archived:{PROJECT}/7"}
    bench.request(*jobs)
    bench.ledger.cancel(targets, why="T-1")
    archive(bench)
    bench.pass_time(10 * DAY_S)
    bench.ledger.forget(keep_s=5 * DAY_S)
    assert bench.counters().events["deletion.forgotten", ""] == len(jobs), "all of them in one turn"
    assert ArchivedRecords(bench.client, "default").counts() == {}


def test_a_mark_that_makes_no_sense_is_put_aside(bench: Bench) -> None:
    ended(bench, "a", "b")
    archive(bench)
    for job, text in (("a", "deleted"), ("b", "dl-y- 1 0 x 1")):
        bench.client.hset(key_of(bench.p, Target(PROJECT, job))[0], job, text)
    assert bench.request("a") == ["pending"], "nothing says that it was deleted"
    check(bench.ledger, [Target(PROJECT, "b")])
    assert set(bench.client.hkeys(bench.p + "damaged")) == {b"p/b"}  # type: ignore[arg-type]


@pytest.mark.parametrize("index", ["deleted", "due:user"])
def test_check_knows_that_it_stands_in_no_index(bench: Bench, index: str) -> None:
    ended(bench, "a")
    archive(bench)
    bench.client.zadd(bench.p + index, {f"{PROJECT}/a": bench.now})
    check(bench.ledger, [Target(PROJECT, "a")])
    assert bench.indexes() == {}
    assert of(bench, "a") is not None
    assert not bench.client.exists(bench.p + "damaged")


def test_check_lets_a_record_win_over_a_mark(bench: Bench) -> None:
    ended(bench, "a", "b")
    archive(bench)
    requested_by_an_older_program(bench, Target(PROJECT, "b"))
    check(bench.ledger, [Target(PROJECT, "b")])
    assert of(bench, "b") is None
    assert bench.state("b") == "pending"


@pytest.mark.parametrize("way", ["leaves", "check", "moves"])
def test_a_record_beside_a_mark_wins_and_each_is_counted_once(bench: Bench, way: str) -> None:
    """An older program knows no marks, so after a rollback it makes a record of what was archived."""
    ended(bench, "a", erasure={"related": "verify", "first_look_ms": 0})
    whole = {ErasureField.VERDICT: "whole", ErasureField.CLOSED_AT: int(bench.now)}
    bench.client.hset(bench.p + f"erasure:{PROJECT}/a", mapping=whole)
    bench.client.zrem(bench.p + "erasures", f"{PROJECT}/a")
    bench.client.hset(bench.p + "verdicts", mapping={"pending": 0, "whole": 1})
    part = Target(PROJECT, "v1", "voice_asset")
    bench.ledger.request([part], DeletionRequest(lane=Lane.BULK))
    bench.ledger.cancel([part], why="T-1")
    entry = next(iter(Receipts(bench.client, "default").each()))
    job = Leaving(entry.ref, entry.n, "deleted", int(entry.fields["t"]), "whole")
    bench.client.hset(bench.p + "receipts:chain", "archived_n", 2)
    other = Leaving(part, 2, "cancelled", int(bench.now), None)
    assert bench.ledger.archive_records([job, other], was=0, upto=2) == 2
    for target in (job.ref, part):
        requested_by_an_older_program(bench, target)
    bench.ledger.cancel([job.ref, part], why="T-2")
    house = bench
    if way == "leaves":
        assert archive(bench) == 2
    elif way == "check":
        check(bench.ledger, [job.ref, part])
    else:
        house = Bench(bench.client, account="new")
        house.open()
        places = Places(bench.client, lambda _: "new", lambda name: {"default": bench, "new": house}[name].ledger)
        places._register(PROJECT, None, Home("default"))
        assert places.begin_move(PROJECT, "new") == "default"
        refs = sorted(places.members("default", PROJECT))
        assert sum(carry(bench.ledger, house.ledger, PROJECT, refs, {"id": "m1", "act": "project_moved"})) == 2
        assert not places.holds_any("default", PROJECT), "the mark went with its record"
        bench.check_invariant()
    status = Queries(bench.client, house.ledger.account, rate=10).status()
    assert (status.states[State.DELETED], status.states[State.CANCELLED]) == (0, 1)
    assert status.parts == {State.CANCELLED: 1}
    assert not any(status.erasures.values())
    assert sum(ArchivedRecords(bench.client, house.ledger.account).counts().get(PROJECT, {}).values()) == (
        2 if way == "leaves" else 0
    )
    house.check_invariant()


@pytest.mark.parametrize("way", ["leaves", "forget"])
def test_a_mark_that_makes_no_sense_takes_no_record_away(bench: Bench, way: str) -> None:
    ended(bench, "a")
    archive(bench)
    target = Target(PROJECT, "a")
    requested_by_an_older_program(bench, target)
    key, name = key_of(bench.p, target)
    bench.client.hset(key, name, "d??")
    if way == "leaves":
        bench.ledger.cancel([target], why="T-2")
        assert archive(bench) == 1
        assert ArchivedRecords(bench.client, "default").counts() == {PROJECT: {State.CANCELLED: 1}}
    else:
        bench.ledger.forget(keep_s=DAY_S)
        assert bench.state("a") == "pending"
        assert ArchivedRecords(bench.client, "default").counts() == {}
    assert bench.client.hexists(bench.p + "damaged", f"{PROJECT}/a mark" if way == "forget" else f"{PROJECT}/a")


def test_people_see_how_many_there_are(bench: Bench) -> None:
    ended(bench, "a", "b")
    archive(bench)
    ended(bench, "c")
    states = Queries(bench.client, "default", rate=10).status().states
    assert states[State.DELETED] == 3


def test_it_moves_with_its_project_and_its_receipt_stays_where_it_is(bench: Bench, client: redis.Redis) -> None:
    ended(bench, "a", "b")
    archive(bench)
    ended(bench, "c")
    new = Bench(client, account="new")
    new.open()
    places = Places(client, lambda _: "new", lambda name: {"default": bench, "new": new}[name].ledger)
    places._register(PROJECT, None, Home("default"))
    assert places.holds_any("default", PROJECT)
    assert places.begin_move(PROJECT, "new") == "default"
    refs = list(places.members("default", PROJECT))
    assert sorted(refs) == [f"{PROJECT}/{job}" for job in "abc"]
    for _ in range(2):  # again is as once
        packed = json.loads(scripts.load("pack").run(client, bench.p, *refs))
        named = [Target.parse(ref) for ref in refs]
        assert new.ledger.run_script("deliver", {"project": PROJECT, "from": "default", "packed": packed}, named)[
            "done"
        ]
    assert sum(carry(bench.ledger, new.ledger, PROJECT, refs, {"id": "m1", "act": "project_moved"})) == 3
    assert places.end_move(PROJECT, "default", "new", bench.now)
    found = ArchivedRecords(client, "new").of(Target(PROJECT, "a"))
    assert found is not None
    assert (found.state, found.receipt, found.account) == (State.DELETED, 1, "default")
    assert new.request("a", "c") == ["=deleted", "=deleted"]
    assert new.request("a", force=True) == ["=pending"]
    assert '"receipt":1,"account":"default"' in new.record("a")["past"]
    new.check_invariant()
