"""Whether a DELETE was sent, and why nobody knows what became of it, by what the history says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.model.target import Target

JOB = [Target(PROJECT, "job-1")]
UNCLEAR = {"status": 500, "fields": {"unk": "1"}}
ANSWERED = "a DELETE of round 1 was answered 200"
NO_ANSWER = "a call had no clear answer"
LOST = "a worker was lost, and its call may have been sent"


def beware(command: Command) -> str:
    """What `eraser show` says of a call that may have deleted it."""
    shown = " ".join(command("show", "job-1").out.split())
    return shown.partition("it may be deleted: ")[2].partition(" due ")[0]


def replayed(undertaker: Undertaker) -> None:
    undertaker.ledger.replay(JOB, why="T-2", deadline_s=86400)


def test_a_call_without_a_clear_answer(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", **UNCLEAR)
    replayed(undertaker)
    assert beware(command) == NO_ANSWER
    undertaker.settle(undertaker.take(), to="gone", status=404, code="MSS.00000005", evidence="after_our_call")
    assert f"afterwards the job was absent ({NO_ANSWER})" in " ".join(command("show", "job-1").out.split())


@pytest.mark.parametrize("answer", [{"status": 403, "code": "APIGW.0302"}, {"status": 429, "code": "APIGW.0308"}])
def test_a_worker_that_was_lost_beside_calls_that_were_answered(
    command: Command, undertaker: Undertaker, answer: dict[str, Any]
) -> None:
    undertaker.request("job-1")
    undertaker.settle(undertaker.take(), to="pending", wait="retry", **answer)
    assert beware(command) == ""
    undertaker.lose(undertaker.take())
    assert beware(command) == LOST


def test_a_round_after_a_200(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.lose(undertaker.take())
    undertaker.settle(undertaker.take(), to="deleted")
    undertaker.request("job-1", force=True)
    assert beware(command) == ANSWERED, "what came before the 200 is no doubt any more"
    undertaker.settle(undertaker.take(), to="pending", wait="retry", status=403)
    assert beware(command) == ANSWERED
    undertaker.settle(undertaker.take(), to="pending", wait="retry", **UNCLEAR)
    assert beware(command) == NO_ANSWER
