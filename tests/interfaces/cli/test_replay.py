"""`eraser replay`: how far, who and why, and the end of replays."""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.acceptance.fleet import tell
from tests.interfaces.cli.test_dead import FAILED, bury
from tests.support.command import Command
from tests.support.crashes import crash_at
from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.interfaces.cli import replay_progress
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.replays import Replays, ReplayStage
from worker.model.target import Target
from worker.replay.job import step
from worker.services import dead_letters
from worker.services import replay as replay_service
from worker.services.act import Approval

PROGRESS = {
    *("replay", "state", "stage", "what", "reason", "by", "started", "finished_at", "finished_reason", "finished_by"),
    *("total", "left", "fed", "deleted", "gone", "dead", "cancelled", "back", "open", "held", "ahead"),
    *("not_fed", "first_word", "waits", "expected_s", "groups", "accounts"),
}
START = ("dead", "replay", "server*", "--yes", "--no-wait", "--reason", "TICKET-4711", "--by", "ops-7")


@pytest.fixture
def started(command: Command, undertaker: Undertaker) -> str:
    """A replay of twelve letters, which nobody drives."""
    undertaker.end(*[f"e-{n:02d}" for n in range(12)])
    ended = command(*START)
    assert ended.code == 5
    return re.findall(r"replay-\d{8}-\d{6}-\w{4}", ended.out)[0]


def drive(undertaker: Undertaker, replay: str, *, to: str = "deleted") -> None:
    """What a worker does, until nothing is left of it."""
    while step(undertaker.ledger, replay) is not None:
        while lease := undertaker.ledger.take(worker="w1", key="k1").lease:
            undertaker.settle(lease, to=to)


def test_a_plan_says_what_would_happen_and_what_to_type(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*[f"e-{n}" for n in range(3)])
    undertaker.end("r-1", cause="refused", status=400, code="MSS.00000003")
    command("hold", "add", "e-1", "--reason", "CASE-12", "--by", "legal-3")
    ended = command("dead", "replay", "--all", "--reason", "T 1", "--by", "ops-7")
    assert ended.code == 3
    assert "PLAN  replay 3 dead letters: all" in ended.out
    assert f"2  {FAILED}" in ended.out
    assert "1  on hold: they stay dead" in ended.out
    assert "excludes failures after #4" in ended.out
    assert "eraser dead replay --all --reason 'T 1' --by ops-7 --snapshot 4 --yes" in ended.err
    (plan,) = command("dead", "replay", "--all", "--reason", "T", "--json").json
    assert (plan["will_be_replayed"], plan["on_hold"], plan["over_cap"], plan["marks"]) == (3, 1, False, {"default": 4})


