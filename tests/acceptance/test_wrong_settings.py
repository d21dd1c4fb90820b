"""A worker that cannot work says what to set and ends; one whose Redis is away says so, waits and goes on."""

from __future__ import annotations

import pytest

from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import judge
from worker.model.states import State

WRONG = [
    ({"CELERY_BROKER_URL": "redis://elsewhere:6379/0"}, "CELERY_BROKER_URL", "unset CELERY_BROKER_URL"),
    ({"ERASER_RATE": "fast"}, "ERASER_RATE", "calls per second"),
    ({"HUAWEICLOUD_SDK_AK": None, "HUAWEICLOUD_SDK_SK": None}, "HUAWEICLOUD_SDK_AK", "set"),
    ({"HUAWEICLOUD_SDK_SK": None}, "HUAWEICLOUD_SDK_SK", "set"),
    ({"ERASER_LEASE": "1s"}, "ERASER_LEASE", "set it to at least"),
    ({"ERASER_RATES": "3"}, "ERASER_RATES", "ERASER_RATE"),
    ({"ERASER_ENDPOINT": None}, "ERASER_ENDPOINT", "set"),
    ({"ERASER_ENDPOINT": "http://metastudio.example"}, "ERASER_ENDPOINT", "https://"),
    ({"ERASER_REDIS_URL": "localhost:6379"}, "ERASER_REDIS_URL", "redis://"),
]


@pytest.fixture(scope="module")
def fleet() -> object:
    with Fleet() as fleet:
        yield fleet


@pytest.mark.parametrize(("change", "name", "hint"), WRONG, ids=[" ".join(change) for change, _, _ in WRONG])
def test_a_worker_with_a_wrong_setting_ends_with_what_to_set(
    fleet: Fleet, change: dict[str, str | None], name: str, hint: str
) -> None:
    env = {key: value for key, value in (fleet.env | change).items() if value is not None}
    worker = fleet.start_worker(env=env)
    fleet.wait(lambda: not worker.alive, f"the worker ends\n{worker.text}")
    assert worker.popen.returncode == 2, worker.text
    assert name in worker.text
    assert hint in worker.text
    assert "Traceback" not in worker.text


def test_a_worker_without_redis_says_so_and_waits_until_it_comes() -> None:
    with Fleet() as fleet:
        fleet.plant("plain")
        fleet.ask("plain")
        fleet.kill_redis()
        worker = fleet.start_worker()
        fleet.wait(lambda: "redis.away" in worker.text, "the worker says that Redis is away")
        fleet.wait(lambda: "Trying again" in worker.text, "Celery says that it tries again")
        assert "Traceback" not in worker.text
        fleet.start_redis()
        took = fleet.wait_until_settled(1)
        assert worker.alive, f"it ended after {took:.1f} s"
        assert judge(fleet, ["plain"])["plain"].state is State.DELETED
