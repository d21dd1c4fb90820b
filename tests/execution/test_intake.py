"""A message that could not be recorded: where it goes, by what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore
from kombu import Message

from tests.support.dead_letters import PROJECT
from worker.config.redis_urls import broker_form
from worker.execution.app_context import AppContext
from worker.execution.intake import Intake
from worker.execution.messages import LENT, Envelope, Lent, RequestMessage, why_unreadable
from worker.ledger.connection import connect
from worker.ledger.parking import ParkedKind, Parking
from worker.ledger.types import Accepted
from worker.model.errors import OtherSchema, RefusedBySafetyRule, SettingsError, UnknownProject, Unreachable, UsageError
from worker.model.target import Target

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BODY = b'[["%s", "job-1"], {}, {}]' % PROJECT.encode()
DONE = Accepted(Target(PROJECT, "job-1"), "pending", deduplicated=False)


class Bench:
    """An intake on a real Redis, which is the ledger and the broker."""

    def __init__(self, url: str) -> None:
        self.redis = connect(url)
        environ = {"ERASER_REDIS_URL": url, "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT, "ERASER_CALL_TIMEOUT": "5s"}
        self.app = AppContext.load(environ)
        self.celery_app = Celery("us", broker=broker_form(url), set_as_current=False)
        self.celery_app.conf.broker_transport_options = {"socket_connect_timeout": 1, "max_retries": 0}
        self.intake = Intake(self.celery_app, lambda: self.app)
        self.parking = Parking(self.redis)

    def record(self, request: Callable[[], Accepted], *, lent: Lent | None = None) -> Accepted:
        return self.intake.record(message_of(lent=lent), request, (PROJECT, "job-1"), {"by": "c4n4ry"})

    def parked(self) -> dict[str, int]:
        return {group.name: group.count for group in self.parking.groups()}

    @property
    def waiting(self) -> int:
        return int(self.redis.llen("eraser"))  # type: ignore[arg-type]


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    made = Bench(redis_url)
    with made.celery_app:
        yield made


def message(body: bytes = BODY, **headers: Any) -> Any:
    made: Any = Message
    return made(
        body=body,
        content_type="application/json",
        content_encoding="utf-8",
        headers={"task": "eraser.delete", "id": "m-1", **headers},
        delivery_info={"routing_key": "eraser"},
        properties={"priority": 3},
        accept={"application/json"},
    )


def message_of(*, lent: Lent | None = None, **headers: Any) -> RequestMessage:
    return RequestMessage.of(message(**headers, **({LENT: lent} if lent else {})))


def raising(error: Exception) -> Callable[[], Accepted]:
    def request() -> Accepted:
        raise error

    return request


def test_what_can_be_recorded_leaves_no_trace(bench: Bench) -> None:
    assert bench.record(lambda: DONE) == DONE
    assert (bench.parked(), bench.waiting) == ({}, 0)


@pytest.mark.parametrize(
    "error", [Unreachable("away"), RefusedBySafetyRule("memory", "full"), OtherSchema("it", stored=3, ours=1)]
)
def test_while_the_ledger_takes_nothing_it_goes_back_to_the_broker_as_it_was(bench: Bench, error: Exception) -> None:
    with pytest.raises(Ignore):
        bench.record(raising(error))
    assert bench.parked() == {}
    with bench.celery_app.connection_for_read() as connection, connection.SimpleQueue("eraser") as queue:
        found = queue.get(timeout=5)
        found.ack()
    assert (found.body, found.headers["id"], found.properties["priority"]) == (BODY, "m-1", 3)
    assert (bench.app.refused is error) is isinstance(error, OtherSchema), "its worker ends, and another one takes it"


@pytest.mark.parametrize(
    "error",
    [UnknownProject(PROJECT, "is none"), SettingsError("ERASER_CONFIG", "no account"), RefusedBySafetyRule("r", "w")],
)
def test_what_this_worker_refuses_is_kept_for_one_that_does_not(bench: Bench, error: Exception) -> None:
    with pytest.raises(Ignore):
        bench.record(raising(error))
    assert (bench.parked(), bench.waiting) == ({f"refused:{PROJECT}": 1}, 0)
    ((_, found),) = bench.parking.each(f"refused:{PROJECT}")
    assert (found.project, found.job, found.times) == (PROJECT, "job-1", 1)
    assert Envelope.from_json(found.raw or {}).body == BODY


def test_a_request_that_nobody_can_carry_out_is_told_without_what_it_says(bench: Bench) -> None:
    with pytest.raises(UsageError):
        bench.record(raising(UsageError("lane: expected user or bulk; found 'c4n4ry'")))
    ((line, found),) = bench.parking.each("bad:eraser.delete")
    assert (found.why, found.job, found.raw) == ("lane: expected user or bulk", "job-1", None)
    assert b"c4n4ry" not in line


def test_a_fault_of_ours_loses_no_message(bench: Bench) -> None:
    with pytest.raises(Ignore):
        bench.record(raising(ZeroDivisionError("c4n4ry")))
    ((_, found),) = bench.parking.each("fault:eraser.delete")
    assert found.why.startswith("ZeroDivisionError")
    assert "c4n4ry" not in found.why
    assert found.raw is not None


def test_what_is_tried_again_leaves_its_place_once_it_has_another(bench: Bench) -> None:
    with pytest.raises(Ignore):
        bench.record(raising(UnknownProject(PROJECT, "is none")))
    ((line, found),) = bench.parking.each(f"refused:{PROJECT}")
    lent = Lent(f"refused:{PROJECT}", line, found.times)
    with pytest.raises(Ignore):
        bench.record(raising(Unreachable("away")), lent=lent)
    assert (bench.parked(), bench.waiting) == ({f"refused:{PROJECT}": 1}, 0), "it is safe where it is"
    with pytest.raises(Ignore):
        bench.record(raising(UnknownProject(PROJECT, "is none")), lent=lent)
    ((line, found),) = bench.parking.each(f"refused:{PROJECT}")
    assert found.times == 2
    bench.record(lambda: DONE, lent=Lent(f"refused:{PROJECT}", line, found.times))
    assert bench.parked() == {}


def test_where_nothing_takes_it_a_worker_that_is_told_to_stop_waits_as_long_as_a_call(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis_url)
    bench.celery_app.conf.broker_url = "redis://127.0.0.1:1/0"
    bench.app.stopping.set()
    slept: list[float] = []
    monkeypatch.setattr("worker.execution.intake.time.sleep", slept.append)
    monkeypatch.setattr("worker.execution.intake.time.monotonic", lambda: float(len(slept)))
    responses = [Unreachable("away")] * 3
    assert bench.record(lambda: raising(responses.pop())() if responses else DONE) == DONE
    assert len(slept) == 3
    with pytest.raises(Ignore):
        bench.record(raising(Unreachable("away")))
    assert len(slept) > bench.app.settings.call_timeout
    with bench.celery_app:
        pass


def test_an_eta_and_an_end_are_read_whatever_their_form() -> None:
    hour = (NOW + timedelta(hours=1)).isoformat()
    assert message_of(eta=hour).wait_s(NOW) == 3600
    assert message_of(eta="2026-11-22T01:00:00").wait_s(NOW) == 3600, "without a zone it is UTC"
    assert message_of(eta="2026-11-22T02:00:00+01:00").wait_s(NOW) == 3600
    assert message_of().wait_s(NOW) == 0
    assert not message_of(expires=hour).is_over(NOW)
    assert message_of(expires=hour).is_over(NOW + timedelta(hours=1))
    assert message_of(eta=hour, expires=hour).is_over(NOW)


def test_why_a_message_cannot_be_read_is_said_in_words() -> None:
    assert why_unreadable(message()) is None
    assert why_unreadable(message(eta="soon")) == "not a valid Celery message: eta"
    assert "send JSON" in (why_unreadable(message(b"{{")) or "")


def test_the_kinds_are_those_that_the_page_explains() -> None:
    assert {kind.value for kind in ParkedKind} == {"refused", "fault", "foreign", "bad"}
