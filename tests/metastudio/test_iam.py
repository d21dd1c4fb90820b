"""Tokens of IAM: one request for all threads, renewed in time, given up in time, and shown nowhere."""

from __future__ import annotations

import contextlib
import copy
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.execution.test_executor import CLOCK
from tests.execution.test_key_budget import House, house  # noqa: F401 - a fixture
from tests.support.command import Command, Ended
from tests.support.waiting import wait_until
from worker.config import known_secrets
from worker.config.clock import elapsed
from worker.execution.executor import Executor
from worker.execution.key_budget import KeyBlocked, KeyBudget
from worker.ledger.deletions import Ledger
from worker.ledger.keys import OURS
from worker.ledger.queries import Queries
from worker.ledger.records import Gate
from worker.ledger.types import DeletionRequest, GatePolicy
from worker.metastudio.client import Client
from worker.metastudio.credentials import Watch
from worker.metastudio.exchange import Call
from worker.metastudio.iam import IamTokens
from worker.metastudio.login import Login, LoginSource
from worker.metastudio.redaction import redact
from worker.metastudio.renewing import Issued
from worker.metastudio.response import Response
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.backoff import Backoff
from worker.rules.classify import ResponseKind, classify, outcome_unknown
from worker.simulator import DEMO_DOMAIN, DEMO_PASSWORD, DEMO_USER, TOKEN_CANARY, Simulator

DAY = 24 * 3600.0
OTHER_PROJECT = "ffff768a2c8026af2f8bc00f4b0d3b7c"
SHORT_S = 0.6  # a deadline that tests wait for; the others never do
LONG_S = 60.0
NEVER_THAT_LONG = 30.0  # what hangs or drips here lasts for minutes
DEMO_LOGIN = LoginSource(DEMO_USER, DEMO_DOMAIN, environ={"ERASER_IAM_PASSWORD": DEMO_PASSWORD})
GONE = "APIGW.0307"


@dataclass
class Clock:
    """Moves when the test says so; with a pace, by itself, so many times as fast as the world."""

    now: float = 1000.0
    pace: float = 0.0

    def __call__(self) -> float:
        return self.now + time.monotonic() * self.pace


@dataclass
class Desk:
    """One process: a client with tokens, against the simulator."""

    simulator: Simulator
    clock: Clock = field(default_factory=Clock)
    login: LoginSource = DEMO_LOGIN
    chance: float = 0.0
    deadline_s: float = LONG_S
    watch: Watch | None = None

    def __post_init__(self) -> None:
        self.tokens = IamTokens(self.login, endpoint=self.simulator.url, clock=self.clock, random=lambda: self.chance)
        self.client = Client(
            endpoint=self.simulator.url,
            credentials=self.tokens,
            connect_timeout_s=10,
            read_timeout_s=self.deadline_s,
            call_deadline_s=self.deadline_s,
            watch=self.watch,
        )

    def number(self, project: str | None = None) -> int:
        """The token that a call would go out with now."""
        token = self.take(project)
        assert isinstance(token, Issued), token
        return token.use.number

    def take(self, project: str | None = None) -> Issued | Response:
        call = Call(10, self.deadline_s, elapsed() + self.deadline_s)
        return self.tokens.token(project or self.simulator.project, call)

    def list(self) -> Response:
        return self.client.list(self.simulator.project, limit=1).response

    @property
    def requests(self) -> int:
        return int(self.simulator.stats()["by_operation"].get("token", 0))

    def sent(self) -> int:
        """Calls that reached MetaStudio."""
        return len(self.simulator.calls()) - self.requests


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(jobs=60) as app:
        yield app


@pytest.fixture
def desk(simulator: Simulator) -> Iterator[Desk]:
    made = Desk(simulator)
    yield made
    made.client.close()


def together(count: int, do: Callable[[], Any]) -> list[Any]:
    """What `count` threads got that began at the same moment."""
    barrier = threading.Barrier(count)

    def begin() -> Any:
        barrier.wait()
        return do()

    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(begin) for _ in range(count)]]


