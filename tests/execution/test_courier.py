"""Webhooks from the ledger to the receiver: each event at least once, signed, and nobody waits for a slow one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import Receiver
from worker.execution import courier
from worker.execution.app_context import AppContext
from worker.execution.courier import Courier
from worker.ledger import deliveries
from worker.ledger.deliveries import Delivery, DeliveryState
from worker.ledger.schema.keys import Key
from worker.model.target import Target

LATELY_S = 0.05

Start = Callable[..., AppContext]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "EVERY_S", LATELY_S)
    monkeypatch.setattr(courier, "PAUSE_S", LATELY_S)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as one:
        yield one


@pytest.fixture
def configured(command: Command, tmp_path: Path) -> Start:
    """A context with these tables in ERASER_CONFIG, and a short schedule."""

    def load(*tables: str, **environ: str) -> AppContext:
        path = tmp_path / "eraser.toml"
        path.write_text("[accounts.default]\n" + "\n".join(tables))
        more = {"ERASER_CONFIG": str(path), "ERASER_RETRY_SCHEDULE": "0.05s,0.05s"}
        return AppContext.load(command.environ | more | environ)

    return load


@contextmanager
def delivering(app: AppContext) -> Iterator[Courier]:
    one = Courier(app)
    one.turn()  # from now on events are written down
    one.start()
    try:
        yield one
    finally:
        one.stop()


def kept(app: AppContext, account: str = "default") -> list[Delivery]:
    return list(deliveries.Deliveries(app.redis, account, app.keys).newest())


def states(app: AppContext) -> list[DeliveryState]:
    return [one.state for one in kept(app)]


def test_ends_arrive_signed_and_without_a_person(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path))
    with delivering(app):
        claim = {"why": "T-1", "by": "ops-7", "run": "run-1", "app_user": "user-4711"}
        undertaker.end("a", to="deleted", claim=claim)
        undertaker.end("b", to="gone", evidence="seen_before")
        undertaker.end("c")
        undertaker.request("d", "e")
        undertaker.ledger.cancel([Target(PROJECT, "d")], why="T-2", by="ops-8")
        wait_until(lambda: len(receiver.messages) == 4, what="four ends arrive")
    assert receiver.wrong == []
    found = {message["data"]["id"]: message for message in receiver.messages}
    times = {found["a"].pop("timestamp"), found["a"]["data"].pop("requested_at")}
    assert all(time.startswith("20") and time.endswith("Z") for time in times)
    assert found["a"].pop("id").startswith("msg_")
    assert found["a"] == {
        "type": "deletion.deleted",
        "data": {
            "account": "default",
            "project_id": PROJECT,
            "kind": "job",
            "id": "a",
            "job_id": "a",
            "state": "deleted",
            "round": 1,
            "run": "run-1",
        },
    }
    assert (found["b"]["type"], found["b"]["data"]["evidence"]) == ("deletion.gone", "seen_before")
    assert (found["c"]["type"], found["c"]["data"]["cause"]) == ("deletion.dead", "server_error")
    assert found["d"]["type"] == "deletion.cancelled"
    assert {"T-1", "T-2", "ops-7", "ops-8", "user-4711"} & set(
        str(receiver.messages).replace("'", " ").split()
    ) == set()
    assert states(app) == [DeliveryState.DELIVERED] * 4
    assert app.redis.exists(app.keys.account("default") + Key.OUTBOX) == 0


def test_nothing_is_written_where_no_endpoint_is_configured(configured: Start, undertaker: Undertaker) -> None:
    app = configured()
    undertaker.end("a", to="deleted")
    assert app.settings.webhooks == {}
    keys: Any = app.redis.keys("*")
    assert [key for key in keys if b"outbox" in key or b"webhook" in key] == []


def test_what_is_refused_is_tried_by_the_schedule_then_dead_and_replayed(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    receiver.status = 500
    app = configured(receiver.toml(tmp_path))
    with delivering(app):
        undertaker.end("a", to="deleted")
        wait_until(lambda: states(app) == [DeliveryState.DEAD], what="it is given up")
        (dead,) = kept(app)
        assert [(one.status, one.why) for one in dead.attempts] == [(500, "refused")] * 3
        assert receiver.attempts == {dead.id: 3}

        receiver.status = 200
        ledger = app.ledger("default")
        assert deliveries.replay(ledger, "crm", [dead.id, "msg_none"]) == {dead.id: "replayed", "msg_none": "unknown"}
        wait_until(lambda: states(app) == [DeliveryState.DELIVERED], what="the replay arrives")
        assert deliveries.Deliveries(app.redis, "default", app.keys).dead("crm") == []
    assert [message["id"] for message in receiver.messages] == [dead.id]


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [(302, {"Location": "http://169.254.169.254/"}, "a redirect, which is not followed"), (410, {}, "refused")],
)
def test_no_redirect_is_followed_and_gone_is_final(
    status: int, headers: dict[str, str], why: str, configured: Start, undertaker: Undertaker, tmp_path: Path
) -> None:
    with Receiver(status=status, answer_headers=headers) as receiver:
        app = configured(receiver.toml(tmp_path))
        with delivering(app):
            undertaker.end("a", to="deleted")
            wait_until(lambda: states(app) == [DeliveryState.DEAD], what="it is given up")
    (dead,) = kept(app)
    assert {(one.status, one.why) for one in dead.attempts} == {(status, why)}
    assert len(dead.attempts) == (1 if status == 410 else 3)


def test_an_endpoint_that_never_answers_delays_no_other(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    with Receiver(delay_s=3600) as stuck:
        app = configured(stuck.toml(tmp_path, "stuck"), receiver.toml(tmp_path))
        one = Courier(app)
        one.turn()
        undertaker.end(*(f"job-{n}" for n in range(30)), to="deleted")
        one.start()
        wait_until(lambda: len(receiver.messages) == 30, what="the other one has all of them")
        assert len({message["id"] for message in receiver.messages}) == 30
        one._stop.set(), one.soon()  # not stop(): it would wait for the stuck one


def test_an_endpoint_that_refuses_is_left_alone_for_a_while(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "PAUSE_S", 3600.0)
    with Receiver(status=500) as wrong:
        app = configured(wrong.toml(tmp_path, "wrong"), receiver.toml(tmp_path))
        one = Courier(app)
        one.turn()
        undertaker.end(*(f"job-{n}" for n in range(30)), to="deleted")
        with delivering(app):
            wait_until(lambda: len(receiver.messages) == 30, what="the other one has all of them")
            wait_until(lambda: wrong.attempts.total() == courier.WIDEST, what="those that were on their way")
        assert wrong.attempts.total() == courier.WIDEST, "and no more, though 22 are due"


def test_whoever_dies_with_a_delivery_loses_it_to_the_next(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path))
    Courier(app).turn()
    undertaker.end("a", to="deleted")
    ledger = app.ledger("default")
    deliveries.fan_out(ledger, Courier(app)._wanted("default"))
    (lost,) = deliveries.take(ledger, "crm", 8)  # and nobody says what became of it
    assert deliveries.take(ledger, "crm", 8) == []
    app.redis.zadd(f"{ledger.prefix}{Key.DELIVERIES_DUE}crm", {lost.id: 1})  # its lease ends
    with delivering(app):
        wait_until(lambda: states(app) == [DeliveryState.DELIVERED], what="somebody else delivers it")
    assert deliveries.settle(ledger, "crm", lost, status=None, ms=1, why="no answer") == "late"
    assert states(app) == [DeliveryState.DELIVERED]
    assert [message["id"] for message in receiver.messages] == [lost.id]
