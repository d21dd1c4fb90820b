"""A ledger in which there is something of everything, to be damaged in every place, and what a worker does with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from tests.support.ledgers import LEASE_MS, POLICY_TEXT, PROJECT, START_MS, Bench
from worker.ledger.audit_actions import AuditAction
from worker.ledger.damage import Checker, DamageList
from worker.ledger.erasures import ErasureStep
from worker.ledger.replays import Replays, ReplayStage
from worker.ledger.runs import Run, Runs, Slot
from worker.ledger.types import DeletionRequest, GatePolicy, GateSignal, Lease, Tried
from worker.model.erasure import LEFT as LEAVES
from worker.model.erasure import Verdict
from worker.model.states import Lane
from worker.model.target import Target
from worker.receipts.sealing import Unreadable, seal_all
from worker.replay.job import step

PACE = GatePolicy(interval=0.001, lease=LEASE_MS, look_interval=0.001)
OVER = ("deleted", "gone", "dead", "cancelled", "discarded")
DAY_S = 86_400.0
LEFT = [{"part": "model_asset", "id": "asset-1", "project_id": PROJECT, "named_by": "job"}]


def build(client: redis.Redis) -> Bench:
    """Deletions in every state and for every reason to wait; holds, a closure, a run, a replay, receipts, an audit."""
    bench = Bench(client, PACE)
    ledger = bench.ledger
    bench.open()
    bench.holds.add_user("somebody", why="LAW-1", by="ops-7")
    bench.holds.add([Target(PROJECT, "held-job"), Target(PROJECT, "held-before")], why="LAW-2", by="ops-7")
    Runs(ledger).begin(Slot("nightly", "0 3 * * *", START_MS), "run-1")
    Runs(ledger).write(Run("run-1", "nightly", "hash", "default", START_MS))
    for n in range(12):
        bench.request(f"end-{n}", run="run-1", policy="nightly", app_user="u")
    for n in range(12):
        lease = bench.take()
        match n:
            case 0 | 1 | 2:
                found = {"related": "verify", "state": "done", "parts": json.dumps(LEFT), "ids": ["asset-1"]}
                terms = {"policy_text": POLICY_TEXT, "owner": ledger.users.hashed("u")}
                assert ledger.confirm(lease, key="k1", inventory=found, **terms)
                bench.settle(lease, erasure={"related": "verify", "first_look_ms": DAY_S * 1000 * n})
            case 3:
                bench.settle(lease, "gone", evidence="seen_before")
            case 4 | 5:
                bench.settle(lease, "dead", cause="server_error", status=500, code="MSS.00000004")
            case 6 | 7:
                bench.settle(lease, "dead", cause="refused", status=400)
            case _:
                bench.settle(lease, "pending", wait="retry", delay_s=3600, status=500, fields={"unk": "1"})
    close_erasures(bench, Verdict.PARTIAL)
    assert ledger.begin_experiment(Target(PROJECT, "throw-away"), (60.0, DAY_S), by="ops-7", why="T-9") == "begun"
    ledger.discard([dead(bench)[0]], why="T-1", by="ops-7", action=AuditAction())
    replays = Replays(ledger)
    refs = dead(bench)
    replays.snapshot("replay-1", refs)
    terms = replays.terms(
        "replay-1", why="T-2", by="ops-7", what="all", groups={"g": 3}, mark=replays.mark(), deadline_s=DAY_S * 60
    )
    assert replays.start(terms)
    (replay,) = replays.current()
    replays.requeue_batch(replay, 1, ReplayStage.CANARY)
    for name in ("plain-1", "plain-2", "plain-3"):
        bench.request(name, by="a", why="T-3")
        bench.request(name, by="b", why="T-4", run="run-1")
    bench.request("urgent", lane=Lane.USER)
    bench.request("later", delay_s=3600)
    bench.request("looked-for", app_user="v")
    bench.request("held-job", app_user="v")
    bench.request("withdrawn")
    ledger.cancel([Target(PROJECT, "withdrawn")], why="T-5")
    leases = [bench.take(worker="gone") for _ in range(2)]
    ledger.cancel([leases[0].ref], why="T-6")
    bench.take()
    bench.holds.add([Target(PROJECT, "held-before")], why="LAW-2", by="ops-7", until_ms=START_MS + 10 * DAY_S * 1000)
    ledger.pause(why="T-7")
    ledger.resume(why="T-8")
    bench.open()
    close_a_project(bench)
    seal_all(ledger)
    return bench


CLOSED = "closed"


def close_a_project(bench: Bench) -> None:
    """For longer than the work lasts; and there is one that was forbidden."""
    bench.ledger.request([Target(CLOSED, "job-1"), Target(CLOSED, "job-2")], DeletionRequest(lane=Lane.USER))
    pause = 30 * DAY_S * 1000
    closure = {"cause": "misconfigured", "why": "403", "since": START_MS, "until": START_MS + pause, "pause": pause}
    bench.client.hset(
        f"{bench.p}closures", f"project {CLOSED}", json.dumps(closure | {"delete": True, "target": "job-1"})
    )
    bench.client.zadd(f"{bench.p}probes", {f"project {CLOSED}": START_MS + pause})
    bench.client.zadd(f"{bench.p}forbidden", {f"{PROJECT}/plain-1": bench.now})
    bench.client.hset(f"{bench.p}gate", mapping={"closed": 1, "forbidden": 1})


def close_erasures(bench: Bench, verdict: Verdict) -> None:
    """Somebody looks at what is due, for the last time."""
    for one in bench.ledger.lease_erasures()[0]:
        step = ErasureStep(one.record.job, one.record.leases, one.record.parts, 1, verdict, None, verdict in LEAVES)
        bench.ledger.record_looks([step])


def dead(bench: Bench) -> list[Target]:
    members: Any = bench.client.zrange(bench.p + "dead", 0, -1)
    return [Target.parse(member.decode()) for member in members]


@dataclass
class Snapshot:
    """Everything in Redis at one moment, to be put back again and again."""

    client: redis.Redis
    keys: dict[bytes, tuple[bytes, int]]

    @classmethod
    def of(cls, client: redis.Redis) -> Snapshot:
        names: Any = client.keys("*")
        return cls(client, {name: (client.dump(name), max(0, client.pttl(name))) for name in names})  # type: ignore[misc, type-var]

    def restore(self) -> None:
        pipe = self.client.pipeline(transaction=False)
        pipe.flushall()
        for name, (value, ttl) in self.keys.items():
            pipe.restore(name, ttl, value)
        pipe.execute()


def work(bench: Bench) -> None:
    """What workers do in a few days: dispatch, rescue, call, settle, replay, seal, check, forget."""
    ledger = bench.ledger
    checker = Checker(bench.client, lambda _: ledger)
    for day in range(8):
        if day in (0, 3):
            for _ in checker.everything(["default"]):
                pass
        bench.holds.release_in_time()
        ledger.rescue(alive=["w1"], counts=True)
        for name in ledger.due_wakeup().replays * 3:
            step(ledger, name)
        while lease := taken(bench):
            signal = GateSignal("ok", key="k1", ms=50, probe=bool(lease.probe))
            if lease.cancel_requested:
                bench.settle(lease, "pending", called=False, used=False, delay_s=0, fields={"unk": "0"}, signal=signal)
            else:
                bench.settle(lease, "deleted", signal=signal)
        with contextlib.suppress(Unreadable):
            seal_all(ledger)
        close_erasures(bench, Verdict.WHOLE_BY_ACKNOWLEDGEMENT)
        ledger.forget(keep_s=DAY_S * 400)
        bench.pass_time(DAY_S)


def taken(bench: Bench) -> Lease | None:
    tried = None
    for _ in range(50):
        turn = bench.turn(tried=tried)
        tried = None
        if turn.trial:
            tried = Tried(turn.trial.name, turn.trial.project_id or PROJECT, GateSignal("listed", key="k1"))
            continue
        if turn.lease or turn.wait_s is None:
            return turn.lease
        bench.pass_time(turn.wait_s + 0.001)
    raise AssertionError("no slot came")


def outcomes(bench: Bench) -> dict[str, str]:
    """What became of each deletion and of each erasure, by the record alone."""
    found = {}
    for key in bench.client.scan_iter(f"{bench.p}erasure:*"):
        if bench.client.type(key) == b"hash":
            closed: Any = bench.client.hexists(key, "closed")
            found[key.decode().removeprefix(bench.p)] = "closed" if closed else "open"
    for key in bench.client.scan_iter(f"{bench.p}d:*"):
        if bench.client.type(key) == b"hash":
            state: Any = bench.client.hget(key, "state")
            found[key.decode().partition(":d:")[2]] = (state or b"?").decode()
    return found


def put_aside_now(bench: Bench) -> set[str]:
    return {one.name for one in DamageList(bench.client, "default").each()}


# -- damage ------------------------------------------------------------------------------------------------------------

GARBAGE = (b"", b"garbage", b"nan", b"inf", b"-inf", b"[1", b"[1,null]", b"{}", b"\xff\xfe")


@dataclass(frozen=True)
class Mutation:
    """One way to damage one place."""

    key: bytes
    how: str
    command: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.key.decode()} {self.how}"

    def apply(self, client: redis.Redis) -> None:
        if self.how.startswith("becomes"):
            client.delete(self.key)
        client.execute_command(*self.command)


def mutations(client: redis.Redis, p: str) -> Iterator[Mutation]:
    """Everything that one thoughtless command can do to a ledger."""
    names: Any = sorted(client.keys(f"{p}*"))
    for key in names:
        if b":op:" in key:
            continue
        kind = client.type(key)
        yield Mutation(key, "is deleted", ("DEL", key))
        if kind != b"string":
            yield Mutation(key, "becomes a string", ("SET", key, "oops"))
        if kind != b"list":
            yield Mutation(key, "becomes a list", ("RPUSH", key, "oops"))
        if kind != b"hash":
            yield Mutation(key, "becomes a hash", ("HSET", key, "oops", "1"))
        if kind != b"set":
            yield Mutation(key, "becomes a set", ("SADD", key, "oops"))
        match kind:
            case b"hash":
                yield from _of_a_hash(client, key)
            case b"zset":
                yield from _of_an_index(client, key)
            case b"string":
                yield from (Mutation(key, f"is {value!r}", ("SET", key, value)) for value in GARBAGE)
            case b"list":
                yield Mutation(key, "has an entry more", ("LPUSH", key, "noslash"))
                yield Mutation(key, "has lost an entry", ("LPOP", key))
            case b"stream":
                yield Mutation(key, "has an entry of another", ("XADD", key, "*", "foo", "bar"))
                yield Mutation(key, "comes from the future", ("XADD", key, f"{2**64 - 1}-{2**64 - 1}", "foo", "bar"))


def _of_a_hash(client: redis.Redis, key: bytes) -> Iterator[Mutation]:
    fields: Any = client.hkeys(key)
    for field in sorted(fields):
        yield Mutation(key, f"loses {field.decode()}", ("HDEL", key, field))
        for value in GARBAGE:
            yield Mutation(key, f"has {field.decode()} {value!r}", ("HSET", key, field, value))


def _of_an_index(client: redis.Redis, key: bytes) -> Iterator[Mutation]:
    members: Any = client.zrange(key, 0, 1)
    for member in members:
        yield Mutation(key, f"loses {member.decode()}", ("ZREM", key, member))
        for score in ("+inf", "-inf", "0", "1e300"):
            yield Mutation(key, f"has {member.decode()} at {score}", ("ZADD", key, score, member))
    for ghost in (
        b"noslash",
        b"p/ghost",
        b"",
        b"a/b/c",
        b"\xff/\xfe",
        f"{PROJECT}/end-0".encode(),
        f"{PROJECT}/later".encode(),
    ):
        for score in ("1", "+inf"):
            yield Mutation(key, f"gains {ghost!r} at {score}", ("ZADD", key, "NX", score, ghost))
