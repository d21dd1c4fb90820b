"""An executor at work: a real ledger, the real client, and the simulator as MetaStudio."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
import redis

from tests.support.cut_off import bring_back, cut_off
from tests.support.waiting import unless_it_stalls, wait_until
from worker.config.clock import SteadyClock
from worker.execution.executor import MARGIN_S, Executor
from worker.execution.key_budget import KeyBudget
from worker.ledger.deletions import Ledger, connect
from worker.ledger.keys import OURS
from worker.ledger.queries import Queries
from worker.ledger.types import DeletionRequest, GatePolicy, TakeResult
from worker.lookups.sightings import Sightings
from worker.metastudio.client import Client
from worker.metastudio.credentials import Credentials
from worker.metastudio.response import Listing, Response
from worker.metastudio.server_clock import ServerClock
from worker.model.errors import SettingsError, Unreachable
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.backoff import Backoff
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator

# The ledger's clock is Redis's, but tests may put it ahead: nobody waits for a retry.
CLOCK = """
local function redis_time()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000 + tonumber(redis.call('GET', 'test:ahead') or '0')
end
"""
CALL_DEADLINE_S = 60.0
SHORT_S = 1.0  # a deadline that tests wait for; the others never do
LEASE_S = 300.0
BUDGET_S = 60.0  # an executor of these tests ends because there is nothing left to do
POLICY = GatePolicy(interval=1.0, lease=LEASE_S * 1000, look_interval=1.0)
SCHEDULE = Backoff(retry=(10.0, 30.0, 60.0), not_deletable=(60.0, 600.0))


@dataclass
class Key:
    """Where the client finds its credentials, and the executor its key."""

    credentials: Credentials = field(default_factory=lambda: Credentials(DEMO_AK, DEMO_SK))

    def current(self) -> Credentials:
        return self.credentials

    def fingerprint(self) -> str:
        return self.credentials.fingerprint


@dataclass
class Wire:
    """The client as an executor sees it; tests look over its shoulder or cut it."""

    client: Client
    on_delete: Callable[[], None] = lambda: None  # before it is sent
    after_delete: Callable[[], None] = lambda: None  # once it is answered
    on_ask: Callable[[], None] = lambda: None  # before it is asked
    after_ask: Callable[[], None] = lambda: None  # once it is answered
    on_ready: Callable[[], None] = lambda: None  # while a token would be fetched
    no_token: Response | None = None

    def delete(self, target: Target, **how: Any) -> Response:
        self.on_delete()
        response = self.client.delete(target, **how)
        self.after_delete()
        return response

    def ask(self, *about: Any, **how: Any) -> Listing:
        self.on_ask()
        listing = self.client.ask(*about, **how)
        self.after_ask()
        return listing

    def ready(self, project_id: str) -> Response | None:
        self.on_ready()
        return self.no_token

    def note_time(self, now: datetime, ago_s: float) -> None:
        self.client.note_time(now, ago_s)

    def renew(self, refused: Response) -> bool:
        return False  # a key, not a token


@dataclass
class Shop:
    """Everything an executor needs, and short names for what tests ask."""

    simulator: Simulator
    redis: redis.Redis
    key: Key = field(default_factory=Key)
    wakeups: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    sightings: Sightings = field(default_factory=Sightings)

    def __post_init__(self) -> None:
        self.ahead_s = 0.0
        self.sightings.clock = lambda: time.monotonic() + self.ahead_s
        self.with_policy()
        self.client = Client(
            endpoint=self.simulator.url,
            credentials=self.key,
            connect_timeout_s=10,
            read_timeout_s=CALL_DEADLINE_S,
            call_deadline_s=CALL_DEADLINE_S,
            watch=KeyBudget(lambda: self.redis, OURS, holder="w1", clock=CLOCK, clocks=self.clocks).of("default"),
        )
        self.wire = Wire(self.client)

    def executor(self, **changed: Any) -> Executor:
        wired: dict[str, Any] = {
            "ledger": self.ledger,
            "remote": self.wire,
            "key": self.key.fingerprint,
            "schedule": SCHEDULE,
            "worker": "w1",
            "call_deadline_s": CALL_DEADLINE_S,
            "budget_s": BUDGET_S,
            "notify": self.wakeups.append,
            "stopping": self.stopping,
            "random": lambda: 0.0,
            "sightings": self.sightings,
        }
        return Executor(**wired | changed)

    def with_policy(self, **changed: Any) -> None:
        policy = replace(POLICY, **changed)
        self.ledger = Ledger(self.redis, "default", policy, clock=CLOCK, clocks=self.clocks, patience_s=0.2)

    def give_up_soon(self) -> None:
        """The next DELETE ends at a short deadline, whatever comes after it does not."""
        self.client._call_deadline_s = SHORT_S
        self.wire.after_delete = lambda: setattr(self.client, "_call_deadline_s", CALL_DEADLINE_S)

    def request(self, *jobs: str, **claim: Any) -> None:
        self.ledger.request([Target(DEMO_PROJECT, job) for job in jobs], DeletionRequest(**{"lane": Lane.BULK} | claim))

    def work(self, *, ahead_s: float = 0.0, **changed: Any) -> TakeResult:
        self.pass_time(ahead_s)
        return self.executor(**changed).work()

    def clocks(self) -> tuple[float, ...]:
        return (time.time() + float(self.redis.get("test:ahead") or 0) / 1000,)  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        """All clocks: what was seen before is no longer near."""
        self.ahead_s += seconds
        self.redis.incrbyfloat("test:ahead", seconds * 1000)

    def trust_the_key(self) -> None:
        """As if the key had been answered before: no probe."""
        self.redis.hset(self.ledger.prefix + "gate", f"good:{self.key.fingerprint()}", "1")

    # -- reading ----------------------------------------------------------------------------------------------------

    def record(self, job: str) -> dict[str, str]:
        raw: Any = self.redis.hgetall(f"{self.ledger.prefix}d:{DEMO_PROJECT}/{job}")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def ends(self, job: str) -> str:
        """How it stands: state, and cause, evidence or what it waits for."""
        record = self.record(job)
        parts = (record.get(name) for name in ("state", "cause", "evidence", "wait"))
        return " ".join(part for part in parts if part)

    def attempts(self, job: str) -> list[dict[str, Any]]:
        lines = self.record(job).get("log", "").split("\n")
        return [json.loads(line.split(" ", 4)[4]) for line in lines if line.startswith("A ")]

    def gate(self) -> dict[str, str]:
        raw: Any = self.redis.hgetall(self.ledger.prefix + "gate")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def closures(self) -> list[tuple[str, str, str]]:
        """What is closed: scope, name and cause."""
        found = Queries(self.redis, "default", rate=10.0).gate().closures
        return [(one.scope, one.name, one.cause) for one in found]

    def everything_stored(self) -> str:
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"string": self.redis.get,
            b"hash": self.redis.hgetall,
            b"zset": lambda name: self.redis.zrange(name, 0, -1),
            b"set": self.redis.smembers,
            b"stream": self.redis.xrange,
        }
        return "\n".join(f"{name!r} {readers[self.redis.type(name)](name)!r}" for name in self.redis.scan_iter("*"))

    def calls(self) -> list[str]:
        """What the simulator was asked: `list`, `list <job>` or `delete <job>`."""
        return [f"{call['operation']} {call['job_id'] or ''}".strip() for call in self.simulator.calls()]


@pytest.fixture
def shop(simulator: Simulator, redis_url: str) -> Iterator[Shop]:
    shop = Shop(simulator, connect(redis_url))
    yield shop
    bring_back(shop.redis)
    shop.client.close()
    assert simulator.stats()["max_overlap"] <= 1, "two calls of one job were under way at once"


# -- the ordinary way --------------------------------------------------------------------------------------------------


def test_a_new_key_tries_itself_with_one_harmless_get(shop: Shop) -> None:
    shop.simulator.fill(3)
    shop.request("job-00001", "job-00002", "job-00003")
    turn = shop.work()
    assert turn.lease is None
    assert shop.calls() == ["list", "delete job-00001", "delete job-00002", "delete job-00003"]
    assert [shop.ends(f"job-0000{n}") for n in (1, 2, 3)] == ["deleted"] * 3


def quotas(shop: Shop) -> list[tuple[str, str, int, int]]:
    found = Queries(shop.redis, "default", rate=10.0).gate().quotas
    return [(one.family, one.scope, one.limit, one.period_s) for one in found]


def test_a_probe_learns_the_gateway_s_limit_and_changes_no_pace(shop: Shop) -> None:
    shop.simulator.set_limits(get_per_s=4, delete_per_s=100)
    shop.simulator.fill(3)
    shop.request("job-00001", "job-00002", "job-00003")
    shop.work()
    assert quotas(shop) == [("job_read", "api", 4, 1)], "no ordinary DELETE asks"
    assert Queries(shop.redis, "default", rate=10.0).gate().rate >= 9.85
    assert [shop.ends(f"job-0000{n}") for n in (1, 2, 3)] == ["deleted"] * 3


def test_a_delete_that_tries_a_closed_gate_learns_the_limit_of_deletes(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.set_limits(delete_per_s=50)
    shop.simulator.fill(6)
    shop.request(*(f"job-0000{n}" for n in range(1, 7)))
    shop.simulator.outage("500")
    shop.work()
    assert ("account", "default", "outage") in shop.closures()
    assert quotas(shop) == []
    shop.simulator.outage(None)
    shop.work(ahead_s=11)
    assert quotas(shop) == [("job_delete", "api", 50, 1)]


GARBLED = ["remain:9,limit:0,time:1 second", "x-security-token:abc", "remain:9,limit:10,time:1 second;drop", '{"at":1}']


@pytest.mark.parametrize("text", GARBLED)
def test_a_limit_that_cannot_be_read_is_not_kept(shop: Shop, text: str) -> None:
    shop.simulator.set_limits(quota=text)
    shop.simulator.fill(1)
    shop.request("job-00001")
    shop.work()
    assert shop.calls() == ["list", "delete job-00001"]
    assert text not in shop.everything_stored()
    assert quotas(shop) == []


def test_an_empty_ledger_ends_an_executor_at_once(shop: Shop) -> None:
    turn = shop.work()
    assert (turn.lease, turn.wait_s, turn.next_ms) == (None, None, None)
    assert shop.calls() == []


def test_the_app_user_goes_with_the_call_and_is_forgotten_with_the_end(shop: Shop) -> None:
    shop.simulator.add_job("a", app_user_id="u-17")
    shop.request("a", app_user="u-17")
    shop.work()
    assert {call["app_user"] for call in shop.simulator.calls() if call["operation"] == "delete"} == {"u-17"}
    assert "u-17" not in str(shop.record("a"))


# -- absence -----------------------------------------------------------------------------------------------------------

ABSENT_ANSWERS = ["400", "404", "500"]
BETWEEN = ["list a", "list", "list a", "list"]  # absent; and once more, between two control questions
KNOWN = ["list", "list a", "list"]  # the same where an absence was to be expected


@pytest.fixture(params=ABSENT_ANSWERS)
def absent(request: pytest.FixtureRequest, shop: Shop) -> str:
    """What the simulator answers to the DELETE of a job that is not there; no document says it."""
    shop.simulator.set_answers(absent=request.param)
    shop.simulator.add_job("somebody-s")
    shop.trust_the_key()
    return str(request.param)


def test_a_job_whose_answer_was_lost_is_asked_for_once_and_gone_after_our_call(shop: Shop, absent: str) -> None:
    shop.simulator.add_job("a")
    shop.simulator.fault("reset", "a", deletes=True)
    shop.request("a")
    shop.work()
    assert shop.ends("a") == "pending retry"
    assert shop.record("a")["unk"] == "1"
    shop.work(ahead_s=11)
    assert shop.ends("a") == "gone after_our_call"
    assert shop.calls() == ["delete a", "delete a", *BETWEEN]


def test_a_job_that_never_was_is_looked_for_twice_before_it_is_gone(shop: Shop, absent: str) -> None:
    shop.request("a")
    shop.work()
    if absent == "500":  # the server claims a failure of its own: whether it deleted is not known
        shop.work(ahead_s=11)
        assert shop.ends("a") == "gone after_our_call"
        assert shop.calls() == ["delete a", "delete a", *BETWEEN]
        return
    assert shop.ends("a") == "pending retry"
    shop.work(ahead_s=30)
    assert shop.calls() == ["delete a", *BETWEEN], "not before a minute"
    shop.work(ahead_s=31)
    assert shop.ends("a") == "gone never_seen"
    assert shop.calls() == ["delete a", *BETWEEN, *KNOWN], "a look needs no second DELETE"


def test_two_absences_share_the_control_question_between_them(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("somebody-s")
    shop.request("a", "b", "c")
    shop.work()
    later = [call for job in ("b", "c") for call in (f"delete {job}", f"list {job}", "list")]
    assert shop.calls() == ["delete a", *BETWEEN, *later]


@pytest.mark.parametrize("response", ["400", "404"])
def test_a_job_that_was_seen_and_is_gone_was_seen_before(shop: Shop, response: str) -> None:
    shop.simulator.set_answers(absent=response, not_deletable=response)
    shop.simulator.add_job("somebody-s")
    shop.simulator.add_job("a", "TRAINING")
    shop.request("a")
    shop.work()
    assert shop.ends("a") == "pending not_deletable_yet"
    shop.simulator.move_job("a", "JOB_SUCCESS")
    assert shop.client.delete(Target(DEMO_PROJECT, "a")).status == 200, "somebody else deletes it"
    shop.work(ahead_s=61)
    assert shop.ends("a") == "gone seen_before"


def test_what_a_look_saw_is_known_when_the_delete_after_it_finds_nothing(shop: Shop) -> None:
    shop.simulator.add_job("somebody-s")
    shop.request("a")
    shop.work()
    shop.simulator.add_job("a", asset_id="asset-1")
    shop.wire.on_delete = lambda: shop.client.delete(Target(DEMO_PROJECT, "a")) and None
    shop.work(ahead_s=61)
    assert shop.ends("a") == "gone seen_before"
    assert shop.record("a")["asset"] == "asset-1"


def test_a_question_that_was_never_answered_is_no_absence(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("somebody-s")
    shop.simulator.fault("error", "a", method="GET", times=2)
    shop.request("a")
    shop.work()
    shop.work(ahead_s=11)
    shop.work(ahead_s=31)
    assert shop.calls() == ["delete a", "list a", "list a", *BETWEEN]
    assert shop.ends("a") == "pending retry", "absent for the first time: not yet gone"
    shop.work(ahead_s=61)
    assert shop.ends("a") == "gone never_seen"


# -- states that forbid it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["400", "404", "500"])
def test_a_job_in_training_waits_and_is_deleted_once_its_state_allows(shop: Shop, response: str) -> None:
    shop.simulator.set_answers(not_deletable=response)
    shop.simulator.add_job("a", "TRAINING")
    shop.request("a")
    shop.work()
    if response == "500":
        assert shop.ends("a") == "pending retry"
        shop.work(ahead_s=11)
    assert shop.ends("a") == "pending not_deletable_yet"
    shop.work(ahead_s=61)
    shop.simulator.move_job("a", "JOB_SUCCESS")
    shop.work(ahead_s=500)
    assert shop.ends("a") == "pending not_deletable_yet", "the second wait is longer"
    assert shop.record("a").get("used", "0") == ("1" if response == "500" else "0")
    shop.work(ahead_s=101)
    assert shop.ends("a") == "deleted"


# -- trouble -----------------------------------------------------------------------------------------------------------

TROUBLES = {
    "slow": ({"seconds": 0.1}, "deleted", 1),
    "drip_headers": ({"seconds": 0.1}, "gone after_our_call", 2),
    "drip_body": ({"seconds": 0.1}, "gone after_our_call", 1),
    "reset": ({}, "deleted", 2),
    "close": ({}, "deleted", 2),
    "garbage": ({}, "deleted", 2),
    "hang": ({}, "deleted", 2),
    "error": ({}, "deleted", 2),
    "html": ({}, "deleted", 2),
    "redirect": ({}, "deleted", 2),
    "error_in_200": ({}, "deleted", 2),
    "truncated": ({}, "deleted", 2),
    "throttled": ({}, "deleted", 2),
    "forbidden": ({}, "deleted", 2),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_one_call_that_goes_wrong_ends_well(shop: Shop, kind: str) -> None:
    fields, ends, deletes = TROUBLES[kind]
    shop.simulator.add_job("somebody-s")
    shop.simulator.add_job("a")
    shop.simulator.fault(kind, "a", **fields)
    shop.trust_the_key()
    if kind in ("hang", "drip_headers", "drip_body"):
        shop.give_up_soon()
    shop.request("a")
    shop.work()
    shop.work(ahead_s=11)
    assert shop.ends("a") == ends
    assert len(shop.attempts("a")) == deletes
    assert shop.simulator.job_ids() == ["somebody-s"]


def test_a_job_of_a_project_that_is_not_the_keys_does_not_stand_before_all_others(shop: Shop) -> None:
    shop.trust_the_key()
    shop.ledger.request([Target("somebody-s", "x")], DeletionRequest(lane=Lane.USER))
    for minute in range(20):
        shop.simulator.add_job(f"j{minute}")
        shop.request(f"j{minute}", lane=Lane.USER)
        shop.work(ahead_s=61, schedule=Backoff((10.0, 30.0, 120.0, 300.0, 900.0), (60.0,)))
    calls = [call for call in shop.simulator.calls() if call["operation"] == "delete" and call["job_id"] == "x"]
    assert 1 <= len(calls) <= 5
    assert shop.simulator.job_ids() == []


def test_what_always_fails_is_dead_after_its_attempts_and_the_others_are_not(shop: Shop) -> None:
    shop.simulator.add_job("a")
    shop.simulator.add_job("b")
    shop.simulator.fault("error", "a", times=None)
    shop.request("a", "b")
    for _ in range(SCHEDULE.attempts):
        shop.work(ahead_s=61)
    assert shop.ends("a") == "dead server_error"
    assert len(shop.attempts("a")) == SCHEDULE.attempts
    assert shop.ends("b") == "deleted"


def test_a_job_that_alone_is_forbidden_is_dead_and_the_account_goes_on(shop: Shop) -> None:
    shop.simulator.add_job("a")
    shop.simulator.fault("forbidden", "a", times=None)
    shop.request("a")
    for _ in range(3):
        shop.work(ahead_s=61)
    assert shop.ends("a") == "dead refused"
    assert shop.closures() == []


def test_a_server_whose_clock_is_ahead_is_called_with_its_clock(shop: Shop) -> None:
    shop.simulator.set_clock(3600)
    shop.simulator.fill(5)
    shop.request(*(f"job-0000{n}" for n in range(1, 6)))
    shop.work()
    assert shop.simulator.job_ids() == []
    assert shop.simulator.stats()["refused_signatures"] == 1


def test_a_machine_whose_own_clock_is_wrong_is_refused_once_and_knows_what_time_it_is(shop: Shop) -> None:
    """Redis and MetaStudio agree: nothing is to be corrected but who is asked. More than five refusals lock the key."""
    shop.client.clock = ServerClock(SteadyClock(lambda: time.time() - 1800))
    shop.simulator.fill(5)
    shop.request(*(f"job-0000{n}" for n in range(1, 6)))
    shop.work()
    assert shop.simulator.job_ids() == []
    assert shop.simulator.stats()["refused_signatures"] == 1


@pytest.mark.parametrize("jump_s", [1800, -1800, 8_640_000])
def test_a_machine_whose_clock_jumps_in_mid_run_is_refused_nothing(shop: Shop, jump_s: float) -> None:
    jumped = 0.0
    shop.client.clock = ServerClock(SteadyClock(lambda: time.time() + jumped))
    shop.simulator.fill(6)
    shop.request(*(f"job-0000{n}" for n in range(1, 4)))
    shop.work()
    jumped = jump_s
    shop.request(*(f"job-0000{n}" for n in range(4, 7)))
    shop.work()
    assert shop.simulator.job_ids() == []
    assert shop.simulator.stats()["refused_signatures"] == 0


def test_one_pending_job_does_not_hammer_a_server_that_fails_its_probe(shop: Shop) -> None:
    """Fewer than five jobs never close the gate: the job itself has to wait."""
    shop.simulator.outage("500")
    shop.request("a")
    shop.work()
    shop.work()
    assert shop.calls() == ["list"]
    shop.simulator.add_job("a")
    shop.simulator.outage(None)
    shop.work(ahead_s=11)
    assert shop.ends("a") == "deleted"


def test_one_job_that_is_always_throttled_slows_nobody_down(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.simulator.fault("throttled", "a", times=None)
    shop.request("a")
    for _ in range(8):
        shop.work(ahead_s=61)
    assert len(shop.attempts("a")) == 8
    assert "used" not in shop.record("a")
    assert "slow" not in shop.gate()
    assert "throttled_until" not in shop.gate()


# -- lookups -----------------------------------------------------------------------------------------------------------


def test_lookups_keep_their_own_pace_and_what_was_not_asked_teaches_nothing(shop: Shop) -> None:
    shop.with_policy(look_interval=60_000)
    shop.trust_the_key()
    jobs = [f"gone-{n}" for n in range(7)]
    shop.request(*jobs)
    shop.work()
    assert [call for call in shop.calls() if call.startswith("list")] == ["list gone-0"]
    assert len(shop.calls()) == 8
    assert "failing" not in shop.gate()
    assert shop.closures() == []
    assert {shop.ends(job) for job in jobs} == {"pending retry"}


def test_a_stopping_executor_asks_no_question_that_has_to_wait(shop: Shop) -> None:
    def stop_while_two_are_called() -> None:
        shop.redis.flushall()
        shop.stopping.clear()
        shop.with_policy(look_interval=1_900)  # nearly as long as an executor would wait
        shop.trust_the_key()
        before = len(shop.calls())
        one, other = f"a-{before}", f"b-{before}"
        shop.request(one, other)
        shop.wire.on_delete = lambda: shop.stopping.set() if f"list {one}" in shop.calls() else None
        shop.work()
        assert shop.calls()[before:] == [f"delete {one}", f"list {one}", "list", f"delete {other}"]
        assert shop.attempts(other)[0]["status"] == 400, "its answer is kept"

    unless_it_stalls(1.5, stop_while_two_are_called)


def test_an_executor_uses_the_slot_it_waited_for_though_its_seconds_are_over(shop: Shop) -> None:
    """Nobody else comes for it: three executors that began together ended together, and a slot was lost each time."""
    shop.with_policy(interval=200)
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.request("a")
    shop.redis.hset(f"{shop.ledger.prefix}gate", "slot", str(time.time() * 1000 + 500))
    shop.work(budget_s=0.25)
    assert shop.ends("a") == "deleted"


# -- leases ------------------------------------------------------------------------------------------------------------


def test_a_lease_that_does_not_cover_the_call_is_given_back(shop: Shop) -> None:
    shop.with_policy(lease=(CALL_DEADLINE_S + MARGIN_S) * 1000 - 1)
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.request("a")
    shop.work(budget_s=0.05)
    assert shop.calls() == []
    assert shop.ends("a") == "pending turn"
    assert shop.attempts("a") == []
    assert "unk" not in shop.record("a")


def test_a_look_may_take_as_long_as_it_likes_the_lease_begins_anew_before_the_call(shop: Shop) -> None:
    """At the shortest lease, or with lists that took a while, whatever needed a look was looked at for ever."""
    shop.with_policy(lease=(CALL_DEADLINE_S + MARGIN_S + SHORT_S) * 1000)
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.simulator.fault("slow", method="GET", seconds=SHORT_S + 0.1)
    shop.request("a")
    shop.redis.hset(f"{shop.ledger.prefix}d:{DEMO_PROJECT}/a", "look", "1")
    shop.work()
    assert shop.calls() == ["list a", "delete a"]
    assert shop.ends("a") == "deleted"


def test_a_question_after_a_slow_answer_is_asked_under_a_lease_that_begins_anew(shop: Shop) -> None:
    """It was not asked, and a job that was not there was looked at again and again without an end."""
    shop.with_policy(lease=(CALL_DEADLINE_S + MARGIN_S + SHORT_S) * 1000)
    shop.trust_the_key()
    shop.simulator.add_job("somebody-s")
    shop.simulator.fault("slow", "a", seconds=SHORT_S + 0.1)
    shop.request("a")
    shop.work()
    assert shop.calls()[:2] == ["delete a", "list a"]
    shop.simulator.fault("slow", "a", method="GET", seconds=SHORT_S + 0.1)
    shop.work(ahead_s=61)
    assert shop.ends("a") == "gone never_seen"


def test_a_lease_that_somebody_else_has_by_now_does_not_begin_anew(shop: Shop) -> None:
    shop.trust_the_key()
    shop.request("a")
    lease = shop.ledger.take(worker="w1", key=shop.key.fingerprint()).lease
    assert lease is not None
    assert shop.ledger.renew(lease)
    shop.pass_time(LEASE_S + 1)
    shop.ledger.rescue(alive=["w1"], counts=True)
    assert not shop.ledger.renew(lease)


def test_a_late_200_of_an_executor_whose_lease_was_rescued_wins(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("a")
    rescued = threading.Event()
    shop.wire.after_delete = lambda: rescued.wait(CALL_DEADLINE_S) and None
    shop.request("a")
    slow = threading.Thread(target=shop.work)
    slow.start()
    wait_until(lambda: shop.calls() == ["delete a"])
    shop.pass_time(LEASE_S + 1)
    assert shop.ledger.rescue(alive=["w1"], counts=True)[0] == [(Target(DEMO_PROJECT, "a"), "pending")]
    rescued.set()
    slow.join()
    assert shop.ends("a") == "deleted"
    assert '"late":true' in shop.record("a")["log"]


def test_a_late_failure_changes_nothing_and_is_told_apart(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.simulator.fault("error", "a")
    rescued = threading.Event()
    shop.wire.after_delete = lambda: rescued.wait(CALL_DEADLINE_S) and None
    shop.request("a")
    with caplog.at_level(logging.INFO, "worker.execution"):
        slow = threading.Thread(target=shop.work)
        slow.start()
        wait_until(lambda: shop.calls() == ["delete a"])
        shop.pass_time(LEASE_S + 1)
        shop.ledger.rescue(alive=["w1"], counts=True)
        rescued.set()
        slow.join()
    assert "deletion.stale_result" in [line.message for line in caplog.records]
    assert shop.record("a").get("used") is None or shop.ends("a") == "deleted"


def test_a_stopping_worker_takes_nothing(shop: Shop) -> None:
    shop.simulator.add_job("a")
    shop.request("a")
    shop.stopping.set()
    turn = shop.work()
    assert turn.lease is None
    assert shop.calls() == []


def test_a_worker_that_stops_settles_the_call_under_way_and_calls_another_hand(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.fill(2)
    shop.request("job-00001", "job-00002")
    shop.wire.on_delete = shop.stopping.set
    shop.work()
    assert shop.ends("job-00001") == "deleted"
    assert shop.ends("job-00002") == "pending"
    assert shop.wakeups, "the rest is somebody else's"


# -- Redis away --------------------------------------------------------------------------------------------------------


def back_after_some_tries(shop: Shop) -> threading.Thread:
    """Cut Redis off now; it comes back once the executor has tried to reach it for a while."""
    cut_off(shop.redis)
    back = threading.Timer(0.4, bring_back, [shop.redis])
    back.start()
    return back


def test_an_answer_outlives_an_outage_of_redis(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.request("a")
    away: list[threading.Thread] = []
    shop.wire.after_delete = lambda: away.append(back_after_some_tries(shop))
    shop.work()
    assert away
    assert shop.ends("a") == "deleted"
    assert shop.calls() == ["delete a"]
    assert [attempt["status"] for attempt in shop.attempts("a")] == [200]


def test_an_answer_outlives_a_redis_that_is_away_when_it_has_to_be_explained(shop: Shop) -> None:
    """Found by reading: it was given back as if nothing had been sent, and an unknown outcome was forgotten."""
    shop.trust_the_key()
    shop.simulator.add_job("somebody-s")
    shop.simulator.add_job("a")
    shop.simulator.fault("error_in_200", "a", deletes=True)
    shop.request("a")
    shop.wire.after_delete = lambda: back_after_some_tries(shop) and None
    shop.work()
    assert shop.calls() == ["delete a"]
    assert [attempt["status"] for attempt in shop.attempts("a")] == [200]
    assert shop.record("a")["unk"] == "1"
    shop.wire.after_delete = lambda: None
    shop.work(ahead_s=11)
    assert shop.ends("a") == "gone after_our_call"


def test_an_executor_without_anything_to_record_says_that_redis_is_away(shop: Shop) -> None:
    cut_off(shop.redis)
    with pytest.raises(Unreachable, match="Redis does not answer"):
        shop.executor().work()


# -- faults of ours ----------------------------------------------------------------------------------------------------


def broken() -> None:
    raise ZeroDivisionError("a fault of ours")


def test_a_fault_of_ours_around_a_delete_is_a_failed_attempt_of_unknown_outcome(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("somebody-s")
    shop.simulator.add_job("a")
    shop.request("a")
    shop.wire.after_delete = broken
    shop.work()
    assert shop.ends("a") == "pending retry"
    assert shop.record("a")["used"] == "1"
    assert shop.attempts("a")[0]["message"] == "internal error: ZeroDivisionError"
    shop.wire.after_delete = lambda: None
    shop.work(ahead_s=11)
    assert shop.ends("a") == "gone after_our_call"


def test_a_fault_of_ours_before_the_delete_leaves_no_doubt_that_nothing_was_sent(shop: Shop) -> None:
    shop.trust_the_key()
    shop.request("a")
    shop.redis.hset(f"{shop.ledger.prefix}d:{DEMO_PROJECT}/a", "look", "1")
    shop.wire.on_ask = broken
    shop.work()
    assert shop.ends("a") == "pending retry"
    assert shop.record("a")["used"] == "1"
    assert "unk" not in shop.record("a"), "an absence later on would be taken for our deletion"


def test_a_fault_of_ours_in_a_question_keeps_the_answer_before_it(shop: Shop) -> None:
    shop.trust_the_key()
    shop.request("a")
    shop.wire.on_ask = broken
    shop.work()
    assert shop.ends("a") == "pending retry"
    assert [attempt["status"] for attempt in shop.attempts("a")] == [400]
    assert "unk" not in shop.record("a"), "the server said no: nothing is unknown"


def test_a_fault_of_ours_that_stays_ends_in_a_dead_letter(shop: Shop) -> None:
    shop.trust_the_key()
    shop.request("a")
    shop.wire.on_delete = broken
    for _ in range(SCHEDULE.attempts):
        shop.work(ahead_s=61)
    assert shop.ends("a") == "dead server_error"
    assert shop.calls() == []


def no_credential() -> str:
    raise SettingsError("HUAWEICLOUD_SDK_AK", "not set")


def test_a_credential_that_vanishes_after_the_call_loses_no_answer(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.fill(2)
    shop.request("job-00001", "job-00002")
    keys = iter([shop.key.fingerprint])
    with pytest.raises(SettingsError):
        shop.work(key=lambda: next(keys, no_credential)())
    assert shop.ends("job-00001") == "deleted"
    assert shop.ends("job-00002") == "pending"
    assert len(shop.wakeups) <= 1, "one with the lease, but none at the end: another hand has no credential either"


def test_a_credential_that_cannot_be_read_for_the_call_puts_it_off_without_an_attempt(shop: Shop) -> None:
    shop.trust_the_key()
    shop.simulator.add_job("a")
    shop.request("a")
    shop.wire.on_delete = no_credential  # type: ignore[assignment]
    shop.work()
    assert shop.ends("a") == "pending turn"
    assert shop.attempts("a") == []
    shop.wire.on_delete = lambda: None
    shop.work()
    assert shop.calls() == [], "not at once: it would be tried as fast as Redis answers"
    shop.work(ahead_s=11)
    assert shop.ends("a") == "deleted"


# -- what leaves -------------------------------------------------------------------------------------------------------


def test_no_key_and_nothing_personal_reaches_redis_or_a_log(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    secret = "SECRET-canary-0123456789"
    shop.simulator.set_credential("AKCANARY0123456789", secret)
    shop.key.credentials = Credentials("AKCANARY0123456789", secret)
    shop.simulator.add_job("a", "TRAINING", name="name-canary", app_user_id="user-canary")
    shop.simulator.add_job("b")
    shop.simulator.fault("error_in_200", "b", times=None)
    shop.request("a", "b", "c", app_user="user-canary")
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            shop.work(ahead_s=61)
        shop.key.credentials = Credentials("AKCANARY0123456789", "another-canary-0123456789")
        shop.work(ahead_s=700)  # refused: the gateway echoes what was signed
    assert shop.closures() == [("key", shop.key.fingerprint(), "credentials")]
    logs = "\n".join(f"{line.getMessage()} {vars(line)}" for line in caplog.records if line.name.startswith("worker"))
    for canary in (*CANARIES, "AKCANARY", "canary-0123456789", "name-canary"):
        assert canary not in shop.everything_stored()
        assert canary not in logs
    assert "user-canary" not in logs
    shop.redis.delete(f"{shop.ledger.prefix}d:{DEMO_PROJECT}/a", f"{shop.ledger.prefix}d:{DEMO_PROJECT}/b")
    assert "user-canary" not in shop.everything_stored(), "the app user stands in the records of open deletions only"
