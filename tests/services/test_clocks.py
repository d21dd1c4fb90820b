"""Whose clock is wrong, and what that means, in one sentence."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.support.command import Command
from worker.ledger.connection import connect
from worker.ledger.keys import OURS
from worker.services.clocks import why_apart


@pytest.mark.parametrize(
    "apart", [[], [("a", None)], [("a", 0.3), ("b", -59.0)]], ids=["nobody", "does not say", "by less than a minute"]
)
def test_clocks_that_agree_are_not_told(apart: list[tuple[str, float | None]]) -> None:
    assert why_apart(apart) is None


def test_whose_clock_is_wrong_is_whose_differs_from_the_others() -> None:
    assert (why_apart([("a", 8_640_000.0)]) or "").startswith("Redis's clock is 100 d ahead of that of the worker;")
    assert (why_apart([("a", -90.0), ("b", -91.0)]) or "").startswith(
        "Redis's clock is 1 min 31 s behind that of every"
    )
    one = why_apart([("a", 7200.0), ("b", 0.0), ("c", 1.0)]) or ""
    assert one.startswith("the clock of worker a is 2 h behind Redis's, while the others agree")
    two = why_apart([("a", 7200.0), ("b", -300.0), ("c", 1.0)]) or ""
    assert "and 1 other is" in two


def test_status_and_doctor_say_that_clocks_disagree_and_what_stands_still(command: Command) -> None:
    client: Any = connect(command.url)
    client.zadd(OURS.workers, {"w1": time.time() * 1000})
    client.hset(OURS.worker_info, "w1", json.dumps({"host": "h1", "pid": 1, "threads": 4, "clock_s": 8_640_000.0}))
    status = command("status").out
    assert "Redis's clock is 100 d ahead of that of the worker" in " ".join(status.split())
    assert command("status", "--json").json[0]["workers"][0]["clock_s"] == 8_640_000.0
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}
    assert checked["clocks of workers"]["verdict"] == "wrong"
    assert "no grace or hold ends" in checked["clocks of workers"]["found"]
    client.hset(OURS.worker_info, "w1", json.dumps({"host": "h1", "pid": 1, "threads": 4, "clock_s": 0.1}))
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}
    assert checked["clocks of workers"]["verdict"] == "ok"
