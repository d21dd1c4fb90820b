"""An absence is evidence only between control questions: a key that is blind calls nothing gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.execution.test_executor import LEASE_S, SCHEDULE, Shop
from worker.lookups.sightings import Sightings
from worker.model.target import Target
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator

LAST = len(SCHEDULE.retry)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.simulator.fill(50)
    return shop


def blind(shop: Shop) -> None:
    """The same key; whoever it belongs to lost the right to see them."""
    shop.simulator.set_credential(DEMO_AK, DEMO_SK, sees_jobs=False)


def seeing(shop: Shop) -> None:
    shop.simulator.set_credential(DEMO_AK, DEMO_SK)


def lost_call(shop: Shop, job: str) -> None:
    """An answer that nobody heard; the job is still there."""
    shop.simulator.fault("reset", job)
    shop.request(job)
    shop.work()
    assert shop.record(job)["unk"] == "1"


def seen_before(shop: Shop, job: str) -> None:
    shop.request(job, listed=True)


def never_seen(shop: Shop, job: str) -> None:
    shop.request(job)


def deleted_once(shop: Shop, job: str) -> None:
    """Somebody restores it at their side, and it is asked for once more."""
    shop.request(job)
    shop.work()
    assert shop.ends(job) == "deleted"
    shop.simulator.add_job(job)
    shop.request(job, force=True)


def withdrawn(shop: Shop, job: str) -> None:
    """A cancel after a call without an answer: only a look can tell."""
    lost_call(shop, job)
    shop.ledger.cancel([Target(DEMO_PROJECT, job)], why="T-1")


KNOWN: list[Callable[[Shop, str], None]] = [lost_call, seen_before, never_seen, deleted_once]


def is_not_called_gone(shop: Shop, job: str) -> None:
    """Through all steps of the schedule; then it is a dead letter that used no attempt."""
    for _ in range(LAST + 1):
        shop.work(ahead_s=700)
        assert shop.record(job)["state"] != "gone"
    assert job in shop.simulator.job_ids()
    assert shop.ends(job).startswith("dead not_visible")


@pytest.mark.parametrize("known", KNOWN)
def test_a_key_that_lost_sight_of_the_project_calls_nothing_gone(
    shop: Shop, known: Callable[[Shop, str], None]
) -> None:
    shop.request("job-00050")
    shop.work()
    assert shop.ends("job-00050") == "deleted", "the key saw jobs a moment ago"
    known(shop, "job-00001")
    blind(shop)
    is_not_called_gone(shop, "job-00001")
    assert len([call for call in shop.attempts("job-00001") if call.get("status") == 400]) <= 1
    seeing(shop)
    shop.ledger.replay([Target(DEMO_PROJECT, "job-00001")], why="T-2", deadline_s=3600)
    shop.work()
    assert shop.ends("job-00001") == "deleted", "a replay asks anew"


def test_a_key_that_sees_again_deletes_what_it_could_not_see(shop: Shop) -> None:
    blind(shop)
    shop.request("job-00001")
    shop.work()
    shop.work(ahead_s=61)
    assert shop.record("job-00001")["unseen"] == "2"
    seeing(shop)
    shop.work(ahead_s=61)
    assert shop.ends("job-00001") == "deleted"
    assert "unseen" not in shop.record("job-00001")


def test_a_cancel_whose_look_sees_nothing_at_all_waits_for_one_that_does(shop: Shop) -> None:
    withdrawn(shop, "job-00001")
    blind(shop)
    for _ in range(LAST + 3):
        shop.work(ahead_s=700)
        assert shop.record("job-00001")["state"] == "pending"
    seeing(shop)
    shop.work(ahead_s=700)
    assert shop.ends("job-00001") == "cancelled"
    assert "job-00001" in shop.simulator.job_ids()


@pytest.mark.parametrize("lists", ["empty", "no_rows", "foreign"])
@pytest.mark.parametrize("known", KNOWN)
def test_lists_that_are_not_to_be_believed_call_nothing_gone(
    shop: Shop, known: Callable[[Shop, str], None], lists: str
) -> None:
    known(shop, "job-00001")
    shop.simulator.set_answers(lists=lists, not_deletable="400")
    shop.simulator.move_job("job-00001", "TRAINING")  # so that the DELETE does not tell
    for _ in range(LAST + 2):
        shop.work(ahead_s=700)
        assert shop.record("job-00001")["state"] in ("pending", "dead")
    shop.simulator.set_answers(lists="ordinary")
    shop.simulator.move_job("job-00001", "JOB_SUCCESS")
    shop.ledger.replay([Target(DEMO_PROJECT, "job-00001")], why="T-2", deadline_s=3600)
    shop.work(ahead_s=700)
    assert shop.ends("job-00001") == "deleted"


def test_a_list_by_id_that_finds_nothing_is_not_believed_where_the_whole_list_has_the_job(shop: Shop) -> None:
    seen_before(shop, "job-00001")
    shop.simulator.set_answers(lists="empty_by_id")
    shop.simulator.move_job("job-00001", "TRAINING")
    for _ in range(5):
        shop.work(ahead_s=700)
        assert shop.ends("job-00001") == "pending retry"


@pytest.mark.parametrize("fault", [{"kind": "error"}, {"kind": "html"}, {"kind": "truncated"}, {"kind": "throttled"}])
def test_where_the_control_question_is_not_answered_the_absence_says_nothing(shop: Shop, fault: dict[str, Any]) -> None:
    seen_before(shop, "gone-1")
    shop.simulator.add_job("gone-1")
    shop.client.delete(Target(DEMO_PROJECT, "gone-1"))
    answered = []

    def fail_the_second() -> None:
        answered.append(True)
        if len(answered) % 2 == 0:
            shop.simulator.fault(**fault, method="GET")

    shop.wire.on_ask = fail_the_second
    shop.work()
    assert shop.ends("gone-1") == "pending retry"
    assert shop.record("gone-1").get("used", "0") == "0" or shop.attempts("gone-1")[-1]["status"] == 400
    shop.wire.on_ask = lambda: None
    shop.work(ahead_s=700)
    assert shop.ends("gone-1") == "gone seen_before"


def test_a_key_that_goes_blind_between_the_look_and_its_control_question_proves_nothing(shop: Shop) -> None:
    seen_before(shop, "job-00001")
    shop.simulator.move_job("job-00001", "TRAINING")
    questions = []

    def then() -> None:
        questions.append(True)
        if len(questions) == 2:  # the first control question is sent: from now on it shows nothing
            blind(shop)

    shop.wire.on_ask = then
    blind(shop)
    shop.work()
    assert shop.ends("job-00001") == "pending retry"


def test_a_brownout_calls_nothing_gone_and_everything_is_deleted_after_it(shop: Shop) -> None:
    """DELETE answers 500 and lists are empty."""
    jobs = [f"job-{n:05d}" for n in range(1, 21)]
    shop.request("job-00050")
    shop.work()
    shop.simulator.outage("brownout")
    shop.request(*jobs)
    for _ in range(10):
        shop.work(ahead_s=61)
        assert {shop.record(job)["state"] for job in jobs} == {"pending"}
    assert shop.closures() == [("account", "default", "outage")]
    shop.simulator.outage(None)
    for _ in range(4):
        shop.work(ahead_s=200)
    assert {shop.ends(job) for job in jobs} == {"deleted"}
    assert len(shop.simulator.job_ids()) == 29


# -- app users ---------------------------------------------------------------------------------------------------------


def test_an_app_users_job_that_is_hidden_from_whoever_names_nobody_is_not_gone(client: redis.Redis) -> None:
    """All jobs of the project belong to app users: the whole list is empty."""
    with Simulator(isolate_app_users=True) as simulator:
        shop = Shop(simulator, client)
        shop.trust_the_key()
        for job, user in (("a", "u-1"), ("b", "u-2")):
            simulator.add_job(job, app_user_id=user)
        shop.request("a", app_user="u-1")
        shop.work()
        assert shop.ends("a") == "deleted", "this key sees jobs"
        shop.request("b")
        is_not_called_gone(shop, "b")
        shop.client.close()


@pytest.mark.parametrize("known", [lost_call, never_seen])
def test_where_app_users_are_known_a_list_of_nobodys_jobs_is_no_control_question(
    shop: Shop, known: Callable[[Shop, str], None]
) -> None:
    shop.simulator.add_job("theirs", app_user_id="u-1")
    shop.simulator.add_job("others", app_user_id="u-2")
    shop.request("others", app_user="u-2")
    shop.work()
    known(shop, "theirs")
    shop.simulator.set_answers(isolate_app_users=True)
    is_not_called_gone(shop, "theirs")


def test_an_app_users_job_that_a_list_showed_is_known_to_all_processes(shop: Shop) -> None:
    shop.simulator.set_answers(isolate_app_users=True)
    shop.simulator.add_job("others", "TRAINING", app_user_id="u-2")
    shop.simulator.add_job("theirs", app_user_id="u-1")
    shop.request("others", app_user="u-2")
    shop.work()
    assert shop.ends("others") == "pending not_deletable_yet"
    shop.sightings = Sightings()
    never_seen(shop, "theirs")
    is_not_called_gone(shop, "theirs")


def test_where_a_list_shows_an_app_users_job_nobodys_are_hidden(shop: Shop) -> None:
    shop.simulator.add_job("others", app_user_id="u-2")
    shop.simulator.add_job("theirs", app_user_id="u-2")
    shop.request("others", app_user="u-2")
    shop.work()
    never_seen(shop, "gone-1")
    shop.work()
    shop.work(ahead_s=61)
    assert shop.ends("gone-1") == "gone never_seen"


def test_what_a_list_showed_to_whoever_named_nobody_is_not_hidden_from_them(shop: Shop) -> None:
    shop.simulator.set_answers(isolate_app_users=True)
    shop.simulator.add_job("others", app_user_id="u-2")
    shop.request("others", app_user="u-2")
    shop.work()
    seen_before(shop, "gone-1")
    shop.work()
    assert shop.ends("gone-1") == "gone seen_before"


def test_who_names_the_app_user_gets_proof_from_that_users_view(shop: Shop) -> None:
    shop.simulator.set_answers(isolate_app_users=True)
    shop.simulator.add_job("kept", app_user_id="u-1")
    shop.simulator.add_job("theirs", app_user_id="u-1")
    shop.simulator.fault("reset", "theirs", deletes=True)
    shop.request("theirs", app_user="u-1")
    shop.work()
    shop.work(ahead_s=11)
    assert shop.ends("theirs") == "gone after_our_call"


# -- what a lost worker may have sent ----------------------------------------------------------------------------------


def lost(shop: Shop, *, look: bool) -> None:
    """A worker takes a job that is not there, and dies: before a look, or with the DELETE under way."""
    shop.request("gone-1")
    if look:
        shop.redis.hset(f"{shop.ledger.prefix}d:{DEMO_PROJECT}/gone-1", "look", "1")
    turn = shop.ledger.take(worker="w1", key=shop.key.fingerprint())
    while turn.wait_s is not None:
        shop.pass_time(turn.wait_s)
        turn = shop.ledger.take(worker="w1", key=shop.key.fingerprint())
    assert turn.lease is not None
    shop.pass_time(LEASE_S + 1)
    shop.ledger.rescue(alive=[], counts=True)


@pytest.mark.parametrize(("look", "evidence"), [(False, "after_our_call"), (True, "never_seen")])
def test_a_lost_worker_is_an_earlier_call_only_where_a_call_may_have_left(
    shop: Shop, look: bool, evidence: str
) -> None:
    lost(shop, look=look)
    shop.work()
    shop.work(ahead_s=61)
    assert shop.ends("gone-1") == f"gone {evidence}"


def test_a_lost_workers_record_is_no_proof_where_the_key_is_blind(shop: Shop) -> None:
    lost(shop, look=False)
    blind(shop)
    for _ in range(LAST + 1):
        shop.work(ahead_s=700)
    assert shop.ends("gone-1") == "dead not_visible"
