"""The budget of a key: what no process, account or kind of call may exceed together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cut_off import bring_back, cut_off
from tests.support.ledgers import CLOCK, POLICY, START_MS, Bench
from tests.support.responses import failure, response
from worker.execution.app_context import AppContext
from worker.execution.key_budget import KeyBlocked, KeyBudget, KeyPolicy, Watched
from worker.execution.ledger_context import gate_policy
from worker.ledger.deletions import connect
from worker.ledger.keys import OURS
from worker.ledger.queries import Queries
from worker.ledger.records import Gate
from worker.ledger.types import GateSignal
from worker.metastudio.credentials import Credentials, Signer
from worker.metastudio.response import Response, TransportFailure
from worker.model.errors import Unreachable

KEY = Credentials("AK-1", "secret").signer
NEW_SECRET = Credentials("AK-1", "another-secret").signer
OTHER = Credentials("AK-2", "secret").signer
GOOD = response(200)
REFUSED = response(401, "APIGW.0301", message="verify aksk signature fail")
EXPIRED = response(401, "APIGW.0301", message="signature expired", server_time=datetime.now(UTC))
LOCKED = response(401, "APIGW.0301", message="AK access failed to reach the limit,forbidden.")
WINDOW_S = 330


class House:
    """Processes and accounts around one Redis whose clock only the test moves."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.woken: list[str] = []
        self.apart_s = 0.0  # Redis's clock is so far ahead
        self.now = float(START_MS)
        client.set("test:clock", repr(self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds * 1000
        self.client.set("test:clock", repr(self.now))

    def process(self, name: str = "w1", account: str = "a", **answer: Any) -> Watched:
        """One more process, as it calls for an account."""
        answer = {"clocks": self.clocks} | answer
        budget = KeyBudget(lambda: self.client, OURS, holder=name, wake=self.woken.append, clock=CLOCK, **answer)
        return budget.of(account)

    def clocks(self) -> tuple[float, ...]:
        return (self.now / 1000 - self.apart_s,)

    def jump(self, seconds: float) -> None:
        """Redis's clock alone."""
        self.apart_s += seconds
        self.pass_time(seconds)

    def gate(self, account: str = "a") -> Gate:
        model = Queries(self.client, account, rate=10.0)
        model.now_ms = lambda: self.now  # type: ignore[method-assign]
        return model.gate()

    def works(self, signer: Signer = KEY, account: str = "a") -> Watched:
        """A process whose key works."""
        process = self.process("at work", account)
        process.before(signer)
        process.after(signer, sent(GOOD))
        self.pass_time(1)
        return process


@pytest.fixture
def house(client: redis.Redis) -> House:
    return House(client)


def sent(answer: Response, *, s_ago: float = 0.0) -> Response:
    """The same of a call that left so long ago."""
    return replace(answer, sent_at=time.monotonic() - s_ago)


def rest_s(process: Watched, signer: Signer = KEY) -> float:
    """How long the key rests; 0: this process may use or try it now."""
    try:
        process.before(signer)
    except KeyBlocked as rests:
        return rests.rest_s
    return 0.0


def refuse(process: Watched, signer: Signer = KEY, answer: Response = REFUSED) -> None:
    """One call, refused."""
    process.before(signer)
    process.after(signer, sent(answer), target="job-1")


def elsewhere(action: Callable[[], float]) -> float:
    """In another thread of the same process."""
    found: list[float] = []
    thread = Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]


# -- who may try -------------------------------------------------------------------------------------------------------


def test_of_a_key_that_nobody_knows_one_call_is_made_until_its_first_good_answer(house: House) -> None:
    one, other = house.process("w1", "a"), house.process("w2", "b")
    assert rest_s(one) == 0
    assert rest_s(other) > 0
    assert elsewhere(lambda: rest_s(one)) > 0, "nor may another thread"
    assert rest_s(one) == 0, "whoever tries may ask again"
    one.after(KEY, sent(GOOD))
    assert (rest_s(other), elsewhere(lambda: rest_s(one))) == (0, 0)


def test_whoever_tries_and_is_never_heard_of_again_is_followed_by_another(house: House) -> None:
    house.process("w1").before(KEY)
    other = house.process("w2")
    assert rest_s(other) == pytest.approx(60)
    house.pass_time(61)
    assert rest_s(other) == 0


@pytest.mark.parametrize(
    "answer", [failure(TransportFailure.TIMEOUT), failure(TransportFailure.NOT_SENT), response(503), response(429)]
)
def test_what_is_no_answer_says_nothing_and_somebody_else_may_try(house: House, answer: Response) -> None:
    one = house.process("w1")
    one.before(KEY)
    one.after(KEY, replace(answer, sent_at=None if answer.failure is TransportFailure.NOT_SENT else time.monotonic()))
    assert rest_s(house.process("w2")) == 0
    assert rest_s(one) > 0, "it is tried"


@pytest.mark.parametrize(
    "answer", [response(200), response(400), response(403), response(404), response(400, "MSS.00010009")]
)
def test_any_answer_but_a_refusal_proves_the_key(house: House, answer: Response) -> None:
    one = house.process("w1")
    one.before(KEY)
    one.after(KEY, sent(answer))
    assert rest_s(house.process("w2", "b")) == 0
    assert rest_s(house.process("w3", "c")) == 0


# -- how long a key rests ----------------------------------------------------------------------------------------------


def test_a_key_that_never_worked_gets_one_call_and_then_rests_ever_longer(house: House) -> None:
    rests = []
    for _ in range(5):
        refuse(house.process())
        rests.append(rest_s(house.process("w2", "b")))
        house.pass_time(rests[-1])
    assert rests == pytest.approx([330, 900, 1800, 1800, 1800])


def test_a_key_that_worked_is_tried_once_more_after_a_minute(house: House) -> None:
    at_work = house.works()
    for _ in range(8):  # the calls that were under way
        at_work.after(KEY, sent(REFUSED))
    rests = []
    for _ in range(4):
        rests.append(rest_s(house.process("w2")))
        house.pass_time(rests[-1])
        refuse(house.process())
    assert rests == pytest.approx([60, 330, 900, 1800])


def test_a_key_that_is_said_to_be_locked_rests_for_the_whole_lock(house: House) -> None:
    house.works().after(KEY, sent(LOCKED))
    assert rest_s(house.process("w2")) == pytest.approx(330)


def test_the_retry_schedule_has_no_say_in_it(house: House) -> None:
    """With the README's `1s,2s` a wrong key was refused six times in half a minute."""
    app = AppContext.load({"ERASER_RETRY_SCHEDULE": "1s,2s", "ERASER_ENDPOINT": "http://127.0.0.1:1"})
    assert app.budget.policy == KeyPolicy()
    assert gate_policy(app.settings, app.settings.accounts["default"]).key_pause == POLICY.key_pause == 60_000


def test_a_resume_tries_at_once_but_not_without_an_end(house: House) -> None:
    budget = house.process().budget
    house.works().after(KEY, sent(REFUSED))
    for _ in range(2):
        assert budget.retry(KEY.record) == 0
        refuse(house.process())
    house.pass_time(10)
    assert budget.retry(KEY.record) == pytest.approx(WINDOW_S - 10)
    assert rest_s(house.process()) == pytest.approx(WINDOW_S - 10)
    house.pass_time(WINDOW_S - 10)
    assert rest_s(house.process()) == 0


def test_a_new_secret_of_a_refused_key_is_tried_at_once(house: House) -> None:
    house.works().after(KEY, sent(REFUSED))
    changed = house.process("w2", "b")
    assert rest_s(changed, NEW_SECRET) == 0
    changed.after(NEW_SECRET, sent(GOOD))
    assert rest_s(house.process(), NEW_SECRET) == 0
    assert rest_s(house.process("old", "c"), KEY) > 0, "whoever still has the old one stays out"


def test_new_secrets_and_resumes_share_the_budget(house: House) -> None:
    budget = house.process().budget
    house.works().after(KEY, sent(REFUSED))
    refuse(house.process(), NEW_SECRET)
    budget.retry(KEY.record)
    refuse(house.process(), KEY)
    third = Credentials("AK-1", "a-third-secret").signer
    assert rest_s(house.process(), third) == pytest.approx(WINDOW_S), "the gateway counts by access key"
    assert rest_s(house.process(), OTHER) == 0


def test_a_refusal_for_the_clock_is_tried_again_at_once_and_no_more_than_twice(house: House) -> None:
    house.works().after(KEY, sent(EXPIRED))
    for _ in range(2):
        assert rest_s(house.process()) == 0
        house.process().after(KEY, sent(EXPIRED))
    assert rest_s(house.process()) == pytest.approx(WINDOW_S)


def test_clocks_that_went_back_make_no_key_rest_for_longer_than_its_longest_pause(house: House) -> None:
    house.works().after(KEY, sent(REFUSED))
    house.pass_time(-100 * 86400)
    assert rest_s(house.process()) == 0


@pytest.mark.parametrize("days", [100, -100])
def test_a_clock_of_redis_that_jumps_has_no_key_tried(house: House, days: int) -> None:
    house.works().after(KEY, sent(REFUSED))
    house.jump(days * 86400)
    assert rest_s(house.process()) == pytest.approx(60, abs=1)
    house.pass_time(30)
    assert rest_s(house.process()) > 0
    house.jump(-days * 86400)
    house.pass_time(31)
    assert rest_s(house.process()) == 0


# -- who hears of it ---------------------------------------------------------------------------------------------------


def test_a_refusal_closes_every_account_that_uses_the_key_and_a_good_answer_opens_them(house: House) -> None:
    """Six accounts of one key locked it within 1.2 s."""
    processes = [house.works(account=f"a{n}") for n in range(3)]
    house.works(OTHER, "b")
    processes[0].after(KEY, sent(REFUSED), target="job-7")
    for n in range(3):
        (closure,) = house.gate(f"a{n}").closures
        assert (closure.scope, closure.name, closure.cause) == ("key", KEY.fingerprint, "credentials")
        assert closure.target == "job-7"
        assert closure.until == pytest.approx(START_MS + 64_000, abs=5)
        assert rest_s(house.process("another", f"a{n}")) > 0
    assert house.gate("b").closures == ()
    house.pass_time(61)
    house.process("w9", "a2").before(KEY)
    house.process("w9", "a2").after(KEY, sent(GOOD))
    assert [house.gate(f"a{n}").gate for n in range(3)] == ["ok"] * 3
    assert {"a0", "a1"} <= set(house.woken)


def test_whoever_asks_in_vain_closes_its_own_account(house: House) -> None:
    refuse(house.process("w1", "a"))
    assert house.gate("b").gate == "ok"
    assert rest_s(house.process("w2", "b")) > 0
    assert house.gate("b").gate == "credentials"


def test_while_somebody_tries_nobody_is_told_of_a_closure(house: House) -> None:
    house.process("w1", "a").before(KEY)
    assert rest_s(house.process("w2", "b")) > 0
    assert house.gate("b").closures == ()


def test_an_answer_to_a_call_that_left_before_the_refusal_opens_nothing(house: House) -> None:
    at_work, late = house.works(), house.process("w2")
    late.before(KEY)
    at_work.after(KEY, sent(REFUSED))
    late.budget.good.clear()
    late.after(KEY, sent(GOOD, s_ago=5))
    assert rest_s(house.process("w3")) > 0
    assert house.gate().gate == "credentials"


def test_a_refusal_of_a_call_that_left_before_the_repair_closes_nothing(house: House) -> None:
    at_work = house.works()
    at_work.after(KEY, sent(REFUSED))
    house.pass_time(61)
    repaired = house.process("w2")
    repaired.before(KEY)
    repaired.after(KEY, sent(GOOD))
    at_work.after(KEY, sent(REFUSED, s_ago=30))
    assert rest_s(house.process("w3")) == 0
    assert house.gate().gate == "ok"


def test_a_refusal_that_could_not_be_told_is_told_before_the_next_question(redis_url: str) -> None:
    house = House(connect(redis_url))
    at_work = house.works()
    cut_off(house.client)
    at_work.after(KEY, sent(REFUSED))  # the answer is in the caller's hands: nothing is raised
    with pytest.raises(Unreachable):
        at_work.before(KEY)
    bring_back(house.client)
    assert rest_s(at_work) == pytest.approx(60, abs=1)
    assert rest_s(house.process("w2")) > 0


def test_a_ledger_keeps_a_key_closed_whose_record_could_not_be_told(house: House) -> None:
    bench = Bench(house.client, account="a")
    bench.open()
    bench.request("j1")
    signal = GateSignal("credentials", key="k1", why="401")
    bench.settle(bench.take(), "pending", used=False, status=401, signal=signal)
    assert house.gate().until == pytest.approx(START_MS + POLICY.key_pause, abs=5)


# -- whatever happens --------------------------------------------------------------------------------------------------

SIGNERS = [Credentials("AK-1", f"wrong-{n}").signer for n in range(3)]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("resume"), st.just(0), st.just(0)),
        st.tuples(st.just("time"), st.sampled_from([1, 30, 61, 200, 331, 901]), st.just(0)),
    ),
    min_size=10,
    max_size=80,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTS, worked=st.booleans())