def test_letters_that_are_all_on_hold_stay_dead(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("e-1")
    command("hold", "add", "e-1", "--reason", "CASE-12", "--by", "legal-3")
    ended = command("dead", "replay", "--all", "--yes", "--reason", "T-1")
    assert ended.code == 1
    assert "all of them are on hold" in ended.err


def test_a_replay_that_began_is_told_with_what_to_type(command: Command, started: str, undertaker: Undertaker) -> None:
    step(undertaker.ledger, started)
    ended = command("replay", "status")
    assert ended.code == 5
    for expected in (started, FAILED, "TICKET-4711", "ops-7", "12, 1 started, 11 not started", "1 waits", "no worker"):
        assert expected in ended.out
    assert f"eraser replay cancel {started} --reason" in ended.out
    (status,) = command("replay", "status", started, "--json").json
    assert set(status) == PROGRESS
    assert (status["state"], status["fed"], status["left"], status["by"]) == ("running", 1, 11, "ops-7")


def test_a_paused_account_makes_it_wait_and_say_so(command: Command, started: str) -> None:
    command("pause", "--reason", "night", "--by", "ops-1")
    (status,) = command("replay", "status", "--json").json
    assert status["state"] == "running"
    assert any("paused by an operator: night (by ops-1)" in why for why in status["waits"])


def test_a_replay_that_waits_says_so_at_once_and_how_to_leave_it(
    command: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replay_progress, "time", SimpleNamespace(monotonic=time.monotonic, sleep=leave))
    undertaker.end(*[f"e-{n:02d}" for n in range(12)])
    command("pause", "--reason", "night", "--by", "ops-1")
    ended = command(*(word for word in START if word != "--no-wait"))
    assert ended.code == 5
    text, *_ = ended.err.splitlines()
    assert text.startswith("It waits: account default is paused by an operator: night (by ops-1)")
    assert "Ctrl-C leaves it running; to follow it again: eraser replay status replay-" in ended.err
    assert command("replay", "status").code == 5, "it goes on"


def test_what_went_well_exits_0_and_is_in_the_history(command: Command, started: str, undertaker: Undertaker) -> None:
    drive(undertaker, started)
    assert command("replay", "status", "--watch").code == 0
    (line,) = command("replay", "list", "--json").json
    assert set(line) == PROGRESS
    assert (line["state"], line["total"], line["deleted"], line["reason"]) == ("done", 12, 12, "TICKET-4711")
    listed = command("replay", "list").out
    assert "ops-7" in listed
    assert f"1 replay. Next: eraser replay status {started}" in listed


def test_what_failed_again_exits_1_and_says_why(command: Command, started: str, undertaker: Undertaker) -> None:
    drive(undertaker, started, to="dead")
    ended = command("replay", "status", started)
    assert ended.code == 1
    assert "stopped: stopped by itself" in ended.out
    assert "the canary failed again at its first attempt" in ended.out
    assert "1 dead again" in ended.out
    assert command("dead", "groups", "--json").json[0]["count"] == 12


def test_a_cancel_leaves_the_rest_dead_and_who_did_it_is_told(command: Command, started: str) -> None:
    ended = command("replay", "cancel", started, "--reason", "wrong group", "--by", "ops-9")
    assert ended.code == 0
    assert "is cancelled after" in ended.out
    assert ": wrong group." in ended.out
    assert "12 more dead letters unchanged: nothing was sent for them" in ended.out
    (status,) = command("replay", "list", "--json").json
    assert (status["state"], status["finished_by"], status["left"]) == ("cancelled", "ops-9", 12)
    again = command("replay", "cancel", started, "--reason", "once more")
    assert again.code == 1
    assert "has ended: it is cancelled" in again.err


@pytest.mark.parametrize("args", [["status", "replay-x"], ["cancel", "replay-x", "--reason", "T"], ["status"]])
def test_a_replay_that_is_not_there_is_refused(command: Command, args: list[str]) -> None:
    ended = command("replay", *args)
    assert ended.code == 2
    assert "eraser replay list" in ended.err or "eraser dead groups" in ended.err


def test_no_replay_yet_is_said_in_words(command: Command) -> None:
    assert "No replay yet" in command("replay", "list").out


def test_a_share_of_each_account_goes_under_one_id(command: Command, redis_url: str, tmp_path: object) -> None:
    config = f"{tmp_path}/eraser.toml"
    with open(config, "w") as file:
        file.write('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    undertakers = {name: Undertaker(redis_url, name, f"p{n}") for n, name in enumerate("ab", 1)}
    undertakers["a"].end("e-1", "e-2")
    undertakers["b"].end("f-1")
    house = {"ERASER_CONFIG": config}
    plan = command("dead", "replay", "--all", "--reason", "T-1", **house)
    assert "--snapshot a=2 --snapshot b=1 --yes" in plan.err
    words = ("--all", "--reason", "T-1", "--snapshot", "a=2", "--snapshot", "b=1", "--yes", "--no-wait", "--json")
    done = command("dead", "replay", *words, **house)
    (status,) = done.json
    assert (status["total"], status["accounts"]) == (3, ["a", "b"])
    drive(undertakers["a"], status["replay"])
    assert command("replay", "status", "--json", **house).json[0]["state"] == "running"
    drive(undertakers["b"], status["replay"])
    (ended,) = command("replay", "list", "--json", **house).json
    assert (ended["state"], ended["deleted"]) == ("done", 3)


def test_a_letter_that_was_taken_back_is_told_as_it_was_and_who_asked_for_it_once(
    command: Command, undertaker: Undertaker, started: str
) -> None:
    step(undertaker.ledger, started)
    still_dead = {line["job_id"] for line in command("dead", "list", "--json").json}
    (canary,) = {f"e-{n:02d}" for n in range(12)} - still_dead
    command("replay", "cancel", started, "--reason", "wrong group")
    text = command("show", canary).out
    assert "dead as before" in text
    assert text.count("requested") == 2, text  # in the head, and once in the timeline


def start_all(undertaker: Undertaker, house: dict[str, str]) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": undertaker.url, **house})
    plan = replay_service.plan(app, dead_letters.choose(app, [], every=True))
    replay_service.start(app, plan, Approval(reason="T-1"))


def test_killed_at_any_line_of_its_start_a_replay_of_two_accounts_begins_as_a_whole_or_not_at_all(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "eraser.toml").write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    house = {"ERASER_CONFIG": f"{tmp_path}/eraser.toml", "ERASER_REGION": "cn-north-4"}
    both = [Undertaker(redis_url, "a", "p1"), Undertaker(redis_url, "b", "p2")]
    ends, line = [], 0
    while not ends or ends[-1] != "not killed":
        both[0].redis.flushall()
        for undertaker in both:
            undertaker.__post_init__()
            undertaker.end("e-1", "e-2")
        line += 1
        was_killed = crash_at(line, ("services/replay.py",), partial(start_all, both[0], house))
        for undertaker in both:
            for replay in undertaker.ledger.due_wakeup().replays:
                drive(undertaker, replay)
        states = {
            state for _, state in BulkQueries(both[0].redis, "a").states([Target("p1", "e-1"), Target("p1", "e-2")])
        }
        states |= {
            state for _, state in BulkQueries(both[0].redis, "b").states([Target("p2", "e-1"), Target("p2", "e-2")])
        }
        assert len(states) == 1, f"killed at line {line}: {states}"
        ends.append(f"{states.pop()}" if was_killed else "not killed")
    assert {"dead", "deleted"} < set(ends), ends


def test_fifty_thousand_are_grouped_listed_planned_frozen_fed_and_taken_back(
    command: Command, undertaker: Undertaker
) -> None:
    bury(undertaker, 50_000)
    assert command("dead", "groups", "--json").json[0]["count"] == 50_000
    assert "49,950 more" in command("dead", "list").out
    began = time.monotonic()
    started = command("dead", "replay", "--all", *START[3:], "--max", "50000")
    tell(f"50,000 dead letters: planned and begun in {time.monotonic() - began:.1f} s")
    assert started.code == 5
    assert "50,000 dead letters: nothing has started yet." in started.out
    (status,) = command("replay", "status", "--json").json
    assert (status["total"], status["left"]) == (50_000, 50_000)
    replays = Replays(undertaker.ledger)
    while (share := replays.find(status["replay"])) is not None and share.stage is not ReplayStage.REST:
        step(undertaker.ledger, status["replay"])
        while lease := undertaker.ledger.take(worker="w1", key="k1").lease:
            undertaker.settle(lease, to="deleted")
    step(undertaker.ledger, status["replay"])
    assert command("replay", "cancel", status["replay"], "--reason", "enough").code == 0
    (ended,) = command("replay", "status", "--json").json
    assert ended["back"] > 100, "what was fed ahead"
    assert undertaker.redis.zcard(undertaker.ledger.prefix + "dead") == 50_000 - ended["deleted"]


def test_the_first_eleven_are_taken_from_all_groups(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*[f"e-{n:02d}" for n in range(30)])
    undertaker.end("r-1", "r-2", cause="refused", status=400, code="MSS.00000003")
    replay = command("dead", "replay", "--all", *START[3:], "--json").json[0]["replay"]
    refs = [
        Target.parse(ref.decode()) for ref in undertaker.redis.lrange(f"eraser:{{default}}:replay-refs:{replay}", 0, -1)
    ]
    assert {"r-1", "r-2"} <= {ref.id for ref in refs[:11]}
    assert refs[0].id.startswith("e-"), "the largest group has the canary"
    assert len(set(refs)) == 32
    assert {ref.project_id for ref in refs} == {PROJECT}
