"""The steps of a replay, on a ledger whose clock only the test moves: what is fed, what stops it, what goes back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ledgers import PROJECT, Bench
from worker.ledger.replays import Replay, Replays, ReplayStage, ReplayState
from worker.ledger.types import GateSignal
from worker.model.target import Target
from worker.replay.job import step

ID = "replay-1"
DEAD: dict[str, Any] = {"cause": "server_error", "status": 500, "code": "MSS.00000004"}


def bury(bench: Bench, *jobs: str) -> None:
    bench.request(*jobs, by="ops-1", why="T-1", run="cleanup")
    for _ in jobs:
        bench.settle(bench.take(), "dead", **DEAD)


def begin(bench: Bench, *jobs: str, mark: int | None = None) -> Replays:
    replays = Replays(bench.ledger)
    replays.snapshot(ID, [Target(PROJECT, job) for job in jobs])
    mark = replays.mark() if mark is None else mark
    assert replays.start(
        replays.terms(ID, why="T-2", by="ops-7", what="all", groups={"g": len(jobs)}, mark=mark, deadline_s=3600)
    )
    return replays


def go_on(bench: Bench) -> float | None:
    return step(bench.ledger, ID)


def look(bench: Bench) -> Replay:
    found = Replays(bench.ledger).find(ID)
    assert found is not None
    return found


def states(bench: Bench, *jobs: str) -> list[str]:
    return [bench.state(job) for job in jobs]


def many(number: int) -> list[str]:
    return [f"j-{n:03d}" for n in range(number)]


def test_one_goes_first_then_ten_then_a_hundred_then_all(bench: Bench) -> None:
    jobs = many(150)
    bury(bench, *jobs)
    begin(bench, *jobs)
    fed = []
    for _ in range(10):
        again = go_on(bench)
        fed.append(look(bench).fed)
        for _ in range(look(bench).open):
            bench.settle(bench.take())
        if again is None:
            break
    assert list(dict.fromkeys(fed)) == [1, 11, 100, 150]
    done = look(bench)
    assert (done.state, done.deleted, done.open) == (ReplayState.DONE, 150, 0)
    assert done.ended is not None
    assert go_on(bench) is None


def test_a_replayed_letter_has_a_new_round_a_new_deadline_and_its_history(bench: Bench) -> None:
    bury(bench, "a")
    begin(bench, "a")
    go_on(bench)
    record = bench.record("a")
    assert (record["state"], record["round"], record["lane"], record["rp"]) == ("pending", "2", "bulk", ID)
    assert (record["by"], record["run"]) == ("ops-1", "cleanup"), "whoever asked for it still does"
    assert float(record["dl"]) == bench.now + 3_600_000
    assert "deletion.replayed" in record["log"]
    assert record["past"].startswith("A 1 1 ")


def test_a_canary_that_fails_again_stops_the_rest(bench: Bench) -> None:
    bury(bench, *many(20))
    begin(bench, *many(20))
    go_on(bench)
    failing = GateSignal("fail", key="k1", ms=5)
    bench.settle(bench.take(), "pending", status=500, wait="retry", delay_s=10, signal=failing)
    assert go_on(bench) is None
    progress = look(bench)
    assert (progress.state, progress.fed, progress.open) == (ReplayState.STOPPED, 1, 1)
    assert progress.end_why == "the canary failed again at its first attempt"
    assert states(bench, *many(20)) == ["pending", *["dead"] * 19]


@pytest.mark.parametrize("wait", ["throttled", "credentials"])
def test_an_answer_that_uses_no_attempt_is_no_failure(bench: Bench, wait: str) -> None:
    bury(bench, "a", "b")
    begin(bench, "a", "b")
    go_on(bench)
    bench.settle(bench.take(), "pending", status=429, used=False, wait=wait, delay_s=10)
    go_on(bench)
    assert (look(bench).state, look(bench).stage, look(bench).fed) == (ReplayState.RUNNING, ReplayStage.CANARY, 1)


def test_a_job_that_is_not_deletable_yet_lets_another_go_first(bench: Bench) -> None:
    bury(bench, "a", "b", "c")
    begin(bench, "a", "b", "c")
    go_on(bench)
    bench.settle(bench.take(), "pending", status=400, used=False, wait="not_deletable_yet", delay_s=600)
    go_on(bench)
    assert (look(bench).fed, look(bench).aside) == (2, 1)


def test_what_died_after_the_mark_is_not_touched(bench: Bench) -> None:
    bury(bench, "a", "b")
    bury(bench, "c")
    begin(bench, "a", "b", "c", mark=2)
    go_on(bench)
    bench.settle(bench.take())
    go_on(bench)
    progress = look(bench)
    assert (progress.fed, progress.newer, states(bench, "c")) == (2, 1, ["dead"])


def test_what_died_again_in_a_replay_is_not_replayed_by_it_again(bench: Bench) -> None:
    bury(bench, "a", "b")
    begin(bench, "a", "b", "a")  # a list that names one twice
    go_on(bench)
    bench.settle(bench.take())
    go_on(bench)
    bench.settle(bench.take(), "dead", **DEAD)
    go_on(bench)
    progress = look(bench)
    assert (progress.state, progress.fed, progress.deleted, progress.dead) == (ReplayState.DONE, 2, 1, 1)
    assert bench.record("b")["round"] == "2"


def test_what_is_on_hold_or_moved_on_stays_as_it_is(bench: Bench) -> None:
    bury(bench, "a", "b", "c")
    bench.holds.add([Target(PROJECT, "a")], why="CASE-1", by="legal-3")
    bench.ledger.discard([Target(PROJECT, "b")], why="T-1")
    begin(bench, "a", "b", "c")
    for _ in range(3):
        go_on(bench)
    progress = look(bench)
    assert (progress.fed, progress.on_hold, progress.moved) == (1, 1, 1)
    assert states(bench, "a", "b", "c") == ["dead", "discarded", "pending"]


def test_two_drivers_feed_once(bench: Bench) -> None:
    bury(bench, "a", "b")
    replays = begin(bench, "a", "b")
    progress = look(bench)
    assert replays.requeue_batch(progress, 1, ReplayStage.CANARY)
    assert not replays.requeue_batch(progress, 1, ReplayStage.CANARY)
    assert look(bench).fed == 1


def test_a_cancel_takes_back_what_nobody_called_for_and_as_it_was(bench: Bench) -> None:
    bury(bench, *many(15))
    before = {job: bench.record(job) for job in many(15)}
    replays = begin(bench, *many(15))
    go_on(bench)
    bench.settle(bench.take())
    go_on(bench)
    under_way, called = bench.take(), bench.take()
    failing = GateSignal("fail", key="k1", ms=5)
    bench.settle(called, "pending", status=500, wait="retry", delay_s=10, signal=failing)
    requested = Target(PROJECT, "j-010")
    assert bench.request(requested.id, by="support-1") == ["=pending"]

    replays.cancel(ID, why="wrong group", by="ops-7")
    assert not replays.revert_unstarted(ID)
    progress = look(bench)
    assert (progress.state, progress.end_why, progress.end_by) == (ReplayState.CANCELLED, "wrong group", "ops-7")
    assert (progress.fed, progress.deleted, progress.back, progress.open, progress.left) == (11, 1, 7, 3, 4)
    goes_its_way = {under_way.ref.id, called.ref.id, requested.id, "j-000"}
    for job in set(many(15)) - goes_its_way:
        record = bench.record(job)
        if int(job[2:]) < 11:
            assert "deletion.replay_cancelled" in record.pop("log")
            assert record.pop("past") == before[job].pop("log")
        assert record == before[job], "as it was"
    assert bench.client.zcard(bench.p + "letters:server_error-500-MSS.00000004") == 11

    bench.settle(under_way)
    assert (look(bench).deleted, look(bench).open) == (2, 2), "what was called is counted to its end"


def test_a_late_answer_of_an_earlier_round_corrects_the_counts(bench: Bench) -> None:
    bury(bench, "a")
    begin(bench, "a")
    go_on(bench)
    lease = bench.take()
    bench.settle(lease, "dead", **DEAD)
    assert (look(bench).state, look(bench).dead) == (ReplayState.DONE, 1)
    bench.settle(lease, "deleted")
    assert (look(bench).dead, look(bench).deleted) == (0, 1)


def test_a_list_that_nobody_started_is_forgotten_and_started_once(bench: Bench) -> None:
    bury(bench, "a")
    replays = Replays(bench.ledger)
    replays.snapshot("replay-9", [Target(PROJECT, "a")])
    assert replays.find("replay-9") is None
    begin(bench, "a")
    again: dict[str, Any] = {"why": "T", "by": None, "what": "all", "groups": {}, "mark": 1, "deadline_s": 60}
    assert not replays.start(replays.terms("replay-8", **again)), "there is no such list"
    go_on(bench)
    bench.settle(bench.take())
    assert look(bench).state is ReplayState.DONE
    assert bench.client.keys(bench.p + "replay-refs:*") == [f"{bench.p}replay-refs:replay-9".encode()]
    assert bench.client.ttl(bench.p + "replay-refs:replay-9") == -1, "Redis's clock may jump before it is started"
    bench.pass_time(86_401)
    bench.ledger.forget(keep_s=400 * 86_400)
    assert bench.client.keys(bench.p + "replay:replay-9*") == []
    assert look(bench).state is ReplayState.DONE


def test_the_history_forgets_the_oldest_that_have_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ledger.replays.KEEP_MOST", 2)
    bury(bench, "a")
    replays = Replays(bench.ledger)
    for n in range(5):
        replays.snapshot(f"r-{n}", [Target(PROJECT, "none")])
        replays.start(replays.terms(f"r-{n}", why="T", by=None, what="all", groups={}, mark=9, deadline_s=60))
        while step(bench.ledger, f"r-{n}") is not None:
            pass
        bench.pass_time(1)
    assert [replay.id for replay in replays.latest(10)] == ["r-4", "r-3"]
