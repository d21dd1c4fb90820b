"""What is new is sealed, by whoever is first; what was sealed and is altered inside Redis is found."""

from __future__ import annotations

import threading

import pytest
import redis

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.deletions import connect
from worker.ledger.receipts import Checkpoint, Receipts
from worker.ledger.schema.states import VERSION
from worker.model.errors import OtherSchema
from worker.model.target import Target
from worker.receipts.chain import genesis, hash_of
from worker.receipts.sealing import Broken, Line, Sealer, seal, seal_all, sealed_lines

STREAM = "eraser:{default}:receipts"


@pytest.fixture
def receipts(undertaker: Undertaker) -> Receipts:
    return Receipts(undertaker.redis, "default")


def end(undertaker: Undertaker, number: int, first: int = 0) -> None:
    """Quick ends: withdrawn."""
    jobs = [f"job-{n}" for n in range(first, first + number)]
    undertaker.request(*jobs)
    undertaker.ledger.cancel([Target(PROJECT, job) for job in jobs], why="T-1")


def read(receipts: Receipts) -> list[Line]:
    return list(sealed_lines(receipts, Checkpoint(), receipts.progress().sealed))


def alter(client: redis.Redis, n: int, **fields: str) -> None:
    """Write entry `n` again, altered: Redis itself knows no way to change one."""
    entries = client.xrange(STREAM)
    client.delete(STREAM)
    for id, entry in entries:  # type: ignore[union-attr]
        if entry[b"n"] == str(n).encode():
            entry |= fields
        client.xadd(STREAM, entry, id=id)


