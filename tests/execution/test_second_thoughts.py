"""What an executor looks at before a call: whose job it is, and whether the policy that asked for it still means it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from tests.execution.test_executor import Shop
from worker.ledger.holds import HoldList
from worker.ledger.types import PolicyText
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.states import Lane
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT


def holds(shop: Shop) -> HoldList:
    return HoldList(shop.ledger)


def deletes(shop: Shop) -> list[str]:
    return [call["job_id"] for call in shop.simulator.calls() if call["operation"] == "delete"]


POLICY_TEXT = PolicyText("a-text", 1.0)


class Mind:
    """Policies that mean what a test says."""

    def __init__(self, why: str | None, policy_text: PolicyText | None = POLICY_TEXT) -> None:
        self.why = why
        self.text = policy_text
        self.questions: list[tuple[Sequence[str], str]] = []

    def policy_text(self) -> PolicyText | None:
        return self.text

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:
        self.questions.append((policies, row.id))
        return self.why


# -- whose job it is -------------------------------------------------------------------------------------------------


def test_a_job_of_an_app_user_on_hold_is_found_by_a_look_and_not_sent(shop: Shop) -> None:
    shop.simulator.add_job("theirs", app_user_id="u-1")
    shop.simulator.add_job("others", app_user_id="u-2")
    shop.simulator.add_job("nobodys")
    holds(shop).add_user("u-1", why="CASE-1", by="legal")
    shop.request("theirs", "others", "nobodys")
    shop.work()
    assert shop.ends("theirs") == "held"
    assert {shop.ends("others"), shop.ends("nobodys")} == {"deleted"}
    assert sorted(deletes(shop)) == ["nobodys", "others"]
    holds(shop).remove_user("u-1")
    shop.work()
    assert shop.ends("theirs") == "deleted"


def test_whoever_names_another_app_user_is_not_believed_while_one_is_on_hold(shop: Shop) -> None:
    shop.simulator.add_job("theirs", app_user_id="u-1")
    shop.simulator.add_job("others", app_user_id="u-2")
    holds(shop).add_user("u-1", why="CASE-1", by="legal")
    shop.request("theirs", "others", app_user="u-2")
    shop.work()
    assert (shop.ends("theirs"), shop.ends("others")) == ("held", "deleted")
    shop.request("theirs", app_user="u-3", by="shop")
    shop.work()
    assert shop.ends("theirs") == "held"
    assert deletes(shop) == ["others"]


@pytest.mark.parametrize("trouble", ["hidden", "error"])
def test_where_nobody_says_whose_it_is_nothing_is_sent(shop: Shop, trouble: str) -> None:
    shop.simulator.add_job("theirs", app_user_id="u-1")
    if trouble == "hidden":
        shop.simulator.set_answers(isolate_app_users=True)
    else:
        shop.simulator.fault("error", method="GET", times=None)
    holds(shop).add_user("u-1", why="CASE-1", by="legal")
    shop.request("theirs")
    for _ in range(3):
        shop.work(ahead_s=3600)
        holds(shop).release_in_time()
    assert shop.record("theirs")["state"] in ("held", "pending")
    assert deletes(shop) == []


# -- whether it is still meant ---------------------------------------------------------------------------------------


def sweep(shop: Shop, *jobs: str, **claim: Any) -> None:
    shop.request(
        *jobs, **{"policy": "old-ones", "run": "r1", "by": "policy:old-ones", "delay_s": 60, "listed": True} | claim
    )


def test_what_the_policy_still_means_is_read_again_and_deleted(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    mind = Mind(None)
    shop.work(ahead_s=61, still_meant=mind)
    assert shop.ends("job-1") == "deleted"
    assert mind.questions == [(("old-ones",), "job-1")]


def test_what_no_policy_means_any_more_is_cancelled_before_the_call(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    shop.work(ahead_s=61, still_meant=Mind("younger than 90d"))
    assert shop.ends("job-1") == "cancelled"
    assert '"no_longer_matches":"younger than 90d"' in shop.record("job-1")["log"]
    assert deletes(shop) == []


def test_who_has_no_policies_has_no_opinion(shop: Shop) -> None:
    """It was cancelled: a worker without ERASER_CONFIG withdrew what the policies of all others asked for."""
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    shop.work(ahead_s=61)
    assert shop.ends("job-1") == "pending policies"
    assert shop.calls() == []
    shop.work(ahead_s=61, still_meant=Mind(None))
    assert shop.ends("job-1") == "deleted"


def test_a_person_who_asks_for_a_job_in_grace_gets_it_at_once_whatever_the_policy_means(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1", delay_s=7 * 86400)
    shop.work()
    assert shop.ends("job-1") == "pending grace"
    shop.request("job-1", lane=Lane.USER, by="ops-1")
    mind = Mind("younger than 90d")
    shop.work(still_meant=mind)
    assert shop.ends("job-1") == "deleted"
    assert mind.questions == []


def test_a_person_who_asks_while_the_executor_looks_gets_it_whatever_the_policy_means(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")

    class Overtaken(Mind):
        def __call__(self, *args: Any) -> str | None:
            shop.request("job-1", lane=Lane.USER, by="ops-1")
            return self.why

    shop.work(ahead_s=61, still_meant=Overtaken("younger than 90d"))
    assert shop.ends("job-1") == "deleted", "the request was accepted, so it must not be lost"


def test_a_persons_request_stands_when_a_policy_asks_later(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    shop.request("job-1", by="ops-1", delay_s=30)
    sweep(shop, "job-1")
    mind = Mind("younger than 90d")
    shop.work(ahead_s=61, still_meant=mind)
    assert shop.ends("job-1") == "deleted"


def test_once_the_person_withdraws_the_policy_has_to_mean_it_again(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    shop.request("job-1", by="ops-1", run="file-1", delay_s=50)
    shop.ledger.cancel([Target(DEMO_PROJECT, "job-1")], why="T-1", run="file-1")
    shop.work(ahead_s=61, still_meant=Mind("younger than 90d"))
    assert shop.ends("job-1") == "cancelled"


def test_two_policies_ask_and_one_that_still_means_it_is_enough(shop: Shop) -> None:
    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    sweep(shop, "job-1", policy="failed-ones", run="r2", by="policy:failed-ones")
    mind = Mind(None)
    shop.work(ahead_s=61, still_meant=mind)
    assert mind.questions == [(("old-ones", "failed-ones"), "job-1")]
    assert shop.ends("job-1") == "deleted"


def test_a_swept_job_that_vanished_in_its_grace_is_gone_as_seen_before(shop: Shop) -> None:
    shop.simulator.add_job("somebody-s")
    sweep(shop, "job-1")
    shop.work(ahead_s=61, still_meant=Mind(None))
    assert shop.ends("job-1") == "gone seen_before"
    assert deletes(shop) == []


def test_a_fault_in_the_policies_sends_nothing(shop: Shop) -> None:
    class Broken(Mind):
        def __call__(self, *args: Any) -> str | None:
            raise RuntimeError("a bug")

    shop.simulator.add_job("job-1")
    sweep(shop, "job-1")
    shop.work(ahead_s=61, still_meant=Broken(None))
    assert deletes(shop) == []
    assert shop.record("job-1")["state"] == "pending"
