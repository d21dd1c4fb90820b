"""Figures of ours that have no peer: how fast requests are accepted, what waits, what has ended."""

from __future__ import annotations

import heapq
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from benchmarks.accounts import REDIS_SHARE
from benchmarks.gate import RATE
from benchmarks.processes import commands_run, cpu_s, rss
from tests.acceptance.fleet import Fleet
from worker.config.accounts import DEFAULT
from worker.execution.dispatcher import CHECK_S, CHECKS
from worker.ledger.archived import Leaving, bucket_of, key_of
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.damage import Checker
from worker.ledger.deletions import BATCH, Ledger
from worker.ledger.receipts import Receipts
from worker.ledger.schema.keys import Key
from worker.ledger.types import DeletionRequest, GateSignal, Lease, Settlement, Tried
from worker.metastudio.response import Body, Response
from worker.model.states import State
from worker.model.target import Target
from worker.rules.outcome import OutcomeRules
from worker.services import listing
from worker.services.filters import DeletionFilter
from worker.services.request import record
from worker.simulator import DEMO_PROJECT

_DELETED = DeletionFilter((State.DELETED,))
ACCOUNTS = 200
WARM = 20  # deletions of each account before the figure: first records, counters and places
CALL_S = 0.05
LOOK_S = 0.5  # of a dispatcher at an account that works
IDLE_S = 20.0
CALM_S = 5.0  # after a worker's start

_PYTHON = """
import sys, time
from tasks import request_deletions
ids = open(sys.argv[1]).read().split()
began = time.perf_counter()
accepted = sum(1 for _ in request_deletions(ids, reason="TICKET-4711"))
print(accepted, time.perf_counter() - began)
"""
_COMMAND = "from worker.interfaces.cli import main; main()"


def ids(count: int) -> list[str]:
    """Of the length that MetaStudio's have."""
    return [uuid.uuid4().hex for _ in range(count)]


def accepted(fleet: Fleet, count: int) -> Iterator[str]:
    """By the command line, its start included, and by Python."""
    file = fleet.directory / "ids.txt"
    file.write_text("\n".join(ids(count)), encoding="utf-8")
    words = ["request", "--from-file", str(file), "--max", str(count), "--reason", "TICKET-4711"]
    fleet.client.flushall()
    began = time.monotonic()
    _run(fleet, "-c", _COMMAND, *words)
    took = time.monotonic() - began
    yield f"{count:,} accepted by `eraser request --from-file`: {took:.1f} s, {count / took:,.0f}/s"
    fleet.client.flushall()
    done, seconds = _run(fleet, "-c", _PYTHON, str(file)).split()
    yield f"{int(done):,} accepted by `request_deletions`: {float(seconds):.1f} s, {count / float(seconds):,.0f}/s"


def waiting(fleet: Fleet, count: int) -> Iterator[str]:
    """Bytes in Redis, and what a worker does and holds while nothing is due."""
    before = used_memory_when_empty(fleet)
    refs = (Target(DEMO_PROJECT, job) for job in ids(count))
    list(record(fleet.app, refs, DeletionRequest(why="TICKET-4711", delay_s=86_400)))
    yield f"{count:,} waiting: {(used_memory(fleet) - before) / count:.0f} bytes of Redis each"
    worker = fleet.start_worker("-c", "32")
    try:
        fleet.wait(lambda: fleet.live_workers() == 1, "the worker says that it lives")
        time.sleep(CALM_S)
        cpu, commands = cpu_s(worker.pid), commands_run(fleet)
        time.sleep(IDLE_S)
        share, commands = (cpu_s(worker.pid) - cpu) / IDLE_S, commands_run(fleet) - commands
        yield f"a worker with {count:,} waiting and none due: {rss(worker.pid) / 1e6:.0f} MB resident"
        yield f"the same, {IDLE_S:.0f} s: {share:.2%} of a CPU, {commands / IDLE_S:.0f} commands a second at Redis"
    finally:
        worker.kill()
        fleet.workers.remove(worker)


def moves(fleet: Fleet, count: int) -> Iterator[str]:
    """What Redis does for a deletion where nothing competes for its core's caches: one client, and no HTTP."""
    ledger = Ledger(fleet.client, DEFAULT, replace(fleet.ledger.policy, interval=0.001, max_calls=10**6))
    redis_pid = fleet.redis_server.pid
    assert redis_pid is not None
    for ahead, how in ((0, "a move for each"), (4, "five by a move, as where calls follow closely")):
        fleet.client.flushall()
        _delete(fleet, ledger, ids(BATCH))
        jobs = [Target(DEMO_PROJECT, job) for job in ids(count)]
        for start in range(0, count, BATCH):
            ledger.request(jobs[start : start + BATCH], DeletionRequest(why="TICKET-4711"))
        fleet.client.config_set("appendfsync", "everysec")
        used, ran = cpu_s(redis_pid), commands_run(fleet)
        _settle_all(ledger, fleet, ahead)
        used, ran = cpu_s(redis_pid) - used, commands_run(fleet) - ran
        each = f"{used / count * 1e6:.0f} us of Redis's CPU and {ran / count:.1f} commands each"
        yield f"{count:,} leased and settled, {how}: {each}"
    fleet.client.config_set("appendfsync", "always")
    fleet.client.flushall()


