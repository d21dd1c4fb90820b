"""How soon Celery's consumer comes back after Redis refused it."""

from __future__ import annotations

import time

import pytest
from redis.exceptions import ReadOnlyError

from worker.execution.consumer import Consumer


def test_the_first_refusal_of_each_outage_is_told_and_soon_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    consumer: Consumer = object.__new__(Consumer)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for at in (100.0, 100.2, 101.1, 102.7, 105.0, 107.9, 1000.0):
        monkeypatch.setattr(time, "monotonic", lambda at=at: at)
        consumer.on_connection_error_after_connected(ReadOnlyError("You can't write against a read only replica."))
    assert [round(one, 1) for one in slept] == [0.2, 0.9, 1.6, 2.3, 3.0, 3.0, 0.2]
    assert [line.getMessage() for line in caplog.records] == ["broker.refuses"] * 2
