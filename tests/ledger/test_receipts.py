"""Each end of a deletion leaves one receipt, in the script that ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.ledgers import PROJECT, Bench
from tests.support.schemas import why_not
from worker.ledger.connection import connect
from worker.ledger.receipts import PAGE, ReceiptEntry, Receipts
from worker.ledger.schema.fields import Field
from worker.model.target import Target
from worker.receipts.receipt import FIELDS, expand, sealable


@pytest.fixture
def bench(bench: Bench) -> Iterator[Bench]:
    """Its receipts are numbered without a gap, with the same fields in each, and what there is not is empty."""
    yield bench
    found = entries(bench)
    assert [entry.n for entry in found] == list(range(1, len(found) + 1))
    assert len({frozenset(entry.fields) for entry in found}) <= 1
    assert not [entry for entry in found if "False" in entry.fields.values()]
    lines = (sealable("default", entry) | {"prev": "0", "hash": "1"} for entry in found)
    assert [wrong for line in lines for wrong in why_not("receipt", line)] == []


def entries(bench: Bench) -> list[ReceiptEntry]:
    return list(Receipts(bench.client, "default").each())


def receipts(bench: Bench) -> list[dict[str, Any]]:
    return [expand("default", entry) for entry in entries(bench)]


def only(bench: Bench) -> dict[str, Any]:
    (receipt,) = receipts(bench)
    return receipt


def answer_of(request_id: str, **more: Any) -> dict[str, Any]:
    return {"status": 200, "request_id": request_id, "ms": 5} | more


def test_a_deletion_leaves_a_receipt_with_everything_that_is_known(bench: Bench) -> None:
    bench.request("a", by="ann", why="T-1", run="r1", app_user="user-1", policy="old")
    bench.request("a", by="bob", why="T-2")
    bench.settle(bench.take(), attempt=answer_of("x-1"), fields={"asset": "as-1"})
    now = "2027-01-15T08:00:00.000Z"
    assert only(bench) == dict.fromkeys(FIELDS) | {
        "v": 2,
        "n": 1,
        "account": "default",
        "project_id": PROJECT,
        "kind": "job",
        "id": "a",
        "job_id": "a",
        "state": "deleted",
        "requested_at": now,
        "finished_at": now,
        "requested_by": "ann",
        "reason": "T-1",
        "run": "r1",
        "policy": "old",
        "lane": "bulk",
        "claims": [{"requested_by": "bob", "reason": "T-2", "run": None, "policy": None}],
        "round": 1,
        "attempts": 1,
        "status": 200,
        "request_id": "x-1",
        "asset_id": "as-1",
        "related": "not checked",
        "sent": "yes",
        "recorded_at": now,
    }
    assert "user-1" not in repr(entries(bench))
    assert bench.ledger.users.hashed("user-1") not in repr(entries(bench))


def test_gone_names_the_call_and_the_look(bench: Bench) -> None:
    bench.request("a")
    bench.settle(
        bench.take(), "pending", wait="retry", status=500, attempt=answer_of("x-1", status=500), fields={"unk": "1"}
    )
    looked = {"event": "deletion.looked", "found": "absent", "request_id": "y-2"}
    none = {"called": False, "used": False, "status": None, "attempt": None}
    bench.settle(bench.take(), "gone", evidence="after_our_call", event=looked, **none)
    receipt = only(bench)
    assert (receipt["state"], receipt["evidence"], receipt["attempts"]) == ("gone", "after_our_call", 1)
    assert (receipt["status"], receipt["request_id"], receipt["look_request_id"]) == (500, "x-1", "y-2")


def test_an_attempt_without_an_answer_has_no_request_id(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", wait="retry", attempt=answer_of("x-1", status=500))
    silent = {"failure": "timeout", "ms": 5, "message": '"request_id":"no-id"'}
    bench.settle(bench.take(), "dead", cause="server_error", status=None, attempt=silent)
    bench.ledger.discard([Target(PROJECT, "a")], why="T-9", by="ops-3")
    receipt = only(bench)
    assert (receipt["status"], receipt["request_id"], receipt["attempts"]) == (None, None, 2)


def test_a_dead_letter_leaves_none_until_it_is_given_up(bench: Bench) -> None:
    bench.request("a", by="ann")
    bench.settle(
        bench.take(), "dead", cause="server_error", status=500, code="MSS.1", attempt=answer_of("x-1", status=500)
    )
    assert receipts(bench) == []
    bench.ledger.discard([Target(PROJECT, "a")], why="T-9", by="ops-3")
    receipt = only(bench)
    assert (receipt["state"], receipt["cause"], receipt["code"]) == ("discarded", "server_error", "MSS.1")
    assert (receipt["request_id"], receipt["requested_by"]) == ("x-1", "ann")
    assert (receipt["finished_by"], receipt["finished_reason"]) == ("ops-3", "T-9")


def test_what_ends_again_leaves_another_receipt_and_the_first_one_stays(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "dead", cause="refused")
    before = bench.record("a")
    bench.pass_time(3600)
    bench.ledger.discard([Target(PROJECT, "a")], why="T-9")
    bench.pass_time(1)
    bench.ledger.restore([Target(PROJECT, "a")], why="T-10", by="ops-4")
    after = bench.record("a")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {Field.HISTORY, Field.DEATH_NUMBER}, "it is dead as before, and since then"
    bench.ledger.replay([Target(PROJECT, "a")], why="T-11", deadline_s=86400)
    bench.settle(bench.take(), attempt=answer_of("x-2"))
    bench.request("a", force=True)
    bench.settle(bench.take(), "gone", evidence="after_our_call", event={"found": "absent"}, attempt=answer_of("x-3"))
    assert [(r["state"], r["event"], r["round"], r["attempts"]) for r in receipts(bench)] == [
        ("discarded", None, 1, 1),
        ("dead", "restored", 1, 1),
        ("deleted", None, 2, 1),
        ("gone", None, 3, 1),
    ]
    restored = receipts(bench)[1]
    assert (restored["finished_at"], restored["recorded_at"]) == (
        "2027-01-15T08:00:00.000Z",
        "2027-01-15T09:00:01.000Z",
    )
    assert (restored["cause"], restored["finished_by"], restored["finished_reason"]) == ("refused", "ops-4", "T-10")


LOOKED = {"event": "deletion.looked", "found": "present"}


@pytest.mark.parametrize("way", ["nothing", "a call", "a call of an earlier round", "a call that nobody knows of"])
def test_a_withdrawn_one_says_whether_anything_was_sent(bench: Bench, way: str) -> None:
    bench.request("a", by="ann")
    answered = {"status": 403, "attempt": answer_of("x-1", status=403)}
    match way:
        case "a call":
            bench.settle(bench.take(), "pending", wait="retry", **answered)
        case "a call of an earlier round":
            bench.settle(bench.take(), "dead", cause="refused", **answered)
            bench.ledger.replay([Target(PROJECT, "a")], why="T-1", deadline_s=86400)
        case "a call that nobody knows of":
            bench.take()
            bench.pass_time(61)
            bench.ledger.rescue(alive=[], counts=True)
    bench.ledger.cancel([Target(PROJECT, "a")], why="T-3", by="ops-1")
    if way == "a call that nobody knows of":
        none = {"called": False, "used": False, "status": None, "attempt": None}
        bench.settle(bench.take(), "cancelled", event=LOOKED, **none)
    receipt = only(bench)
    expected = {"nothing": "no", "a call that nobody knows of": "perhaps"}.get(way, "yes")
    assert (receipt["state"], receipt["sent"]) == ("cancelled", expected)
    assert (receipt["finished_by"], receipt["finished_reason"]) == ("ops-1", "T-3")


@pytest.mark.parametrize("user", [None, "user-1"])
@pytest.mark.parametrize("who", ["a person", "time"])
def test_a_hold_that_ends_leaves_a_receipt_that_says_who_ended_it(bench: Bench, who: str, user: str | None) -> None:
    until = bench.now + 60_000 if who == "time" else None
    hold: Any = {"until_ms": until, "why": "CASE-1", "by": "legal"}
    release = {"why": "CASE-2", "by": "legal-2"}
    bench.request("a", by="ann", app_user=user)
    if user:
        bench.holds.add_user(user, **hold)
        assert bench.turn().lease is None
    else:
        bench.holds.add([Target(PROJECT, "a")], **hold)
    assert bench.state("a") == "held"
    assert receipts(bench) == []
    match who, user:
        case "time", _:
            bench.pass_time(61)
            assert bench.holds.release_in_time() == 1
        case _, None:
            bench.holds.remove([Target(PROJECT, "a")], **release)
        case _, _:
            bench.holds.remove_user(str(user), **release)
    receipt = only(bench)
    assert (receipt["state"], receipt["requested_by"], receipt["sent"]) == ("pending", "ann", "no")
    by_whom = (receipt["event"], receipt["finished_by"], receipt["finished_reason"])
    assert by_whom == (("hold_ended", None, None) if who == "time" else ("released", "legal-2", "CASE-2"))
    held, released = [json.loads(line.split(" ", 2)[2]) for line in bench.record("a")["log"].splitlines()]
    assert (held["event"], held["by"], held["why"]) == ("deletion.held", "legal", "CASE-1")
    last = {"by": "legal-2", "why": "CASE-2"} if who == "a person" else {"why": "the hold ended"}
    assert released == {"event": "deletion.released"} | last


def test_what_goes_on_to_be_looked_up_was_released_by_nobody(bench: Bench) -> None:
    bench.holds.add_user("user-1", why="CASE-1", by="legal")
    bench.request("a")
    none = {"called": False, "used": False, "status": None, "attempt": None}
    bench.settle(bench.take(), "held", delay_s=30.0, event={"event": "deletion.looked"}, **none)
    assert bench.state("a") == "held"
    bench.pass_time(31)
    assert bench.holds.release_in_time() == 1
    assert (bench.state("a"), receipts(bench)) == ("pending", [])
    assert "to ask whose job it is" in bench.record("a")["log"]


@pytest.mark.parametrize("way", ["replayed", "requested again", "restored and replayed", "its worker was lost"])
def test_it_was_requested_when_the_first_request_came_however_it_went_on(bench: Bench, way: str) -> None:
    job = [Target(PROJECT, "a")]
    bench.request("a", by="ann", why="T-1")
    if way == "its worker was lost":
        bench.take()
        bench.pass_time(3600)
        bench.ledger.rescue(alive=[], counts=True)
    else:
        bench.settle(bench.take(), "dead", cause="refused", status=403)
        bench.pass_time(3600)
    match way:
        case "replayed":
            bench.ledger.replay(job, why="T-2", by="ops", deadline_s=86400)
        case "requested again":
            bench.request("a", by="bob", why="T-2")
        case "restored and replayed":
            bench.ledger.discard(job, why="T-2", by="ops")
            bench.ledger.restore(job, why="T-3", by="ops")
            bench.ledger.replay(job, why="T-4", by="ops", deadline_s=86400)
    bench.settle(bench.take())
    last = receipts(bench)[-1]
    assert (last["state"], last["requested_by"], last["reason"]) == ("deleted", "ann", "T-1")
    assert last["requested_at"] == "2027-01-15T08:00:00.000Z"
    assert last["finished_at"] >= "2027-01-15T09:00:00.000Z"


@pytest.mark.parametrize("end", ["deleted", "cancelled", "discarded"])
def test_what_was_met_withdrawn_or_given_up_is_no_request_of_the_next_receipt(bench: Bench, end: str) -> None:
    bench.request("a", by="ann", why="T-1")
    if end == "cancelled":
        bench.ledger.cancel([Target(PROJECT, "a")], why="T-2", by="ops")
    else:
        bench.settle(
            bench.take(), "deleted" if end == "deleted" else "dead", cause=None if end == "deleted" else "refused"
        )
    if end == "discarded":
        bench.ledger.discard([Target(PROJECT, "a")], why="T-2", by="ops")
    bench.pass_time(3600)
    bench.request("a", by="bob", why="T-3", force=end == "deleted")
    bench.settle(bench.take())
    first, second = receipts(bench)
    assert (first["requested_at"], first["requested_by"]) == ("2027-01-15T08:00:00.000Z", "ann")
    assert (second["requested_at"], second["requested_by"]) == ("2027-01-15T09:00:00.000Z", "bob")


def test_a_late_200_supersedes_what_was_receipted(bench: Bench) -> None:
    bench.request("a", by="ann")
    slow = bench.take()
    bench.pass_time(61)
    bench.ledger.rescue(alive=[], counts=False)
    bench.settle(bench.take(), "dead", cause="refused", attempt=answer_of("x-1", status=403))
    bench.ledger.discard([Target(PROJECT, "a")], why="T-9")
    assert bench.settle(slow, attempt=answer_of("x-2")) == "deleted"
    first, second = receipts(bench)
    assert (first["state"], first["request_id"]) == ("discarded", "x-1")
    assert (second["state"], second["request_id"], second["finished_reason"]) == ("deleted", "x-2", None)
    assert bench.settle(slow, attempt=answer_of("x-2")) == "late deleted"
    assert len(receipts(bench)) == 2


@pytest.mark.parametrize("way", ["while it waits", "in flight", "its policies"])
def test_each_way_to_cancel_leaves_one(bench: Bench, way: str) -> None:
    bench.request("a", by="ann", policy="old-ones" if way == "its policies" else None)
    match way:
        case "while it waits":
            bench.ledger.cancel([Target(PROJECT, "a")], why="T-3", by="ops-1")
            assert only(bench)["finished_by"] == "ops-1"
        case "in flight":
            lease = bench.take()
            bench.ledger.cancel([Target(PROJECT, "a")], why="T-3", by="ops-1")
            bench.settle(lease, "pending", wait="retry", attempt=answer_of("x-1", status=429))
            assert only(bench)["request_id"] == "x-1"
        case _:
            bench.settle(bench.take(), "cancelled", called=False, used=False, attempt=None, status=None)
    assert only(bench)["state"] == "cancelled"
    assert only(bench)["requested_by"] == "ann"


def test_the_same_move_twice_leaves_one(bench: Bench) -> None:
    bench.request("a", "b")
    lease = bench.take()
    bench.settle(lease)
    bench.settle(lease)
    bench.ledger.cancel([Target(PROJECT, "b")], why="T-3")
    bench.ledger.cancel([Target(PROJECT, "b")], why="T-3")
    assert [r["job_id"] for r in receipts(bench)] == ["a", "b"]


def test_many_are_read_page_by_page(bench: Bench) -> None:
    jobs = [f"j{n}" for n in range(PAGE + 1)]
    bench.request(*jobs)
    bench.ledger.cancel([Target(PROJECT, job) for job in jobs], why="T-3")
    progress = Receipts(bench.client, "default")
    assert [r["job_id"] for r in receipts(bench)] == jobs
    assert progress.progress().n == PAGE + 1
    first = progress.read_page(limit=3)
    assert [entry.n for entry in progress.read_page(first[-1].id, limit=2)] == [4, 5]


def test_a_full_redis_takes_receipts_of_what_drains(redis_url: str) -> None:
    client = connect(redis_url)
    bench = Bench(client)
    bench.open()
    bench.request("a", "b")
    lease = bench.take()
    client.config_set("maxmemory", 1_000_000)
    try:
        assert bench.settle(lease) == "deleted"
        bench.ledger.cancel([Target(PROJECT, "b")], why="T-1")
    finally:
        client.config_set("maxmemory", 0)
    assert [r["state"] for r in receipts(bench)] == ["deleted", "cancelled"]


def test_behind_a_redacted_receipt_a_clock_that_went_back_puts_nothing_aside(bench: Bench) -> None:
    """The stream no longer has that entry, and still takes no earlier one."""
    stored = Receipts(bench.client, "default")
    for job in ("j1", "j2"):
        bench.request(job)
        bench.settle(bench.take())
    last = list(stored.each())[-1]
    fields = [text for pair in last.fields.items() for text in pair]
    assert bench.ledger.run_script("redact", {"n": last.n, "id": last.id, "fields": fields})["redacted"]
    bench.request("j3")
    lease = bench.take()
    bench.jump(-20)
    assert bench.settle(lease) == "deleted"
    found = list(stored.each())
    assert [entry.n for entry in found] == [1, 2, 3]
    places = [tuple(map(int, entry.id.split("-"))) for entry in found]
    assert places == sorted(places)
    assert not bench.client.exists(bench.p + "damaged")