# A token goes with every call


def test_calls_go_out_with_a_token_and_without_a_signature(simulator: Simulator, desk: Desk) -> None:
    assert desk.client.delete(Target(simulator.project, "job-00001")).status == 200
    assert desk.client.show(Target(simulator.project, "job-00002")).row is not None
    assert desk.client.list(simulator.project).count == 59
    calls = simulator.calls()
    assert [call["operation"] for call in calls] == ["token", "delete", "show", "list"]
    assert {call["ak"] for call in calls[1:]} == {f"iam:{DEMO_USER}"}


def test_every_project_has_a_token_of_its_own(simulator: Simulator, desk: Desk) -> None:
    simulator.set_user(DEMO_USER, DEMO_PASSWORD, projects=[simulator.project, OTHER_PROJECT])
    assert [desk.number(), desk.number(OTHER_PROJECT), desk.number(), desk.number(OTHER_PROJECT)] == [1, 2, 1, 2]
    assert desk.client.list(OTHER_PROJECT).response.status == 200


# Renewal before the end


def test_sixteen_threads_without_a_token_make_one_request(desk: Desk) -> None:
    responses = together(16, desk.list)
    assert [response.status for response in responses] == [200] * 16
    assert desk.requests == 1


def test_sixteen_threads_with_an_expired_token_make_one_request(simulator: Simulator, desk: Desk) -> None:
    desk.list()
    simulator.expire_tokens()
    desk.clock.now += DAY + 1
    assert [response.status for response in together(16, desk.list)] == [200] * 16
    assert desk.requests == 2
    assert simulator.stats()["refused_signatures"] == 0


@pytest.mark.parametrize(
    ("life", "chance", "early"), [(DAY, 1.0, 2400), (DAY, 0.0, 1200), (100.0, 1.0, 5), (100, 0, 2.5)]
)
def test_a_token_is_renewed_before_its_end_and_not_in_every_process_at_once(
    simulator: Simulator, life: float, chance: float, early: float
) -> None:
    simulator.set_token_life(life)
    desk = Desk(simulator, chance=chance)
    assert desk.number() == 1
    desk.clock.now += life - early - 0.1
    assert desk.number() == 1
    desk.clock.now += 0.2
    assert desk.number() == 2


def test_while_one_thread_renews_the_others_go_on_with_the_old_token(simulator: Simulator, desk: Desk) -> None:
    desk.number()
    desk.clock.now += DAY - 600
    simulator.fault("slow", method="TOKEN", seconds=3.0)  # far more than the lines until it is done
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(desk.number)
        wait_until(lambda: desk.requests == 2)
        assert desk.number() == 1
        assert not renewing.done()
        assert renewing.result() == 2
    assert (desk.number(), desk.requests) == (2, 2)


def test_a_renewal_that_fails_leaves_the_old_token_in_use_and_is_not_repeated_at_once(
    simulator: Simulator, desk: Desk
) -> None:
    desk.number()
    desk.clock.now += DAY - 600
    simulator.outage("503", method="TOKEN")
    assert [desk.number() for _ in range(20)] == [1] * 20
    assert desk.requests == 2
    desk.clock.now += 1.1
    assert (desk.number(), desk.requests) == (1, 3)
    simulator.outage(None)
    desk.clock.now += 2.1
    assert (desk.number(), desk.requests) == (2, 4)


def test_a_password_that_was_changed_is_not_tried_again_while_the_old_token_lives(
    simulator: Simulator, desk: Desk
) -> None:
    """No gate is told while calls go out with the old one: a try a minute would lock the user before it ends."""
    desk.number()
    simulator.set_user(DEMO_USER, "another")
    desk.clock.now += DAY - 1000
    for _ in range(10):
        assert desk.number() == 1
        desk.clock.now += 90
    assert desk.requests == 2
    simulator.set_user(DEMO_USER, DEMO_PASSWORD)
    desk.clock.now += 101
    assert (desk.number(), desk.requests) == (2, 3)