def test_no_key_is_refused_more_than_twice_in_five_minutes_whatever_anybody_does(
    client: redis.Redis, actions: list[tuple[str, int, int]], worked: bool
) -> None:
    """Beyond the calls that were under way: processes, accounts, new secrets and resumes as they come."""
    client.flushall()
    house = House(client)
    if worked:
        house.works(SIGNERS[0]).after(SIGNERS[0], sent(REFUSED))
    refused: list[float] = []
    for action, one, other in actions:
        now = house.now / 1000
        if action == "time":
            house.pass_time(one)
        elif action == "resume":
            house.process().budget.retry(SIGNERS[0].record)
        elif rest_s(process := house.process(f"w{one}", f"a{one}"), SIGNERS[other]) == 0:
            process.after(SIGNERS[other], sent(REFUSED))
            refused.append(now)
    for at in refused:
        assert sum(at <= each < at + WINDOW_S for each in refused) <= 2


SPOILT = ["a string", "bad", "tries", "trying_until"]


@pytest.mark.parametrize("what", SPOILT)
def test_a_record_that_another_program_spoilt_stops_nobody_for_long_and_gives_no_try_more(
    redis_url: str, what: str
) -> None:
    house = House(connect(redis_url))
    process = house.process()
    process.before(KEY)
    process.after(KEY, sent(REFUSED))
    record = OURS.key(KEY.record)
    if what == "a string":
        house.client.set(record, "oops")
    else:
        house.client.hset(record, f"bad:{KEY.fingerprint}" if what == "bad" else what, "[1")
    with pytest.raises(KeyBlocked):
        house.process("w2").before(KEY)
    house.pass_time(WINDOW_S + 1)
    house.process("w2").before(KEY)
