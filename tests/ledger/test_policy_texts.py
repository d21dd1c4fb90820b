"""Whose word counts about what a policy means: nobody's without the text that asked, or a newer one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.ledgers import PROJECT, START_MS, Bench
from tests.support.retention import POLICY, House
from worker.ledger.runs import Runs
from worker.ledger.types import PolicyText
from worker.model.target import Target
from worker.retention.policy_file import PolicyFile
from worker.services import retention

OLD, MIDDLE, NEW = PolicyText("old", START_MS - 2000), PolicyText("asked", START_MS - 1000), PolicyText("new", START_MS)
HOUR_S = 3600.0


def sweep(bench: Bench, *jobs: str, policy_text: PolicyText = MIDDLE, **claim: Any) -> None:
    bench.request(*jobs, **{"policy": "old", "run": "r1", "by": "policy:old", "policy_text": policy_text} | claim)


def takes(bench: Bench, policy_text: PolicyText | None) -> str | None:
    """The job that a worker with this text is given."""
    bench.pass_time(0.2)
    lease = bench.turn(policy_text=policy_text).lease
    return lease.ref.id if lease else None


@pytest.mark.parametrize("policy_text", [None, OLD])
def test_no_text_or_an_older_one_is_no_opinion_and_stands_in_nobodys_way(
    bench: Bench, policy_text: PolicyText | None
) -> None:
    sweep(bench, "a", "b")
    bench.pass_time(1)
    bench.request("persons")
    assert takes(bench, policy_text) == "persons"
    record = bench.record("a")
    assert (record["state"], record["wait"], "used" in record) == ("pending", "policies", False)
    bench.pass_time(61)
    assert takes(bench, MIDDLE) == "a"


@pytest.mark.parametrize("policy_text", [MIDDLE, NEW])
def test_the_text_that_asked_and_a_newer_one_may_judge(bench: Bench, policy_text: PolicyText) -> None:
    sweep(bench, "a")
    assert takes(bench, policy_text) == "a"


def test_what_a_worker_that_was_just_seen_may_judge_is_left_to_it_in_its_place(bench: Bench) -> None:
    sweep(bench, "a", "b")
    assert takes(bench, MIDDLE) == "a"
    bench.pass_time(0.2)
    turn = bench.turn(policy_text=None)
    assert turn.lease is None
    assert turn.next_ms == bench.now + 500, "whoever is called next may be another one, and is not called at once"
    assert "wait" not in bench.record("b")
    assert takes(bench, MIDDLE) == "b"


def test_an_older_text_does_not_judge_while_a_newer_one_is_in_use(bench: Bench) -> None:
    sweep(bench, "a", "b", policy_text=OLD)
    assert takes(bench, NEW) == "a"
    assert takes(bench, OLD) is None
    bench.pass_time(HOUR_S + 1)
    assert takes(bench, OLD) == "b", "whoever had the newer one is gone"


def test_a_text_that_came_back_under_a_workers_eyes_is_the_newest(bench: Bench) -> None:
    sweep(bench, "a", "b", policy_text=NEW)
    assert takes(bench, OLD) is None
    bench.pass_time(61)
    back = replace(OLD, at=bench.now, changed=True)
    assert takes(bench, back) == "a"
    assert takes(bench, NEW) is None


def test_a_machine_whose_clock_is_ahead_makes_no_text_newer_than_now(bench: Bench) -> None:
    ahead = PolicyText("ahead", START_MS + 1e9)
    assert takes(bench, ahead) is None
    bench.pass_time(1)
    sweep(bench, "a", policy_text=PolicyText("later", bench.now))
    assert takes(bench, ahead) is None


def test_of_two_texts_of_one_moment_the_one_that_came_first_is_older(bench: Bench) -> None:
    """Images whose files all have the same date."""
    sweep(bench, "a", policy_text=PolicyText("first", 1.0))
    sweep(bench, "b", policy_text=PolicyText("second", 1.0))
    bench.pass_time(HOUR_S)
    assert takes(bench, PolicyText("first", 1.0)) == "a"
    assert takes(bench, PolicyText("first", 1.0)) is None
    bench.pass_time(61)
    assert takes(bench, PolicyText("second", 1.0)) == "b"


def test_what_an_older_text_would_cancel_is_not_cancelled(bench: Bench) -> None:
    """The text changed between the take and the word."""
    sweep(bench, "a")
    lease = bench.take(policy_text=MIDDLE)
    sweep(bench, "a", policy_text=NEW, run="r2")
    nothing = {"called": False, "used": False, "attempt": None}
    assert bench.settle(lease, "cancelled", **nothing, policy_text=MIDDLE) == "pending"
    assert bench.settle(bench.take(policy_text=NEW), "cancelled", **nothing, policy_text=NEW) == "cancelled"


def test_a_person_who_withdraws_while_an_executor_looks_leaves_the_policies_to_be_asked(bench: Bench) -> None:
    sweep(bench, "a")
    bench.request("a", by="ann", run="r2")
    bench.holds.add_user("u-9", why="CASE-1", by="legal")
    lease = bench.take(policy_text=MIDDLE)
    assert (lease.policies, lease.owner_lookup) == ((), True)
    assert bench.ledger.cancel([Target(PROJECT, "a")], why="T-1", run="r2")[0][1] == "claim_removed"
    assert not bench.ledger.confirm(lease, key="k1", owner="-"), "nobody has read the policy"


# -- what a process says of its file -----------------------------------------------------------------------------------


def test_a_process_knows_its_text_by_what_its_policies_say(tmp_path: Path) -> None:
    file = tmp_path / "eraser.toml"
    file.write_text(f"[policies.old]\n{POLICY}")
    first, other = PolicyFile(file, lambda _: "default"), PolicyFile(file, lambda _: "default")
    before = first.policy_text()
    assert before is not None
    assert before == other.policy_text()
    assert (before.changed, before.at) == (False, file.stat().st_mtime * 1000)
    file.write_text(f"# a comment\n[policies.old]\n{POLICY}")
    assert first.policy_text() == before
    file.write_text("")
    emptied = first.policy_text()
    assert emptied is not None
    assert (emptied.changed, emptied.id == before.id) == (True, False)
    file.write_text("[policies.old]\nstates = 3")
    assert first.policy_text() is None


def test_no_file_and_one_that_never_named_a_policy_are_no_opinion(tmp_path: Path) -> None:
    file = tmp_path / "eraser.toml"
    file.write_text('[accounts.a]\nprojects = ["p1"]\n')
    assert PolicyFile(None, lambda _: "default").policy_text() is None
    assert PolicyFile(file, lambda _: "default").policy_text() is None


def test_what_no_worker_can_judge_is_told_through_a_jump_of_redis_s_clock_and_not_for_ever(bench: Bench) -> None:
    sweep(bench, "a")
    bench.ledger.look_at_clocks()
    bench.jump(100 * 24 * HOUR_S)
    runs, name = Runs(bench.ledger), bench.p + "texts:wanted"
    assert takes(bench, None) is None
    assert runs.wanted() == {"old": MIDDLE.at}
    bench.jump(-100 * 24 * HOUR_S)
    assert runs.wanted() == {"old": MIDDLE.at}
    assert bench.client.ttl(name) == -1, "it would go with a clock that jumps"
    bench.pass_time(900)
    assert runs.wanted() == {}
    bench.ledger.forget(keep_s=HOUR_S)
    assert bench.client.exists(name), "it may be put aside again a little later"
    bench.pass_time(301)
    bench.ledger.forget(keep_s=HOUR_S)
    assert not bench.client.exists(name)


def test_status_says_what_to_set_where_no_worker_can_judge(client: redis.Redis, tmp_path: Path) -> None:
    house = House(client, tmp_path)
    ledger = house.app.ledger("default")
    house.client.hset(ledger.prefix + "gate", "good:k1", "1")
    house.request("a", policy="old", policy_text=house.app.policies.policy_text())
    ledger.take(worker="w1", key="k1")
    why = [alarm.why for alarm in retention.alarms(house.app) if "wait" in alarm.why]
    assert len(why) == 1
    assert why[0].startswith("deletions of policy old wait: no worker has the policies of ")
    assert "ERASER_CONFIG" in why[0]
