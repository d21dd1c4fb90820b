"""A process is killed before or after any of its calls of Redis or MetaStudio, and another one ends what it began.

For every n: the n-th call is the last that the first worker makes. Either it never left, or its answer is never read.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_executor import LEASE_S
from tests.support.in_process import InProcess
from worker.ledger.deletions import connect
from worker.lookups.sightings import Sightings
from worker.simulator import DEMO_PROJECT, Simulator

WHOLE = "whole_by_acknowledgement closed"
STEPS = (0, 66, 600, 66, 600, DAY_S)  # seconds: the job's DELETE, two looks, the parts' DELETEs, the looks after them
MOST_CALLS = 400


class Killed(BaseException):
    """The process is no more: nothing of it may catch this."""


class Offline(Simulator):
    """One that nobody reaches but `InProcess`."""

    url = "http://127.0.0.1:1"


class Mortal(Estate):
    """An estate whose worker dies at its n-th call."""

    related = "delete"

    def __post_init__(self) -> None:
        self.calls_left: int | None = None
        self.when = "before"
        super().__post_init__()
        self.wire_up()

    def wire_up(self) -> None:
        transport = InProcess(
            self.simulator.state, before=lambda _: self.tick("before"), after=lambda _: self.tick("after")
        )
        self.client._transport = transport  # type: ignore[assignment]

    def with_policy(self, **changed: Any) -> None:
        super().with_policy(**changed)
        run = self.ledger.run_script

        def mortal(*args: Any, **more: Any) -> Any:
            self.tick("before")
            answer = run(*args, **more)
            self.tick("after")
            return answer

        self.ledger.run_script = mortal  # type: ignore[method-assign]

    def tick(self, when: str) -> None:
        if self.calls_left is None or when != self.when:
            return
        self.calls_left -= 1
        if self.calls_left < 0:
            raise Killed

    def be_another(self) -> None:
        """Another process: it knows nothing but what Redis holds."""
        ahead_s = self.ahead_s
        self.sightings = Sightings()
        self.__post_init__()
        self.ahead_s = ahead_s

    def live_on(self) -> None:
        """Another one goes on when the dead one's lease has ended."""
        self.be_another()
        self.pass_time(LEASE_S + 1)
        self.simulator.move_library_clock((LEASE_S + 1) / DAY_S)
        self.ledger.rescue(alive=["w2"], counts=True)
        self.go()


def first_life(estate: Mortal, calls: int, when: str) -> bool:
    """Whether it was killed on the way."""
    estate.calls_left, estate.when = calls, when
    try:
        estate.request(JOB)
        for seconds in STEPS:
            estate.later(seconds)
    except Killed:
        return True
    return False


def judge(estate: Mortal, n: int) -> None:
    """By what the simulator itself says."""
    assert estate.verdict() == WHOLE, (n, estate.erasure())
    assert {how.rpartition(" ")[2] for how in estate.parts().values()} == {"us"}, (n, estate.parts())
    states = estate.simulator.assets()[DEMO_PROJECT]
    assert [states[f"{kind}-{JOB}"] for kind in ("asset", "voice-asset")] == ["DELETED"] * 2, n
    assert [states[f"{kind}-other"] for kind in ("asset", "voice-asset")] == ["ACTIVED"] * 2, n
    assert list(estate.simulator.voice_jobs()[DEMO_PROJECT]) == ["voice-other"], n
    calls = estate.simulator.calls()
    job_gone = min(call["n"] for call in calls if (call["kind"], call["operation"]) == ("job", "delete"))
    parts = [call["n"] for call in calls if call["kind"] != "job" and call["operation"] in ("delete", "update")]
    assert parts, n
    assert min(parts) > job_gone, f"{n}: a part was acted on before its job's end"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("third", range(3))
def test_whenever_a_worker_is_killed_another_one_ends_what_it_began(when: str, third: int, redis_url: str) -> None:
    client, killed = connect(redis_url), 0
    for n in range(third, MOST_CALLS, 3):
        client.flushall()
        simulator = Offline()
        simulator.add_avatar("other")
        simulator.add_avatar(JOB)
        estate = Mortal(simulator, client)
        estate.trust_the_key()
        if not first_life(estate, n, when):
            break
        killed += 1
        estate.live_on()
        if not estate.record(JOB):  # it was not accepted yet: whoever asked asks again
            estate.delete(JOB)
        estate.to_the_end()
        estate.to_the_end()
        judge(estate, n)
    assert 15 < killed < MOST_CALLS // 3, killed
