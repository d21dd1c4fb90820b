"""Moves as functions of Redis: the same as the scripts, with nothing left over from one call to the next."""

from __future__ import annotations

import itertools
import math
import random
import re
import secrets
from dataclasses import asdict
from typing import Any

import pytest
import redis

from tests.support.ledgers import CLOCK, PROJECT, Bench
from worker.ledger import library, scripts
from worker.ledger.audit_actions import Who
from worker.ledger.types import GateSignal, Lease, Settlement
from worker.model.errors import Unreachable
from worker.model.states import Lane
from worker.model.target import Target

STEPS = 250
OF_THIS_MOMENT = {"taken", "expires", "redis_ms"}  # of a lease
APART = ("ops", "damaged")  # answers that are kept, each is compared when it comes; and what has the server's own time
ONCE = {"DROPPED", "knobs", "kinds_of_knobs"}  # made at the first call, and the same for all


def functions(client: redis.Redis) -> set[str]:
    """The libraries that the server has."""
    return {dict(zip(each[::2], each[1::2], strict=True))[b"library_name"].decode() for each in client.function_list()}


def commands(client: redis.Redis) -> dict[str, int]:
    """How often each command was called since the last look."""
    found = {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in client.info("commandstats").items()}
    client.config_resetstat()
    return found


def contents(bench: Bench) -> dict[str, Any]:
    """All that an account has."""
    read = {
        "hash": bench.client.hgetall,
        "zset": lambda key: bench.client.zrange(key, 0, -1, withscores=True),
        "stream": bench.client.xrange,
        "string": bench.client.get,
        "list": lambda key: bench.client.lrange(key, 0, -1),
    }
    keys = [key.decode() for key in bench.client.scan_iter(bench.p + "*")]
    names = {key.removeprefix(bench.p): key for key in keys}
    return {
        name: read[bench.client.type(key).decode()](key) for name, key in names.items() if not name.startswith(APART)
    }


