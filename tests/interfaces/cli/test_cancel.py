"""`eraser cancel`: withdraws what was not sent, and says what could not be stopped."""

from __future__ import annotations

import threading

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.types import Settlement
from worker.model.target import Target

FIELDS = {"project_id", "kind", "id", "job_id", "result", "done", "detail"}


def test_what_was_not_sent_is_cancelled(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", "job-2")
    ended = command("cancel", "job-1", "job-2", "--reason", "T-1")
    assert ended.code == 0
    assert ended.out.count("cancelled: nothing was sent") == 2
    assert "2 requests withdrawn." in ended.out
    assert command("cancel", "job-1", "--reason", "T-1").code == 0


def test_a_call_under_way_exits_1_with_an_explanation(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.take()
    ended = command("cancel", "job-1", "--reason", "T-1")
    assert ended.code == 1
    assert "a call is in progress" in ended.out


REFUSED = {"status": 409, "code": "MSS.00000009", "wait": "retry"}


@pytest.mark.parametrize("round", ["this round", "an earlier round", "while it was under way"])
def test_of_what_was_sent_nobody_says_that_nothing_was(command: Command, undertaker: Undertaker, round: str) -> None:
    undertaker.request("job-1")
    lease = undertaker.take()
    if round == "while it was under way":
        assert command("cancel", "job-1", "--reason", "T-1").code == 1
    undertaker.settle(lease, to="dead" if round == "an earlier round" else "pending", **REFUSED)
    if round == "an earlier round":
        assert command("dead", "replay", "job-1", "--reason", "T-2").code == 0
    ended = command("cancel", "job-1", "--reason", "T-1")
    shown = command("show", "job-1").out
    assert "job-1  cancelled: withdrawn after a DELETE was sent, which did not delete the job" in shown
    assert "nothing was sent" not in ended.out + shown
    if round != "while it was under way":
        assert (ended.code, "earlier calls did not delete the job" in ended.out) == (0, True)


def test_of_what_was_not_sent_it_is_said(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    assert "nothing was sent" in command("cancel", "job-1", "--reason", "T-1").out
    assert "cancelled: withdrawn before anything was sent" in command("show", "job-1").out


def test_what_a_lost_worker_may_have_sent_is_left_open(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.lose(undertaker.take())
    assert command("cancel", "job-1", "--reason", "T-1").code == 1
    lease = undertaker.take()
    assert lease.cancel_requested
    looked = {"event": "deletion.looked", "found": "present"}
    settlement = Settlement(ref=lease.ref, token=lease.token, to="cancelled", called=False, event=looked)
    assert undertaker.ledger.take(worker="w1", key="k1", settlement=settlement, want=False).settled == "cancelled"
    assert "cancelled: withdrawn; a DELETE may have been sent before" in command("show", "job-1").out


def test_what_may_be_deleted_exits_1_and_somebody_looks(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.settle(undertaker.take(), to="pending", wait="retry", delay_s=600, fields={"unk": "1"})
    ended = command("cancel", "job-1", "--reason", "T-1", "--json")
    assert ended.code == 1
    assert [line["result"] for line in ended.json] == ["may_be_deleted"]
    assert undertaker.redis.zscore("eraser:wakeups", "default") is not None


@pytest.mark.parametrize(
    ("to", "says"), [("deleted", "too late: it is deleted"), ("dead", "eraser dead discard job-1")]
)
def test_what_is_over_cannot_be_cancelled(command: Command, undertaker: Undertaker, to: str, says: str) -> None:
    undertaker.end("job-1", to=to)
    ended = command("cancel", "job-1", "--reason", "T-1")
    assert ended.code == 1
    assert says in ended.out.replace("\n", " ")


def test_a_bad_or_unknown_id_does_not_stop_the_others(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    ended = command("cancel", "a/b", "nobody", "job-1", "--reason", "T-1", "--json")
    assert ended.code == 1
    assert all(set(line) == FIELDS for line in ended.json)
    assert {line["job_id"]: line["result"] for line in ended.json} == {
        "a/b": "bad_id",
        "nobody": "unknown",
        "job-1": "cancelled",
    }


def test_a_run_withdraws_only_its_own_claims(command: Command, undertaker: Undertaker) -> None:
    undertaker.request(*[f"job-{n}" for n in range(250)], run="run-1")
    undertaker.request("job-0", by="ops-2")
    ended = command("cancel", "--run", "run-1", "--reason", "T-1", "--json")
    assert ended.code == 0
    results = {line["job_id"]: line["result"] for line in ended.json}
    assert len(results) == 250
    assert results["job-0"] == "claim_removed"
    assert set(results.values()) == {"claim_removed", "cancelled"}


def test_a_runs_dead_letters_are_told_because_a_replay_would_send_them(
    command: Command, undertaker: Undertaker
) -> None:
    undertaker.end("job-3")
    undertaker.request("job-1", "job-2", run="run-1")
    dead = undertaker.take()
    undertaker.settle(dead, to="dead")
    ended = command("cancel", "--run", "run-1", "--reason", "T-1")
    assert ended.code == 1
    assert f"eraser dead discard {dead.ref.id}" in ended.out.replace("\n", " ")
    assert "job-3" not in ended.out
    assert "1 request withdrawn, 1 not." in ended.out


def test_a_run_without_anything_open_is_said_in_words(command: Command) -> None:
    ended = command("cancel", "--run", "run-9", "--reason", "T-1")
    assert ended.code == 0
    assert "nothing was cancelled" in ended.out


@pytest.mark.parametrize("args", [[], ["job-1", "--run", "run-1"]])
def test_jobs_or_a_run_one_of_the_two(command: Command, args: list[str]) -> None:
    ended = command("cancel", *args, "--reason", "T-1")
    assert ended.code == 2
    assert f"{', not both' if args else ''}: eraser cancel JOB_ID --reason TICKET" in ended.err


def test_a_reason_is_needed(command: Command) -> None:
    assert command("cancel", "job-1").code == 2


def test_a_run_is_found_whole_while_its_deletions_change_their_indexes(undertaker: Undertaker) -> None:
    undertaker.request("a", run="r1")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            undertaker.settle(undertaker.take(), to="pending", cause=None, used=False)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        found = [list(BulkQueries(undertaker.redis, "default").claimed_by("r1")) for _ in range(500)]
    finally:
        stop.set()
        thread.join()
    assert all(refs == [Target(PROJECT, "a")] for refs in found)