def test_each_line_names_the_one_before_it(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 5)
    seal_all(undertaker.ledger)
    lines = [line.values for line in read(receipts)]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0]["prev"] == genesis("default")
    assert [line["prev"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert all(line["hash"] == hash_of(line) for line in lines)
    assert receipts.progress().sealed.head == lines[-1]["hash"]


def test_a_neighbours_receipts_are_sealed_as_it_would_seal_them(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 3)
    alter(undertaker.redis, 2, v=str(VERSION + 1), batch="b-1", empty="")
    seal_all(undertaker.ledger)
    lines = [line.values for line in read(receipts)]
    assert [line["v"] for line in lines] == [2, VERSION + 1, 2]
    assert list(lines[1].items())[-6:-4] == [("batch", "b-1"), ("empty", None)]


def test_a_receipt_of_a_version_that_is_not_known_is_left_to_whoever_knows_it(
    undertaker: Undertaker, receipts: Receipts
) -> None:
    end(undertaker, 3)
    alter(undertaker.redis, 2, v=str(VERSION + 2))
    with pytest.raises(OtherSchema, match=f"receipt 2 of account default has version {VERSION + 2}"):
        seal_all(undertaker.ledger)
    assert receipts.progress().sealed == Checkpoint()


def test_accounts_have_chains_of_their_own() -> None:
    assert genesis("a") != genesis("b")


def test_it_is_sealed_in_pages_and_the_chain_is_the_same(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 450)
    steps = 0
    while seal(undertaker.ledger, most=120):
        steps += 1
    assert steps == 3
    assert len(read(receipts)) == 450
    in_pages = receipts.progress().sealed
    undertaker.redis.hdel(f"{STREAM}:chain", "sealed_n", "sealed_id", "sealed_head")
    undertaker.redis.delete(f"{STREAM}:seals")
    seal_all(undertaker.ledger)
    assert receipts.progress().sealed == in_pages


def test_nothing_new_is_nothing_to_seal(undertaker: Undertaker, receipts: Receipts) -> None:
    assert not seal(undertaker.ledger)
    assert receipts.progress().sealed == Checkpoint()
    assert read(receipts) == []


def test_two_that_seal_at_once_make_one_chain(undertaker: Undertaker, receipts: Receipts, redis_url: str) -> None:
    stop = threading.Event()

    def seal_on() -> None:
        with connect(redis_url) as client:
            ledger = type(undertaker.ledger)(client, "default", undertaker.ledger.policy)
            while not stop.is_set():
                seal(ledger, most=7)

    sealers = [threading.Thread(target=seal_on) for _ in range(3)]
    for sealer in sealers:
        sealer.start()
    for part in range(20):
        end(undertaker, 25, first=part * 25)
    stop.set()
    for sealer in sealers:
        sealer.join()
    seal_all(undertaker.ledger)
    assert len(read(receipts)) == 500


def test_who_began_where_another_one_has_sealed_changes_nothing(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 3)
    seal_all(undertaker.ledger)
    before = receipts.progress()
    late = {"was": "0-0", "n": 1, "id": receipts.read_page(limit=1)[0].id, "head": "0" * 64}
    assert undertaker.ledger.run_script("seal", late)["sealed"] is False
    assert receipts.progress() == before


@pytest.mark.parametrize("n", [1, 150, 250, 300])
def test_what_was_altered_in_redis_is_found_and_narrowed_down(
    undertaker: Undertaker, receipts: Receipts, n: int
) -> None:
    end(undertaker, 300)
    while seal(undertaker.ledger, most=100):
        pass
    alter(undertaker.redis, n, s="deleted")
    with pytest.raises(Broken, match="altered") as found:
        read(receipts)
    assert found.value.first <= n <= found.value.last
    assert found.value.last - found.value.first < 100


def test_what_was_dropped_in_redis_is_named(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 30)
    seal_all(undertaker.ledger)
    undertaker.redis.xdel(STREAM, receipts.read_page()[11].id)
    with pytest.raises(Broken, match="receipt 12 in Redis was changed after it was sealed: it is missing"):
        read(receipts)


def test_a_full_redis_is_sealed(undertaker: Undertaker, receipts: Receipts) -> None:
    end(undertaker, 3)
    undertaker.redis.config_set("maxmemory", 1_000_000)
    try:
        seal_all(undertaker.ledger)
    finally:
        undertaker.redis.config_set("maxmemory", 0)
    assert receipts.progress().sealed.n == 3


def test_the_sealer_seals_once_a_second_and_goes_on_at_once_where_there_is_more(
    command: Command, undertaker: Undertaker, receipts: Receipts
) -> None:
    app = AppContext.load(command.environ)
    now = [0.0]
    sealer = Sealer(app.ledger, clock=lambda: now[0])
    end(undertaker, 600)
    sealer.tick(app.redis, ["default"])
    assert receipts.progress().sealed.n == 500
    sealer.tick(app.redis, [])
    assert receipts.progress().sealed.n == 600
    end(undertaker, 1, first=600)
    sealer.tick(app.redis, [])
    assert receipts.progress().sealed.n == 600
    now[0] = 1.0
    sealer.tick(app.redis, [])
    assert receipts.progress().sealed.n == 601
    end(undertaker, 1, first=601)
    now[0] = 60.0
    sealer.tick(app.redis, [])  # for the last time
    end(undertaker, 1, first=602)
    now[0] = 61.0
    sealer.tick(app.redis, [])
    assert receipts.progress().sealed.n == 602, "nobody looked at it for a while"
    sealer.tick(app.redis, ["default"])
    assert receipts.progress().sealed.n == 603


def test_an_entry_that_is_no_receipt_does_not_stop_the_dispatcher(
    command: Command, undertaker: Undertaker, receipts: Receipts
) -> None:
    app = AppContext.load(command.environ)
    end(undertaker, 1)
    undertaker.redis.xadd(STREAM, {"n": "what"})
    undertaker.redis.hset(f"{STREAM}:chain", "n", 2)
    Sealer(app.ledger).tick(app.redis, ["default"])
    assert receipts.progress().sealed == Checkpoint()
    exported = command("receipts", "export")
    assert (exported.code, "of the receipt stream is not a receipt" in exported.err) == (1, True)