def test_a_wrong_clock_of_ours_or_theirs_plays_no_part(simulator: Simulator, desk: Desk) -> None:
    for offset in (-3 * DAY, 3 * DAY):
        simulator.set_clock(offset)
        before = desk.number()
        desk.clock.now += DAY - 2401
        assert desk.number() == before
        desk.clock.now += 2402
        assert desk.number() == before + 1


# Renewal after a refusal


def test_after_a_refusal_the_next_call_goes_out_with_a_new_token(simulator: Simulator, desk: Desk) -> None:
    desk.list()
    simulator.expire_tokens()
    refused = desk.list()
    assert (refused.status, refused.code, classify(refused)) == (401, GONE, ResponseKind.CREDENTIALS)
    assert desk.client.renew(refused)
    assert desk.list().status == 200
    assert desk.requests == 2


def test_many_refused_calls_renew_once(simulator: Simulator, desk: Desk) -> None:
    desk.list()
    simulator.expire_tokens()
    refused = together(16, desk.list)
    assert [response.code for response in refused] == [GONE] * 16
    assert desk.client.renew(refused[0])
    assert desk.list().status == 200
    assert [desk.client.renew(response) for response in refused] == [True] * 16, "each finds that it has happened"
    assert desk.list().status == 200
    assert desk.requests == 2


@pytest.mark.parametrize("code", [GONE, "MSS.00010008"])
def test_a_new_token_that_is_refused_too_settles_it(simulator: Simulator, desk: Desk, code: str) -> None:
    simulator.refuse_tokens(code)
    first = desk.list()
    assert classify(first) is ResponseKind.CREDENTIALS
    assert desk.client.renew(first)
    second = desk.list()
    assert not desk.client.renew(second)
    assert not desk.client.renew(desk.list()), "and no more tokens are asked for"
    assert desk.requests == 2
    desk.clock.now += 61
    assert desk.client.renew(desk.list()), "a minute later it is worth another one"