def accounts(fleet: Fleet, count: int) -> Iterator[str]:
    """How many accounts one Redis carries: the moves of many accounts at their pace, and no HTTP, by one client."""
    policy = replace(fleet.ledger.policy, interval=1000 / RATE)
    ledgers = [Ledger(fleet.client, f"tenant-{n:03d}", policy) for n in range(ACCOUNTS)]
    fleet.client.flushall()
    redis_pid = fleet.redis_server.pid
    assert redis_pid is not None
    for ledger in ledgers:
        jobs = [Target(DEMO_PROJECT, job) for job in ids(2 * count // ACCOUNTS + WARM)]
        ledger.request(jobs, DeletionRequest(why="TICKET-4711"))
    fleet.client.config_set("appendfsync", "everysec")
    at_work = [(time.monotonic(), n, _first(ledger)) for n, ledger in enumerate(ledgers)]
    looked, done, moves, used, ran, began = [0.0] * ACCOUNTS, -WARM * ACCOUNTS, 0, 0.0, 0, 0.0
    while done < count:
        ends, n, lease = heapq.heappop(at_work)
        time.sleep(max(0.0, ends - time.monotonic()))
        settlement = _deleted(lease, OutcomeRules(fleet.app.schedule, "key", 0.5))
        turn = ledgers[n].take(worker="benchmark", key="key", settlement=settlement)
        while turn.lease is None:
            time.sleep(turn.wait_s or 0.001)
            turn, moves = ledgers[n].take(worker="benchmark", key="key"), moves + 1
        heapq.heappush(at_work, (time.monotonic() + turn.lease.ahead_s + CALL_S, n, turn.lease))
        if time.monotonic() - looked[n] > LOOK_S:
            ledgers[n].due_wakeup("key")
            looked[n] = time.monotonic()
        if done == 0:
            used, ran, moves, began = cpu_s(redis_pid), commands_run(fleet), 0, time.monotonic()
        done, moves = done + 1, moves + 1
    used, ran, took = cpu_s(redis_pid) - used, commands_run(fleet) - ran, time.monotonic() - began
    checked, checker = cpu_s(redis_pid), Checker(fleet.client, {one.account: one for one in ledgers}.__getitem__)
    checker.step({one.account for one in ledgers}, CHECKS)
    share, each = (cpu_s(redis_pid) - checked) / CHECK_S, used / done
    pace = f"{done / took:.0f}/s in all, {moves / done:.2f} moves each, {1 / LOOK_S:.0f} looks of a dispatcher a second"
    cost = f"{each * 1e6:.0f} us of Redis's CPU and {ran / done:.1f} commands each"
    yield f"{ACCOUNTS} accounts at {RATE}/s: {pace}: {cost}; the check for damage: {share:.1%} of the core"
    many = (REDIS_SHARE - share) / each / RATE
    yield f"computed from both: the core, used at {REDIS_SHARE:.0%}, carries {many:.0f} such accounts"
    fleet.client.config_set("appendfsync", "always")
    fleet.client.flushall()


def _first(ledger: Ledger) -> Lease:
    """The key is new to the account: a list says that it is valid."""
    trial = ledger.take(worker="benchmark", key="key").trial
    assert trial is not None
    tried = Tried(trial.name, DEMO_PROJECT, GateSignal("listed", key="key"))
    lease = ledger.take(worker="benchmark", key="key", tried=tried).lease
    assert lease is not None
    return lease


def final(fleet: Fleet, count: int) -> Iterator[str]:
    """Bytes of a deletion that ended after one call. The moves are an executor's, the answers are made up: no HTTP."""
    ledger = Ledger(fleet.client, DEFAULT, replace(fleet.ledger.policy, interval=0.001, max_calls=10**6))
    _delete(fleet, ledger, ids(1))  # the scripts take memory, too
    before = used_memory_when_empty(fleet)
    _delete(fleet, ledger, ids(count))
    each = (used_memory(fleet) - before) / count
    receipts = Receipts(fleet.client, DEFAULT).bytes_used() / count
    deleted = fleet.states()[State.DELETED]
    yield f"{deleted:,} final records: {each:.0f} bytes of Redis each, {receipts:.0f} of them until its receipt leaves"
    looks: dict[str, Callable[[], object]] = {
        "status": fleet.queries.status,
        "the first 50 deleted": lambda: listing.page(fleet.app, _DELETED),
        "one of them": lambda: fleet.queries.show(listing.page(fleet.app, _DELETED).rows[-1].ref),
        "receipts settled since the beginning, a page": lambda: Receipts(fleet.client, DEFAULT).read_page(),
    }
    yield f"with {deleted:,} final records: " + ", ".join(f"{name} {_ms(look):.0f} ms" for name, look in looks.items())
    fleet.client.flushall()  # MetaStudio never had these jobs, and the fleet's judge would say so


def _delete(fleet: Fleet, ledger: Ledger, jobs: Iterable[str]) -> None:
    names = iter(jobs)
    while batch := [Target(DEMO_PROJECT, job) for job in islice(names, BATCH)]:
        ledger.request(batch, DeletionRequest(why="TICKET-4711"))
        _settle_all(ledger, fleet)


def archived(fleet: Fleet, count: int) -> Iterator[str]:
    """Bytes of a deletion that ended and whose receipt is archived, where its project has ten times as many of them:
    each bucket has as many then as here, where a tenth of the buckets is used.
    """
    _archive(fleet, ids(BATCH))  # the scripts take memory, too
    each = _archive(fleet, map(_in_a_tenth, ids(count)))
    yield f"{count:,} archived, as dense as {10 * count:,} in one project: {each:.0f} bytes of Redis each"
    yield f"so {10 * count:,} of them would be {10 * count * each / 1e9:.2f} GB"


def _archive(fleet: Fleet, jobs: Iterable[str]) -> float:
    """The first five hundred make all real moves, but for the files. Of the others the mark is written as of those."""
    before, ledger, names = used_memory_when_empty(fleet), fleet.ledger, iter(jobs)
    first = [Target(DEMO_PROJECT, job) for job in islice(names, BATCH)]
    ledger.request(first, DeletionRequest(why="TICKET-4711"))
    ledger.cancel(first, why="TICKET-4711")
    ended = BulkQueries(fleet.client, DEFAULT).ends(first)
    leaving = [Leaving(ref, n, "cancelled", int(at), None) for n, (ref, _, at) in enumerate(ended, 1)]
    fleet.client.hset(ledger.prefix + Key.RECEIPTS_CHAIN, "archived_n", BATCH)
    if ledger.archive_records(leaving, was=0, upto=BATCH) != BATCH:
        raise SystemExit("records stayed")
    letters, at, took, *_ = str(fleet.client.hget(*key_of(ledger.prefix, first[0])), "ascii").split()  # type: ignore[arg-type]
    number = BATCH
    while batch := list(islice(names, 10 * BATCH)):
        pipe = fleet.client.pipeline(transaction=False)
        for job in batch:
            number += 1
            key, name = key_of(ledger.prefix, Target(DEMO_PROJECT, job))
            pipe.hset(key, name, f"{letters} {int(at) + 100 * number} {60_000 + int(took)} {number} 1")
        pipe.execute()
    fleet.client.delete(ledger.prefix + Key.RECEIPTS)  # of the first: they have left, too
    return (used_memory(fleet) - before) / number


def _in_a_tenth(job: str) -> str:
    """The same with another end, so that it is in one of a tenth of the buckets."""
    head, own = bucket_of(job[:-2]), int(job[-2:], 16)
    for i in range(own, own + 256):
        if bucket_of(end := f"{i % 256:02x}", head) % 10 == 0:
            return job[:-2] + end
    raise SystemExit(f"no end of {job} is in one of those")


def _ms(look: Callable[[], object]) -> float:
    began = time.perf_counter()
    look()
    return (time.perf_counter() - began) * 1000


def _settle_all(ledger: Ledger, fleet: Fleet, ahead: int = 0) -> None:
    take, rules = partial(ledger.take, worker="benchmark", key="key"), OutcomeRules(fleet.app.schedule, "key", 0.5)
    if trial := (turn := take()).trial:  # the key is new here: a list says that it is valid
        turn = take(tried=Tried(trial.name, DEMO_PROJECT, GateSignal("listed", key="key")))
    while lease := turn.lease:
        earlier = [_deleted(one, rules) for one in turn.ahead]
        turn = take(settlement=_deleted(lease, rules), earlier=earlier, ahead=ahead)


def _deleted(lease: Lease, judge: OutcomeRules) -> Settlement:
    if lease.probe:
        lease = replace(lease, probe=None)
    request_id = uuid.uuid4().hex
    sent_at = lease.taken + lease.ahead_s
    return judge.after_delete(lease, Response(200, None, None, None, request_id, 57, Body.EMPTY, sent_at=sent_at))


def used_memory_when_empty(fleet: Fleet) -> int:
    fleet.client.execute_command("FLUSHALL", "SYNC")  # Valkey frees in the background otherwise
    return used_memory(fleet)


def used_memory(fleet: Fleet) -> int:
    memory: Any = fleet.client.info("memory")
    return int(memory["used_memory"])


def _run(fleet: Fleet, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], env=fleet.env, cwd=fleet.directory, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words[2:])}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


FIGURES: dict[str, Callable[[Fleet, int], Iterator[str]]] = {
    "accepted": accepted,
    "waiting": waiting,
    "moves": moves,
    "accounts": accounts,
    "final": final,
    "archived": archived,
}
