"""A user of Redis with few rights: everything goes on without INFO and CONFIG, and doctor says what is missing."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.support.command import Command
from tests.support.ledgers import CLOCK, POLICY, PROJECT, Bench
from tests.support.waiting import wait_until
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.scripts import load
from worker.model.errors import Unreachable
from worker.model.states import State
from worker.model.target import Target
from worker.services.doctor.redis_checks import needed
from worker.simulator import Simulator

PASSWORD = "few-rights"
BARE = [f"+{name.lower()}" for name in needed()]
CAREFUL = ["+@all", "-@dangerous", "-@admin"]


@pytest.fixture(params=[BARE, CAREFUL], ids=["only what is needed", "nothing dangerous"])
def url(request: pytest.FixtureRequest, redis_url: str) -> Iterator[str]:
    """The server's address for a user who may do so much."""
    yield from user(redis_url, request.param)


@pytest.fixture
def few(redis_url: str) -> Iterator[str]:
    """One who may write nothing but the ledger's keys."""
    yield from user(redis_url, [*CAREFUL, "resetkeys", "~eraser:*", "~test:clock"])


def user(redis_url: str, rules: list[str]) -> Iterator[str]:
    admin = connect(redis_url)
    admin.execute_command("ACL", "SETUSER", "few", "reset", "on", f">{PASSWORD}", "~*", "&*", *rules)
    parts = urlsplit(redis_url)
    yield f"{parts.scheme}://few:{PASSWORD}@{parts.path if parts.scheme == 'unix' else parts.netloc + parts.path}"
    admin.execute_command("ACL", "DELUSER", "few")


def test_requests_retries_grace_dead_letters_and_rescue_go_on(url: str, command: Command) -> None:
    with Simulator(jobs=20) as simulator:
        command.environ |= {"ERASER_REDIS_URL": url, "ERASER_REGION": "", "ERASER_ENDPOINT": simulator.url}
        command.environ |= {"HUAWEICLOUD_SDK_AK": simulator.ak, "HUAWEICLOUD_SDK_SK": simulator.sk}
        command.environ |= {"HUAWEICLOUD_SDK_PROJECT_ID": simulator.project, "ERASER_RETRY_SCHEDULE": "0.1s"}
        command.environ |= {"ERASER_RATE": "200", "ERASER_CALL_TIMEOUT": "5s", "ERASER_LEASE": "6s"}
        simulator.fault("error", "job-00001", times=1)
        simulator.fault("error", "job-00002", times=None)
        requested = [f"job-{n:05d}" for n in range(1, 8)]
        assert command("request", *requested, "--reason", "T-1").code == 0
        assert command("request", "job-00009", "--after", "1s").code == 0
        assert command("hold", "add", "job-00010", "--reason", "CASE-1", "--by", "legal-3").code == 0

        app = AppContext.load(dict(command.environ))
        app.ledger("default").take(worker="a worker that was killed", key=app.client("default")[1]())
        pool = ThreadPoolExecutor(4)
        app.notify = lambda account, wakeup: pool.submit(app.work, account, wakeup)
        dispatcher = Dispatcher(app, concurrency=4)
        dispatcher.start()
        try:
            queries = app.queries("default")

            def ends(job: str, state: State) -> bool:
                found = queries.show(Target(simulator.project, job))
                return found is not None and found.state is state

            wait_until(lambda: ends("job-00001", State.DELETED), what="a retry, and a rescue")
            wait_until(lambda: ends("job-00009", State.DELETED), what="a grace that is over")
            wait_until(lambda: ends("job-00002", State.DEAD), what="a dead letter")
        finally:
            app.stopping.set()
            dispatcher.stop()
            pool.shutdown()

        assert command("status").code == 0
        assert command("dead", "groups").code == 0
        assert command("show", "job-00002").code == 0
        exposed = command("metrics")
        assert exposed.code == 0
        assert "avatar_eraser_up 1.0" in exposed.out
        assert "avatar_eraser_redis_memory_bytes " not in exposed.out, "it cannot be known"
        assert command("dead", "replay", "job-00002", "--reason", "T-2").code == 0
        assert command("receipts", "export").code == 0
        found = {line["check"]: line for line in command("doctor", "--json").json}
        assert found["redis commands"]["verdict"] == "ok"
        assert found["redis version"]["verdict"] == "warning"


def test_doctor_names_what_is_refused(redis_url: str, command: Command) -> None:
    for address in user(redis_url, [*CAREFUL, "-xadd", "-zrangebyscore"]):
        ended = command("doctor", "--json", ERASER_REDIS_URL=address)
        assert ended.code == 1
        (line,) = [json.loads(line) for line in ended.out.splitlines() if '"redis commands"' in line]
        assert line["verdict"] == "wrong"
        assert line["found"] == "refused: XADD, ZRANGEBYSCORE"
        assert line["todo"] == "allow: +xadd +zrangebyscore"