@pytest.mark.parametrize("processes", [1, 3])
def test_while_every_token_is_refused_new_ones_are_asked_for_ever_more_rarely(
    simulator: Simulator,
    house: House,  # noqa: F811
    processes: int,
) -> None:
    """That IAM gives a token proves its password, not that MetaStudio takes it."""
    desks = [Desk(simulator, watch=house.process(f"w{n}", f"account-{n}")) for n in range(processes)]
    assert [desk.list().status for desk in desks] == processes * [200]
    simulator.refuse_tokens()
    given, began = list[float](), house.now
    while house.now < began + 3_600_000:
        for desk in desks:
            with contextlib.suppress(KeyBlocked):
                before = desk.requests
                if (answer := desk.list()).status == 401 and desk.client.renew(answer):
                    desk.client.renew(desk.list())
                given += (desk.requests - before) * [(house.now - began) / 1000]
            desk.clock.now += 10
        house.pass_time(10)
    pauses = [after - before for before, after in pairwise(given[processes - 1 :])]
    assert [pause // 60 for pause in pauses] == [1, 5, 15, 30], given


def test_a_key_has_nothing_to_renew(simulator: Simulator) -> None:
    desk = Desk(simulator)
    assert not desk.client.renew(Response(401, None, GONE, None, None, 1))
    assert not desk.client.renew(Response(401, None, None, None, None, 1, of_iam=True))


def test_a_call_that_was_made_ready_asks_iam_for_nothing(simulator: Simulator, desk: Desk) -> None:
    assert desk.client.ready(simulator.project) is None
    desk.list()
    assert desk.requests == 1


def test_what_iam_answers_in_place_of_a_token_is_known_before_the_call(simulator: Simulator, desk: Desk) -> None:
    simulator.set_user(DEMO_USER, "another")
    refused = desk.client.ready(simulator.project)
    assert refused is not None
    assert (refused.of_iam, refused.status) == (True, 401)


# IAM refuses


def test_a_wrong_password_is_tried_once_a_minute_at_most(simulator: Simulator, desk: Desk) -> None:
    simulator.set_user(DEMO_USER, "another")
    for minute in range(1, 4):
        responses = [*together(8, desk.list), desk.list()]
        assert {(response.status, response.of_iam, classify(response)) for response in responses} == {
            (401, True, ResponseKind.CREDENTIALS)
        }
        assert desk.requests == minute
        desk.clock.now += 60.1
    assert responses[0].message == "The username or password is wrong."
    assert responses[0].code is None
    assert desk.sent() == 0


def test_a_locked_user_is_left_alone_until_its_lock_has_ended(simulator: Simulator, desk: Desk) -> None:
    simulator.set_user(DEMO_USER, "another")
    for _ in range(5):
        desk.list()
        desk.clock.now += 60.1
    locked = desk.list()
    assert (locked.code, locked.of_iam) == ("IAM.0061", True)
    desk.clock.now += 14 * 60
    assert desk.list().code == "IAM.0061"
    assert desk.requests == 6
    simulator.unlock_user(DEMO_USER)
    simulator.set_user(DEMO_USER, DEMO_PASSWORD)
    desk.clock.now += 61
    assert (desk.list().status, desk.requests) == (200, 7)


def test_a_new_password_is_tried_at_once(simulator: Simulator, tmp_path: Any) -> None:
    path = tmp_path / "password"
    path.write_text("an old one")
    now = Clock()
    login = LoginSource(DEMO_USER, DEMO_DOMAIN, environ={"ERASER_IAM_PASSWORD_FILE": str(path)}, clock=now)
    desk = Desk(simulator, login=login)
    assert desk.list().of_iam
    path.write_text(DEMO_PASSWORD)
    now.now += 2
    assert desk.list().status == 200
    path.write_text("a third one, too early")
    now.now += 2
    assert desk.list().of_iam, "the old token will die with its password"


def test_a_project_that_the_user_may_not_use_stops_no_other_project(simulator: Simulator, desk: Desk) -> None:
    refused = desk.take(OTHER_PROJECT)
    assert isinstance(refused, Response)
    assert (refused.status, classify(refused)) == (403, ResponseKind.CREDENTIALS)
    assert isinstance(desk.take(OTHER_PROJECT), Response)
    assert desk.number() == 1
    assert desk.requests == 2


def test_a_job_of_a_project_that_the_user_may_not_use_keeps_no_other_job_waiting(
    simulator: Simulator, shop: Shop
) -> None:
    shop.ledger.request([Target(OTHER_PROJECT, "job-00001")], DeletionRequest(lane=Lane.USER))
    shop.request(10)
    shop.run(lambda: shop.count("deleted") == 10, executors=2)
    assert [(one.scope, one.name) for one in shop.gate().closures] == [("project", OTHER_PROJECT)]
    assert (shop.used(), shop.count("dead")) == (0, 0)


# IAM is away

AWAY = [
    {"kind": "error", "status": 500},
    {"kind": "error", "status": 503},
    {"kind": "throttled"},
    {"kind": "html"},
    {"kind": "redirect"},
    {"kind": "error_in_200"},
    {"kind": "reset"},
    {"kind": "close"},
    {"kind": "garbage"},
    {"kind": "hang"},
    {"kind": "truncated", "status": 201},
    {"kind": "drip_headers", "seconds": 0.01},
]


@pytest.mark.parametrize("fault", AWAY, ids=[f"{fault['kind']}-{fault.get('status', '')}" for fault in AWAY])
def test_when_iam_gives_neither_a_token_nor_a_refusal_nothing_is_sent(
    simulator: Simulator, fault: dict[str, Any]
) -> None:
    desk = Desk(simulator, deadline_s=SHORT_S if fault["kind"] in ("hang", "drip_headers") else LONG_S)
    simulator.fault(method="TOKEN", **fault)
    began = time.monotonic()
    response = desk.client.delete(Target(simulator.project, "job-00001"))
    assert time.monotonic() - began < NEVER_THAT_LONG
    assert response.of_iam
    assert classify(response) is ResponseKind.FAILED
    assert not outcome_unknown(response)
    assert desk.sent() == 0
    assert desk.client.delete(Target(simulator.project, "job-00001")).of_iam, "not asked again at once"
    wait_until(lambda: desk.requests >= 1, what="the request is in the server's books")
    assert desk.requests == 1
    desk.clock.now += 1.1
    desk.client._call_deadline_s = LONG_S
    assert desk.client.delete(Target(simulator.project, "job-00001")).status == 200


def test_silences_are_followed_by_longer_and_longer_pauses(simulator: Simulator, desk: Desk) -> None:
    simulator.outage("503", method="TOKEN")
    requests: list[int] = []
    for _ in range(40):
        desk.take()
        requests.append(desk.requests)
        desk.clock.now += 1.01
    assert [requests.index(count) for count in range(1, requests[-1] + 1)] == [0, 1, 3, 7, 15, 30]


def test_retry_after_is_honoured(simulator: Simulator, desk: Desk) -> None:
    simulator.fault("throttled", method="TOKEN", retry_after_s=30)
    desk.take()
    desk.clock.now += 29
    desk.take()
    assert desk.requests == 1
    desk.clock.now += 2
    assert desk.number() == 1


def test_threads_that_wait_for_a_token_give_up_within_their_own_deadline(simulator: Simulator) -> None:
    desk = Desk(simulator, deadline_s=SHORT_S)
    simulator.fault("hang", method="TOKEN", times=None)
    began = time.monotonic()
    responses = together(8, desk.list)
    assert time.monotonic() - began < NEVER_THAT_LONG
    assert all(response.of_iam and classify(response) is ResponseKind.FAILED for response in responses)
    assert desk.requests <= 2


# Nothing shows a token or a password


def test_a_token_is_not_kept_out_of_the_log_for_ever_because_the_password_was_changed(
    simulator: Simulator, tmp_path: Path
) -> None:
    clock, password = Clock(), tmp_path / "password"
    login = LoginSource(DEMO_USER, DEMO_DOMAIN, environ={}, password_file=password, clock=clock)
    desk, given = Desk(simulator, clock=clock, login=login), []
    for n in range(5):
        password.write_text(f"password-{n}" + "\n" * n)
        simulator.set_user(DEMO_USER, f"password-{n}")
        clock.now += DAY
        token = desk.take()
        assert isinstance(token, Issued), token
        given.append(str(token.value))
    assert [value in known_secrets.known() for value in given] == [False, False, True, True, True]


def test_nothing_shows_a_token_or_a_password(
    simulator: Simulator, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = desk.take()
    simulator.expire_tokens()
    refused = desk.list()
    simulator.set_user(DEMO_USER, "another")
    assert desk.client.renew(refused)
    responses = [refused, desk.list()]
    shown = [f"{it!r} {it}" for it in (token, desk.tokens, desk.client, desk.tokens.current(), *responses)]
    shown += [str(record.__dict__) for record in caplog.records]
    for text in shown:
        assert TOKEN_CANARY not in text
        assert DEMO_PASSWORD not in text
    assert isinstance(token, Issued)
    assert redact(f"it is {token.value}") == "it is ***", "whoever logs it"
    for travel in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="never pickled"):
            travel(token)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_what_iam_repeats_of_us_is_masked(simulator: Simulator, desk: Desk, status: int) -> None:
    from worker.metastudio.exchange import Reply
    from worker.metastudio.issuer_answers import failed

    body = f'{{"error":{{"code":{status},"message":"{DEMO_USER} of {DEMO_DOMAIN} sent {DEMO_PASSWORD}"}}}}'
    response = failed(Reply(status, None, 1, {}, body.encode()), desk.tokens.current().secrets, "IAM", given=201)
    assert response.message == "*** of *** sent ***"


def test_the_fingerprint_stays_over_renewals(simulator: Simulator, desk: Desk) -> None:
    before = desk.tokens.current().fingerprint
    desk.list()
    desk.clock.now += DAY + 1
    desk.list()
    assert desk.requests == 2
    assert desk.tokens.current().fingerprint == before == Login(DEMO_USER, DEMO_PASSWORD, DEMO_DOMAIN).fingerprint


# Executors


@dataclass
class Shop:
    """Executors of one account with a real ledger; the credentials' clock runs a hundred times as fast."""

    desk: Desk
    redis: redis.Redis
    related: str = "leave"

    def __post_init__(self) -> None:
        policy = GatePolicy(interval=0.5, lease=300_000, look_interval=0.5, outage_pause=30, outage_pause_max=60)
        self.ledger = Ledger(self.redis, "default", policy, clock=CLOCK, clocks=self.clocks)
        self.budget = KeyBudget(lambda: self.redis, OURS, holder="w1", clock=CLOCK, clocks=self.clocks)
        self.desk = replace(self.desk, watch=self.budget.of("default"))
        self.stopping = threading.Event()

    def clocks(self) -> tuple[float, ...]:
        return (time.time() + float(self.redis.get("test:ahead") or 0) / 1000,)

    def pass_time(self, seconds: float) -> None:
        """By all clocks."""
        self.redis.incrbyfloat("test:ahead", seconds * 1000)

    def resume(self) -> None:
        """As `eraser resume` does."""
        for record in self.ledger.resume(why="T-9")[1]:
            self.budget.retry(record)

    def request(self, count: int) -> None:
        refs = [Target(self.desk.simulator.project, f"job-{n:05d}") for n in range(1, count + 1)]
        self.ledger.request(refs, DeletionRequest())

    def executor(self) -> Executor:
        return Executor(
            ledger=self.ledger,
            remote=self.desk.client,
            key=lambda: self.desk.tokens.current().fingerprint,
            schedule=Backoff((0.02, 0.02, 0.02), (0.02,)),
            worker="w1",
            call_deadline_s=self.desk.deadline_s,
            notify=lambda wakeup: None,
            stopping=self.stopping,
            related=self.related,
        )

    def run(self, until: Callable[[], object], executors: int = 1) -> None:
        """Let executors work until it is so."""

        def work() -> None:
            while not self.stopping.wait(0.002):
                self.executor().work()

        self.stopping.clear()
        with ThreadPoolExecutor(executors) as pool:
            working = [pool.submit(work) for _ in range(executors)]
            try:
                wait_until(until)
            finally:
                self.stopping.set()
            for each in working:
                each.result()

    def count(self, state: str) -> int:
        return int(self.redis.zcard(f"{self.ledger.prefix}{state}"))

    def gate(self) -> Gate:
        return Queries(self.redis, "default", rate=10.0).gate()

    def used(self) -> int:
        """Attempts of all deletions that were used up."""
        return sum(int(self.redis.hget(key, "used") or 0) for key in self.redis.scan_iter(f"{self.ledger.prefix}d:*"))

    def everything(self) -> str:
        """All keys and values of Redis."""
        kinds: dict[bytes, Callable[[bytes], Any]] = {
            b"hash": self.redis.hgetall,
            b"zset": lambda key: self.redis.zrange(key, 0, -1),
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"stream": self.redis.xrange,
            b"set": self.redis.smembers,
            b"string": self.redis.get,
        }
        return "".join(f"{key!r} {kinds[self.redis.type(key)](key)!r}\n" for key in self.redis.scan_iter("*"))


@pytest.fixture
def shop(simulator: Simulator, client: redis.Redis) -> Iterator[Shop]:
    desk = Desk(simulator, clock=Clock(pace=100.0))
    yield Shop(desk, client)
    desk.client.close()


@pytest.mark.parametrize("related", ["leave", "verify"])
def test_a_token_that_dies_in_mid_run_costs_nothing(
    simulator: Simulator, shop: Shop, caplog: pytest.LogCaptureFixture, related: str
) -> None:
    shop.related = related
    caplog.set_level(logging.DEBUG)
    simulator.set_latency(0.005)
    executors = 4
    shop.request(60)
    died: list[int] = []

    def so() -> bool:
        if not died and len(simulator.effects()) >= 20:
            died.append(simulator.expire_tokens())
        return shop.count("deleted") == 60

    shop.run(so, executors)
    stats = simulator.stats()
    assert died == [1]
    assert (shop.count("dead"), shop.used()) == (0, 0)
    assert 1 <= stats["refused_signatures"] <= executors + 1
    assert stats["by_operation"]["token"] == 2
    assert stats["most_effects_of_a_job"] == 1
    assert shop.gate().closures == ()
    for text in (shop.everything(), *(str(record.__dict__) for record in caplog.records)):
        assert TOKEN_CANARY not in text
        assert DEMO_PASSWORD not in text


def test_a_token_that_was_dead_before_the_first_call_opens_the_gate_all_the_same(
    simulator: Simulator, shop: Shop
) -> None:
    shop.desk.number()
    simulator.expire_tokens()
    shop.request(3)
    shop.run(lambda: shop.count("deleted") == 3)
    assert simulator.stats()["refused_signatures"] == 1, "the probe's list, which is asked again with a new token"
    assert shop.desk.requests == 2


def test_the_record_says_that_its_token_was_refused_and_no_attempt_used(simulator: Simulator, shop: Shop) -> None:
    shop.request(1)
    shop.run(lambda: shop.count("deleted") == 1)
    simulator.add_job("job-2")
    simulator.expire_tokens()
    shop.ledger.request([Target(simulator.project, "job-2")], DeletionRequest())
    shop.run(lambda: shop.count("deleted") == 2)
    stored = shop.everything()
    assert '"outcome":"credentials"' in stored
    assert shop.used() == 0
    assert [call["status"] for call in simulator.calls() if call["job_id"] == "job-2"] == [401, 200]


def test_a_wrong_password_closes_the_gate_which_says_so(simulator: Simulator, client: redis.Redis) -> None:
    desk = Desk(simulator, clock=Clock())
    shop = Shop(desk, client)
    simulator.set_user(DEMO_USER, "another")
    shop.request(10)
    shop.run(lambda: shop.gate().gate == "credentials", executors=4)
    assert shop.gate().reason == "IAM: 401 The username or password is wrong."
    pause_s = ((shop.gate().until or 0) - (shop.gate().since or 0)) / 1000
    assert pause_s >= 329, "five wrong passwords in a quarter of an hour would lock the user, whoever tried them"
    for _ in range(5):
        shop.resume()
        shop.run(lambda: shop.gate().gate == "credentials", executors=4)
    assert shop.desk.requests == 2, "however often somebody resumes"
    assert (shop.desk.sent(), shop.used(), shop.count("dead")) == (0, 0, 0)
    simulator.set_user(DEMO_USER, DEMO_PASSWORD)
    shop.pass_time(331)
    shop.resume()
    shop.run(lambda: shop.count("deleted") == 10, executors=4)
    assert shop.desk.requests == 3


def test_a_token_that_is_refused_for_good_closes_the_gate_as_a_key_would(
    simulator: Simulator, client: redis.Redis
) -> None:
    desk = Desk(simulator, clock=Clock())
    shop = Shop(desk, client)
    shop.request(10)
    simulator.refuse_tokens()
    shop.run(lambda: shop.gate().gate == "credentials", executors=4)
    assert shop.gate().reason == "401 APIGW.0307 The token must be updated."
    assert desk.requests == 2
    assert simulator.stats()["refused_signatures"] == 2
    assert (shop.used(), shop.count("dead")) == (0, 0)


@pytest.mark.parametrize("mode", ["503", "refuse"])
def test_when_iam_is_down_it_is_an_outage_that_costs_only_time(simulator: Simulator, shop: Shop, mode: str) -> None:
    simulator.outage(mode, method="TOKEN")
    shop.request(30)
    shop.run(lambda: shop.gate().gate == "outage", executors=4)
    assert (shop.gate().reason or "").startswith("IAM: ")
    assert shop.desk.sent() == 0
    assert (shop.used(), shop.count("dead")) == (0, 0)
    simulator.outage(None)
    shop.run(lambda: shop.count("deleted") == 30, executors=4)
    assert shop.gate().closures == ()
    assert shop.used() == 0


def test_when_iam_is_down_while_the_gate_is_open_the_calls_are_not_attempts(simulator: Simulator, shop: Shop) -> None:
    shop.request(20)
    shop.run(lambda: shop.count("deleted") == 20, executors=4)
    sent = shop.desk.sent()
    simulator.outage("503", method="TOKEN")
    shop.desk.clock.now += DAY
    shop.request(60)
    shop.run(lambda: shop.gate().gate == "outage", executors=4)
    stored = shop.everything()
    assert '"message":"IAM: The IAM service is currently unavailable."' in stored
    assert '"outcome":"failed"' not in stored
    assert (shop.desk.sent(), shop.used(), shop.count("dead")) == (sent, 0, 0)
    simulator.outage(None)
    shop.run(lambda: shop.count("deleted") == 60, executors=4)
    assert shop.used() == 0


# People


def test_the_doctor_says_that_tokens_are_used_and_what_iam_answered(simulator: Simulator, command: Command) -> None:
    environ: dict[str, str | None] = {"ERASER_REGION": None, "ERASER_ENDPOINT": simulator.url}
    environ |= {"HUAWEICLOUD_SDK_IAM_ENDPOINT": simulator.url, "HUAWEICLOUD_SDK_PROJECT_ID": simulator.project}
    environ |= {"ERASER_IAM_USER": DEMO_USER, "ERASER_IAM_PASSWORD": DEMO_PASSWORD, "ERASER_IAM_DOMAIN": DEMO_DOMAIN}
    line = credentials_line(command("doctor", "--json", **environ))
    assert line["verdict"] == "ok"
    assert f"with a token of {simulator.url}; sees 60 jobs" in line["found"]
    simulator.set_user(DEMO_USER, "another")
    line = credentials_line(command("doctor", "--json", **environ))
    assert line["verdict"] == "wrong"
    assert line["found"] == f"no token from IAM at {simulator.url}: 401 The username or password is wrong."
    assert f"check user {DEMO_USER}, domain {DEMO_DOMAIN}" in line["todo"]
    line = credentials_line(command("doctor", "--json", **environ))
    assert line["found"].startswith("not tried: the key was refused (IAM: 401 The username or password is wrong.)")
    assert line["todo"] == "correct it, then: eraser resume --account default --reason R"


def test_the_doctor_says_that_iam_is_away(simulator: Simulator, command: Command) -> None:
    environ: dict[str, str | None] = {"ERASER_REGION": None, "ERASER_ENDPOINT": simulator.url}
    environ |= {"HUAWEICLOUD_SDK_IAM_ENDPOINT": simulator.url, "HUAWEICLOUD_SDK_PROJECT_ID": simulator.project}
    environ |= {"ERASER_IAM_USER": DEMO_USER, "ERASER_IAM_PASSWORD": DEMO_PASSWORD, "ERASER_IAM_DOMAIN": DEMO_DOMAIN}
    simulator.outage("refuse", method="TOKEN")
    line = credentials_line(command("doctor", "--json", **environ))
    assert line["found"].endswith("the connection broke before the response")


def credentials_line(ended: Ended) -> dict[str, Any]:
    assert DEMO_PASSWORD not in ended.all
    assert TOKEN_CANARY not in ended.all
    (line,) = [line for line in ended.json if line["check"] == "credentials of default"]
    return line
