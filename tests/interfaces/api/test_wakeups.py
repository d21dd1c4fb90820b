"""Bells ring in their own time: nobody waits for a broker, and many requests wake the dispatcher once."""

from __future__ import annotations

import threading

from tests.support.waiting import wait_until
from worker.interfaces.api.wakeups import WakeupSender


def test_a_slow_broker_delays_nobody_and_many_wakes_are_one() -> None:
    go, notified, woken = threading.Event(), [], []

    def notify(account: str, wakeup: str) -> None:
        go.wait(60)
        notified.append((account, wakeup))

    wakeups = WakeupSender(notify, woken.append)
    wakeups("a", "1")  # stuck at the broker
    for _ in range(1000):
        wakeups.wake("a")
        wakeups("b", "2")
    assert (notified, woken) == ([], [])
    go.set()
    wait_until(lambda: woken == ["a"], what="one wake for all")
    wait_until(lambda: notified[:2] == [("a", "1"), ("b", "2")], what="the bells in their order")
    wakeups.wake("a")
    wait_until(lambda: woken == ["a", "a"], what="one more for what came later")
