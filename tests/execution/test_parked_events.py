"""A message that could not be recorded is an event for webhooks: once for a flood, and without what its sender says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.exceptions import Ignore

from tests.support.command import Command
from tests.support.dead_letters import PROJECT
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import Receiver
from worker.config.redis_urls import broker_form
from worker.execution import deliverer
from worker.execution.app_context import AppContext
from worker.execution.deliverer import Deliverer
from worker.execution.intake import Intake
from worker.execution.messages import Envelope, Lent, RequestMessage
from worker.ledger import deliveries
from worker.ledger.parking import ParkedKind
from worker.ledger.schema.keys import Key
from worker.ledger.types import Accepted
from worker.model.errors import EraserError, UnknownProject, Unreachable, UsageError

MAIL = "maria@example.com"
BAD = UsageError(f"job_id: expected an id; found {MAIL!r}")
ELSEWHERE = "13800138000"  # an id by its form, and a phone number
SENT = {"account": "default", "task": "eraser.delete", "task_id": "m-1"}


class Bench:
    """An intake, an endpoint, and what delivers to it, turn by turn."""

    def __init__(self, command: Command, receiver: Receiver, folder: Path) -> None:
        config = folder / "eraser.toml"
        config.write_text(f'[accounts.default]\nprojects = ["{PROJECT}"]\n{receiver.toml(folder)}')
        self.app = AppContext.load(command.environ | {"ERASER_CONFIG": str(config)})
        self.receiver, self.deliverer = receiver, Deliverer(self.app)
        self.deliverer.turn()  # from now on events are written down
        celery_app = Celery("us", broker=broker_form(command.environ["ERASER_REDIS_URL"]), set_as_current=False)
        self.intake = Intake(celery_app, lambda: self.app)

    def park(self, error: Exception, *args: Any, id_: str = "m-1", lent: Lent | None = None) -> None:
        def request() -> Accepted:
            raise error

        message = RequestMessage(Envelope(b"", None, None, {}, {}, None), id_, lent, None, None)
        with suppress(Ignore, EraserError):
            self.intake.record(message, request, args, {"app_user": MAIL, "why": MAIL})

    @property
    def events(self) -> int:
        return int(self.app.redis.xlen(self.app.keys.account("default") + Key.OUTBOX))

    def delivered(self) -> list[dict[str, Any]]:
        many = self.events
        self.deliverer.turn()
        wait_until(lambda: len(self.receiver.messages) == many, what="the events arrive")
        assert self.receiver.wrong == []
        assert MAIL not in str(self.receiver.messages)
        assert {message["type"] for message in self.receiver.messages} <= {"message.parked"}
        return [message["data"] for message in self.receiver.messages]


@pytest.fixture
def bench(command: Command, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(deliverer, "PAUSE_S", 0.0)
    return Bench(command, receiver, tmp_path)


def test_a_flood_of_bad_requests_is_one_event_without_its_arguments(bench: Bench) -> None:
    for number in range(1, 51):
        bench.park(BAD, PROJECT, MAIL, id_=f"m-{number}")
    expected = {"kind": "bad", "group": "bad:eraser.delete", "project_id": PROJECT, "job_id": None}
    assert bench.delivered() == [SENT | expected]


def test_a_project_that_settings_do_not_know_is_not_named(bench: Bench) -> None:
    bench.park(UnknownProject(ELSEWHERE, "is none"), ELSEWHERE, "job-1")
    expected = {"kind": "refused", "group": "refused:-", "project_id": None, "job_id": None}
    assert bench.delivered() == [SENT | expected]


def test_ids_with_personal_data_are_not_sent(bench: Bench) -> None:
    bench.park(ZeroDivisionError(MAIL), PROJECT, ELSEWHERE, id_=MAIL)
    expected = {"kind": "fault", "group": "fault:eraser.delete", "project_id": PROJECT, "job_id": None, "task_id": None}
    assert bench.delivered() == [SENT | expected]


def test_what_is_tried_again_is_no_event_again(bench: Bench) -> None:
    bench.park(BAD, PROJECT, "job-1", lent=Lent("fault:eraser.delete", b"", 1))
    assert bench.events == 0


def test_nor_is_what_is_put_aside_again_before_a_task_gets_it(bench: Bench) -> None:
    sent = Envelope(b"[[], {}, {}]", "application/json", "utf-8", {"id": "m-1", "task": "eraser.delete"}, {}, None)
    bench.intake.put_aside(sent.lent(Lent("fault:eraser.delete", b"", 1)), ParkedKind.FAULT, "eraser.delete", "broken")
    assert [group.name for group in bench.intake.parking.groups()] == ["fault:eraser.delete"]
    assert bench.events == 0
    bench.park(ZeroDivisionError(), PROJECT, "job-1")
    assert bench.events == 1, "a new one is told, however lately another one was tried again"


def test_what_another_application_sends_is_no_event(bench: Bench) -> None:
    bench.intake.put_garbage_aside(None, b"", b"{{", why="not a message")
    assert [group.name for group in bench.intake.parking.groups()] == ["foreign:-"]
    assert bench.events == 0


@pytest.mark.parametrize("error", [Unreachable("away"), redis.ResponseError("OOM")])
def test_an_event_that_cannot_be_written_down_disturbs_nothing(
    bench: Bench, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(deliveries, "record", fail)
    bench.park(BAD, PROJECT, "job-1")
    assert [group.count for group in bench.intake.parking.groups()] == [1]
    assert "message.untold" in [line.getMessage() for line in caplog.records]