def test_doctor_asks_about_the_keys_of_its_own_namespace(redis_url: str, command: Command) -> None:
    for address in user(redis_url, [*CAREFUL, "resetkeys", "~prod:*"]):
        for namespace, verdict in (("prod", "ok"), ("eraser", "wrong")):
            ended = command("doctor", "--json", "--offline", ERASER_REDIS_URL=address, ERASER_NAMESPACE=namespace)
            found = {line["check"]: line["verdict"] for line in ended.json}
            assert found["redis commands"] == verdict


def has_own(check: str) -> str:
    """A clock for tests, on a server whose check of rights is this one."""
    return (
        f"{CLOCK}\neach_call(function() raw = setmetatable({{ acl_check_cmd = {check} }}, {{ __index = raw }}) end)\n"
    )


BEFORE_REDIS_7, UNAWARE = has_own("false"), has_own("function() return true end")


@pytest.mark.parametrize(
    ("functions_at", "clock"),
    [(0.0, CLOCK), (math.inf, CLOCK), (math.inf, BEFORE_REDIS_7)],
    ids=["as functions", "as scripts", "before Redis 7"],
)
def test_without_the_right_to_add_receipts_nothing_ends_and_with_it_again_it_ends_with_its_receipt(
    client: redis.Redis, few: str, functions_at: float, clock: str
) -> None:
    bench = Bench(connect(few))
    bench.ledger._functions_at, bench.ledger.clock = functions_at, clock
    bench.open()
    bench.request("a", "b")
    lease = bench.take()
    before = bench.record("a")
    client.execute_command("ACL", "SETUSER", "few", "-xadd")
    with pytest.raises(Unreachable, match=r"lacks permissions \(.*xadd"):
        bench.settle(lease)
    with pytest.raises(Unreachable, match=r"lacks permissions \(.*xadd"):
        bench.ledger.cancel([Target(PROJECT, "b")], why="T-1")
    assert (bench.record("a"), bench.state("b")) == (before, "pending")
    client.execute_command("ACL", "SETUSER", "few", "+xadd")
    assert bench.settle(lease) == "deleted"
    assert bench.ledger.cancel([Target(PROJECT, "b")], why="T-1") == [(Target(PROJECT, "b"), "cancelled")]
    entries: Any = client.xrange(f"{bench.p}receipts")
    assert [fields[b"s"] for _, fields in entries] == [b"deleted", b"cancelled"]
    Bench(client).check_invariant()


def contents(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.scan_iter()}


@pytest.mark.parametrize("functions_at", [0.0, math.inf], ids=["as functions", "as scripts"])
def test_a_user_who_lacks_one_command_of_a_move_changes_nothing(
    client: redis.Redis, few: str, functions_at: float
) -> None:
    bench = Bench(connect(few))
    bench.open()
    bench.request("a")
    bench.settle(bench.take(), "pending", wait="retry", delay_s=1.0)
    bench.pass_time(2)
    lease = bench.take()
    before = contents(client)
    for name in sorted(load("take").commands):
        client.execute_command("ACL", "SETUSER", "few", f"-{name.lower()}")
        with connect(few) as new:
            other = copy.copy(bench)
            other.ledger = Ledger(new, "default", POLICY, clock=CLOCK, clocks=bench.clocks, patience_s=0)
            other.ledger._functions_at = functions_at
            with pytest.raises(Unreachable, match=rf"lacks permissions \(.*\+{name.lower()}\b"):
                other.settle(lease)
        assert contents(client) == before, name
        client.execute_command("ACL", "SETUSER", "few", f"+{name.lower()}")
    assert bench.settle(lease) == "deleted"


def test_receipts_that_may_not_be_added_to_are_not_put_aside(client: redis.Redis, few: str) -> None:
    """Where the server cannot say so before: only what nothing can follow is put aside."""
    bench = Bench(connect(few))
    bench.ledger.clock, bench.ledger.patience_s = UNAWARE, 0
    bench.open()
    bench.request("a", "b")
    bench.settle(bench.take())
    lease = bench.take()
    client.execute_command("ACL", "SETUSER", "few", "-xadd")
    with pytest.raises(Unreachable, match=r"lacks permissions \(.*xadd"):
        bench.settle(lease)
    assert client.xlen(f"{bench.p}receipts") == 1
    assert not client.keys(f"{bench.p}aside:*")


def test_the_docs_say_what_a_user_needs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert " ".join(BARE) in " ".join(text.split())
