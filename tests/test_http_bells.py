"""Bells ring in their own time: nobody waits for a broker, and many requests wake the dispatcher once."""

from __future__ import annotations

import threading

from tests.waiting import wait_until
from worker.operations.http.bells import Bells


def test_a_slow_broker_delays_nobody_and_many_wakes_are_one() -> None:
    go, rung, woken = threading.Event(), [], []

    def ring(account: str, bell: str) -> None:
        go.wait(60)
        rung.append((account, bell))

    bells = Bells(ring, woken.append)
    bells("a", "1")  # stuck at the broker
    for _ in range(1000):
        bells.wake("a")
        bells("b", "2")
    assert (rung, woken) == ([], [])
    go.set()
    wait_until(lambda: woken == ["a"], what="one wake for all")
    wait_until(lambda: rung[:2] == [("a", "1"), ("b", "2")], what="the bells in their order")
    bells.wake("a")
    wait_until(lambda: woken == ["a", "a"], what="one more for what came later")