class Pair:
    """Two accounts that meet the same, in turns: one by functions, one by scripts."""

    def __init__(self, client: redis.Redis, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.benches = Bench(client, account="by-function"), Bench(client, account="by-script")
        self.benches[1].ledger._functions_at = math.inf
        for bench in self.benches:
            bench.open()
        self.leases: list[tuple[Lease, Lease]] = []
        self.random = random.Random(seed)
        self.drawn = itertools.count()
        monkeypatch.setattr(secrets, "token_hex", lambda _: f"{next(self.drawn):016x}")
        monkeypatch.setattr(secrets, "token_urlsafe", lambda _: f"{next(self.drawn):022x}")

    def both(self, act: Any, *each: tuple[Any, Any]) -> tuple[Any, Any]:
        start = next(self.drawn)
        answers = []
        for n, bench in enumerate(self.benches):
            self.drawn = itertools.count(start + 1)  # the same tokens and salts
            answers.append(act(bench, *(pair[n] for pair in each)))
        return answers[0], answers[1]

    def settle(self, of: tuple[Lease, Lease]) -> None:
        to = self.random.choice(["deleted", "deleted", "gone", "pending", "dead", "cancelled", "held"])
        kind = self.random.choice(["ok", "ok", "fail", "forbidden", "misconfigured", "throttled", "credentials"])
        terms: dict[str, Any] = {"called": kind != "credentials", "used": to == "pending", "ms": 40.0, "delay_s": 1.0}
        terms |= {"cause": "refused"} if to == "dead" else {"evidence": "looked"} if to == "gone" else {}
        terms |= {"attempt": {"outcome": to, "request_id": "x1"}, "status": 200, "wait": "retry", "departed_ms": 3.0}
        terms |= {"event": {"event": "deletion.postponed"}} if self.random.random() < 0.2 else {}
        terms |= {"erasure": {"related": "verify", "first_look_ms": 1000}} if self.random.random() < 0.3 else {}
        fields = {"fields": {"look": 1, "listed": "1"}} if self.random.random() < 0.3 else {}
        want = self.random.random() < 0.7

        def settled(bench: Bench, lease: Lease) -> Any:
            signal = GateSignal(kind, key="k1", ms=40.0, probe=lease.probe, why="said so")
            how = Settlement(lease.ref, lease.token, to, call_seq=lease.call_seq, signal=signal, **terms, **fields)
            return bench.turn(how, want=want)

        self.keep(self.both(settled, of))

    def keep(self, turns: tuple[Any, Any]) -> None:
        one, other = (
            {name: value for name, value in asdict(turn).items() if name not in ("lease", "trial")} for turn in turns
        )
        assert one == other
        if turns[0].lease:
            one, other = (
                {name: value for name, value in asdict(turn.lease).items() if name not in OF_THIS_MOMENT}
                for turn in turns
            )
            assert one == other
            self.leases.append((turns[0].lease, turns[1].lease))

    def step(self) -> None:
        job, now = self.random.choice("abcdef"), self.benches[0]
        match self.random.choice(["ask", "turn", "turn", "settle", "settle", "settle", "confirm", "time", "else"]):
            case "ask":
                claim = {"lane": self.random.choice(list(Lane)), "force": self.random.random() < 0.5}
                self.both(lambda bench: bench.request(job, **claim))
            case "turn":
                self.keep(self.both(lambda bench: bench.turn()))
            case "settle" if self.leases:
                self.settle(self.leases.pop(self.random.randrange(len(self.leases))))
            case "confirm" if self.leases:
                went = self.both(
                    lambda bench, lease: bench.ledger.confirm(lease, key="k1", ahead_s=0.0), self.leases[-1]
                )
                assert (went[0] is None) == (went[1] is None)
            case "time":
                now.pass_time(self.random.choice([0.1, 0.1, 1.0, 70.0]))
            case "else":
                target = Target(PROJECT, job)
                more = self.random.choice(
                    ["hold", "free", "free", "cancel", "rescue", "open", "open", "open", "damage", "wake"]
                )
                self.both(lambda bench: self.act(bench, more, target))

    def act(self, bench: Bench, what: str, target: Target) -> None:
        who: Who = {"why": "CASE-1", "by": "legal-3"}
        match what:
            case "hold":
                bench.holds.add([target], **who)
            case "free":
                bench.holds.remove([target], **who)
            case "cancel":
                bench.ledger.cancel([target], **who)
            case "rescue":
                bench.ledger.rescue(alive=["w1"], counts=True)
            case "wake":
                bench.ledger.due_wakeup("k1")
            case "open":
                bench.client.delete(bench.p + "closures", bench.p + "probes", bench.p + "gate")
                bench.open()
            case "damage":
                bench.client.set(bench.p + "failing", "no such thing")


@pytest.mark.parametrize("seed", range(4))
def test_by_function_and_by_script_the_same_happens(
    client: redis.Redis, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(client, seed, monkeypatch)
    commands(client)
    for n in range(STEPS):
        pair.step()
        if n % 25 == 0 or n == STEPS - 1:
            assert contents(pair.benches[0]) == contents(pair.benches[1])
    called = commands(client)
    assert called["fcall"] > 40
    assert called["evalsha"] > called["fcall"]
    assert client.xlen(pair.benches[0].p + "receipts") > 3


@pytest.mark.parametrize("move", sorted(scripts.AS_FUNCTIONS))
def test_each_of_them_is_one_that_the_server_can_load(client: redis.Redis, move: str) -> None:
    """What fails on the server runs as a script, and nobody would notice."""
    client.function_flush()
    made = scripts.load(move).library
    assert made is not None
    made._load(client)
    assert [name.startswith(f"avatar_eraser_{move}_") for name in functions(client)] == [True]


def test_the_functions_are_loaded_by_whoever_misses_them(bench: Bench) -> None:
    bench.request("a", "b")
    assert bench.turn(want=False).lease is None, "it knows that it may"
    bench.client.function_flush()
    commands(bench.client)
    bench.settle(bench.take())
    called = commands(bench.client)
    assert (called["fcall"], called["function|load"]) == (3, 1)
    assert called.get("evalsha", 0) + called.get("eval", 0) == 0
    bench.client.function_flush()  # a standby took over that had not heard of them
    bench.settle(bench.take())
    assert (bench.state("a"), bench.state("b")) == ("deleted", "deleted")


def refuses(command: str, error: str) -> Any:
    """A client whose server answers a command like that."""

    class Refusing(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            if args[0] == command:
                raise {"NOPERM": redis.exceptions.NoPermissionError}.get(
                    error.split()[0], redis.exceptions.ResponseError
                )(error)
            return super().execute_command(*args, **options)

    return Refusing


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("FCALL", "unknown command 'FCALL', with args beginning with: "),
        ("FCALL", "NOPERM User default has no permissions to run the 'fcall' command"),
        ("FUNCTION LOAD", "NOPERM User default has no permissions to run the 'function|load' command"),
        ("FUNCTION LOAD", "OOM command not allowed when used memory > 'maxmemory'."),
    ],
)
def test_without_functions_the_same_is_done_by_scripts(bench: Bench, redis_url: str, command: str, error: str) -> None:
    bench.client.function_flush()
    bench.ledger.client = refuses(command, error).from_url(redis_url)
    bench.request("a", "b")
    commands(bench.client)
    bench.settle(bench.take())
    tried = commands(bench.client)
    bench.settle(bench.take())
    called = commands(bench.client)
    assert tried.get("fcall", 0) <= 2
    assert called.get("fcall", 0) == 0, "not tried again at once"
    assert called["evalsha"] >= 2
    assert (bench.state("a"), bench.state("b")) == ("deleted", "deleted")


@pytest.mark.parametrize(
    "error",
    [
        "ACL failure in script: User few has no permissions to run the 'hset' command script: avatar_eraser_take",
        "Unknown Redis command called from script script: avatar_eraser_take, on @user_function:12.",
    ],
)
def test_what_was_refused_inside_a_function_is_not_run_again_as_a_script(
    bench: Bench, redis_url: str, error: str
) -> None:
    """The function may have written something before; under the same number a script would go by that."""
    bench.request("a")
    lease = bench.take()
    bench.ledger.client = refuses("FCALL", error).from_url(redis_url)
    commands(bench.client)
    with pytest.raises(Unreachable, match="lacks permissions"):
        bench.settle(lease)
    assert commands(bench.client).get("evalsha", 0) == 0
    bench.ledger.client = bench.client
    assert bench.settle(lease) == "deleted"


def test_a_full_server_lets_work_finish_and_takes_no_more(bench: Bench) -> None:
    bench.request("a", "b")
    first, second = bench.take(), bench.take()
    used = bench.client.info("memory")["used_memory"]
    bench.client.config_set("maxmemory", used // 2)
    try:
        with pytest.raises(Unreachable, match="maxmemory"):
            bench.request("c")
        bench.settle(first)
        assert bench.ledger.confirm(second, key="k1") is not None
    finally:
        bench.client.config_set("maxmemory", 0)
    assert bench.state("a") == "deleted"


def test_what_nobody_loaded_for_a_week_goes_when_another_one_comes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.client.function_flush()
    today = library.today()
    theirs = "#!lua name=%s\nredis.register_function('%s', function() return 1 end)"
    for name in ("somebody_elses", f"avatar_eraser_take_{today - 3}_new", f"avatar_eraser_take_{today - 30}_old"):
        bench.client.function_load(theirs % (name, name))
    bench.request("a")
    bench.take()
    mine = next(name for name in functions(bench.client) if name.startswith(f"avatar_eraser_take_{today}_"))
    assert functions(bench.client) == {"somebody_elses", f"avatar_eraser_take_{today - 3}_new", mine}


@pytest.mark.parametrize("move", sorted(scripts.AS_FUNCTIONS))
def test_whatever_changes_during_a_call_is_set_at_its_beginning(move: str) -> None:
    """A function's variables outlive the call; what `each_call` does not set would be the last account's."""
    source = re.sub(r"--.*", "", scripts.load(move, clock=CLOCK).source)
    outside = re.findall(r"^local ([a-z_, ]+?)(?:\s*=.*|\s*)$", source, re.MULTILINE)
    declared = {name for names in outside for name in names.split(", ")} - {"function"}
    declared -= set(re.findall(r"^function (\w+)\(", source, re.MULTILINE))
    inside = "\n".join(re.findall(r"^ .*$", source, re.MULTILINE))
    assigned = re.findall(r"(?<!local )(?<![\w.'\[])((?:[a-z_]\w*, )*[a-z_]\w*) = ", inside)
    written = {name for names in assigned for name in names.split(", ")}
    written |= set(re.findall(r"(?<![\w.'])([a-z_]\w*)(?:\.\w+|\[[^\n]*?\])(?:, [^\n=]*)? = ", inside))
    at_the_beginning = " ".join(re.findall(r"^each_call\(function\(\)(.*?)end\)$", source, re.MULTILINE | re.DOTALL))
    left = {name for name in declared & written if not re.search(rf"\b{name}\b", at_the_beginning)}
    assert declared >= {"gate", "options", "closures"}
    assert left - ONCE == set()
