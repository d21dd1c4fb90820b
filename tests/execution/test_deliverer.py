"""Webhooks from the ledger to the receiver: each event at least once, signed, and nobody waits for a slow one."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import Receiver
from worker.execution import deliverer, endpoints
from worker.execution.app_context import AppContext
from worker.execution.deliverer import Deliverer
from worker.ledger import deliveries
from worker.ledger.deliveries import Delivery, DeliveryState
from worker.ledger.schema.keys import Key
from worker.model.errors import Unreachable
from worker.model.target import Target
from worker.services import webhook_endpoints
from worker.services.act import Approval
from worker.webhooks.signing import new_secret

LATELY_S = 0.05
TWO_ACCOUNTS = f'[accounts.a]\nprojects = ["{PROJECT}"]\n[accounts.b]\nprojects = ["p-2"]\n'

Start = Callable[..., AppContext]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "EVERY_S", LATELY_S)
    monkeypatch.setattr(deliverer, "PAUSE_S", LATELY_S)


@pytest.fixture
def configured(command: Command, tmp_path: Path) -> Start:
    """A context with these tables in ERASER_CONFIG, and a short schedule."""

    def load(*tables: str, accounts: str = "[accounts.default]\n", **environ: str) -> AppContext:
        path = tmp_path / "eraser.toml"
        path.write_text(accounts + "\n".join(tables))
        more = {"ERASER_CONFIG": str(path), "ERASER_RETRY_SCHEDULE": "0.05s,0.05s"}
        return AppContext.load(command.environ | more | environ)

    return load


@contextmanager
def delivering(app: AppContext) -> Iterator[Deliverer]:
    one = Deliverer(app)
    one.turn()  # from now on events are written down
    one.start()
    try:
        yield one
    finally:
        one.stop()


def kept(app: AppContext, account: str = "default") -> list[Delivery]:
    return list(deliveries.Deliveries(app.redis, account, app.keys).newest())


def states(app: AppContext, account: str = "default") -> list[DeliveryState]:
    return [one.state for one in kept(app, account)]


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
        one = Deliverer(app)
        one.turn()
        undertaker.end(*(f"job-{n}" for n in range(30)), to="deleted")
        one.start()
        wait_until(lambda: len(receiver.messages) == 30, what="the other one has all of them")
        assert len({message["id"] for message in receiver.messages}) == 30
        one._stop.set(), one.soon()  # not stop(): it would wait for the stuck one


def test_an_endpoint_that_refuses_is_left_alone_for_a_while(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "PAUSE_S", 3600.0)
    with Receiver(status=500) as wrong:
        app = configured(wrong.toml(tmp_path, "wrong"), receiver.toml(tmp_path))
        one = Deliverer(app)
        one.turn()
        undertaker.end(*(f"job-{n}" for n in range(30)), to="deleted")
        with delivering(app):
            wait_until(lambda: len(receiver.messages) == 30, what="the other one has all of them")
            wait_until(lambda: wrong.attempts.total() == deliverer.WIDEST, what="those that were on their way")
        assert wrong.attempts.total() == deliverer.WIDEST, "and no more, though 22 are due"


def test_whoever_dies_with_a_delivery_loses_it_to_the_next(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path))
    Deliverer(app).turn()
    undertaker.end("a", to="deleted")
    ledger = app.ledger("default")
    deliveries.fan_out(ledger, Deliverer(app)._wanted("default"))
    (lost,) = deliveries.take(ledger, "crm", 8)  # and nobody says what became of it
    assert deliveries.take(ledger, "crm", 8) == []
    app.redis.zadd(f"{ledger.prefix}{Key.DELIVERIES_DUE}crm", {lost.id: 1})  # its lease ends
    with delivering(app):
        wait_until(lambda: states(app) == [DeliveryState.DELIVERED], what="somebody else delivers it")
    assert deliveries.settle(ledger, "crm", lost, status=None, ms=1, why="no answer") == "late"
    assert states(app) == [DeliveryState.DELIVERED]
    assert [message["id"] for message in receiver.messages] == [lost.id]


# -- endpoints in the ledger


def test_an_endpoint_that_is_made_changed_and_removed_meanwhile_needs_no_restart(
    configured: Start, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, which knows where its public name leads: to a receiver of ours."""
    monkeypatch.setattr(deliverer, "IDLE_S", LATELY_S)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
    with Receiver(secrets=[], tls=ca.issue_cert("crm.example.com")) as receiver, Proxy(receiver.port) as proxy:
        app = configured(ERASER_WEBHOOKS_KEY=new_secret(), ERASER_CA_BUNDLE=str(bundle), ERASER_PROXY=proxy.url)
        why = Approval("ops-7", "TICKET-4711")
        with delivering(app) as one:
            receiver.secrets.append(webhook_endpoints.add(app, "crm", "https://crm.example.com/", [], [], why).secret)
            wait_until(lambda: "crm" in one._queues, what="the endpoint is known")
            wait_until(lambda: deliveries.heads(app.redis, ["default"], [])["default"].recorded_until, what="recorded")
            undertaker.end("a", to="deleted")
            wait_until(lambda: len(receiver.messages) == 1, what="its first message arrives")

            receiver.secrets.append(
                webhook_endpoints.rotate(app, "crm", 3600, why).secret
            )  # each of them has to verify
            wait_until(lambda: len(one._queues["crm"].endpoint.secret_ids) == 2, what="both secrets are used")
            undertaker.end("b", to="deleted")
            wait_until(lambda: len(receiver.messages) == 2, what="a message that both have signed")

            webhook_endpoints.change(app, "crm", why, events=["deletion.dead"], on=False)
            wait_until(lambda: not one._queues, what="it is disabled")
            webhook_endpoints.change(app, "crm", why, on=True)
            wait_until(lambda: "crm" in one._queues, what="it is enabled")
            undertaker.end("c", to="deleted")
            undertaker.end("d")
            wait_until(lambda: len(receiver.messages) == 3, what="the only one of its type")
            webhook_endpoints.remove(app, "crm", why)
            wait_until(lambda: not one._queues, what="it is removed")
    assert [message["data"]["id"] for message in receiver.messages] == ["a", "b", "d"]
    assert receiver.wrong == []


def test_a_worker_that_never_read_the_endpoints_leaves_events_for_one_that_did(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: AppContext) -> None:
        raise Unreachable("its server is away")

    app = configured(receiver.toml(tmp_path, "file"), ERASER_WEBHOOKS_KEY=new_secret())
    webhook_endpoints.add(app, "crm", "https://crm.example.com/", [], [], Approval("ops-7", "TICKET-4711"))
    monkeypatch.setattr(Deliverer, "_serve", lambda *_: None)
    Deliverer(app).turn()
    undertaker.end("a", to="deleted")
    with monkeypatch.context() as failing:
        failing.setattr(endpoints, "known", away)
        (blind := Deliverer(app)).turn()
    assert kept(app) == []
    blind.turn()
    assert {one.endpoint for one in kept(app)} == {"crm", "file"}


def test_endpoints_that_cannot_be_read_are_logged_once(
    configured: Start,
    receiver: Receiver,
    undertaker: Undertaker,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    app = configured(receiver.toml(tmp_path, "file"))
    app.redis.set(app.keys.endpoints, "of another program")
    request.addfinalizer(lambda: app.redis.delete(app.keys.endpoints))
    one = Deliverer(app)
    for _ in range(3):
        one.turn()
    assert [record.message for record in caplog.records if record.name == deliverer.__name__] == ["webhook.waits"]
    undertaker.end("a", to="deleted")
    one.turn()
    assert [each.endpoint for each in kept(app)] == ["file"], "those of the file go on"


def test_a_disabled_endpoint_costs_nothing(configured: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    app, why = configured(ERASER_WEBHOOKS_KEY=new_secret()), Approval("ops-7", "TICKET-4711")
    webhook_endpoints.add(app, "crm", "https://crm.example.com/", [], [], why)
    webhook_endpoints.change(app, "crm", why, on=False)
    made: list[object] = []
    monkeypatch.setattr(deliverer, "Sender", lambda *of: made.append(of))
    Deliverer(app).turn()
    assert made == []


# -- trouble that is one account's, one endpoint's or one message's


def test_a_project_of_no_account_is_nobody_s(configured: Start, receiver: Receiver, tmp_path: Path) -> None:
    one = Deliverer(configured(receiver.toml(tmp_path, projects=["p-2"]), accounts=TWO_ACCOUNTS))
    assert [one._wanted(account)[0].account for account in "ab"] == [False, True]
    one._queues["crm"].endpoint = replace(one._queues["crm"].endpoint, projects=("p-3",))
    assert [one._wanted(account)[0].account for account in "ab"] == [False, False]


@pytest.mark.parametrize("key", [Key.ACCOUNT, Key.OUTBOX, Key.DELIVERIES_DUE + "crm"])
def test_what_another_program_did_to_one_account_stops_no_other(
    key: str, configured: Start, receiver: Receiver, redis_url: str, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path), accounts=TWO_ACCOUNTS)
    Deliverer(app).turn()
    Undertaker(redis_url, "b", "p-2").end("x", to="deleted")
    app.redis.delete(app.keys.account("a") + key)
    app.redis.set(app.keys.account("a") + key, "of another program")
    with delivering(app):
        wait_until(lambda: states(app, "b") == [DeliveryState.DELIVERED], what="the other account's message arrives")
    assert "x" in [message["data"].get("id") for message in receiver.messages]


def test_what_is_due_is_sent_while_redis_has_no_room_for_more_deliveries(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = configured(receiver.toml(tmp_path))
    Deliverer(app).turn()
    undertaker.end("a", to="deleted")
    deliveries.fan_out(app.ledger("default"), Deliverer(app)._wanted("default"))
    undertaker.end("b", to="deleted")

    def full(*_: Any) -> int:
        raise redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    monkeypatch.setattr(deliveries, "fan_out", full)
    with delivering(app):
        wait_until(lambda: states(app) == [DeliveryState.DELIVERED], what="the first one arrives")


def test_an_internal_error_about_a_message_uses_attempts_until_it_is_given_up(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bytes:
        raise IndexError("list index out of range")

    monkeypatch.setattr(deliverer, "body", broken)
    app = configured(receiver.toml(tmp_path))
    with delivering(app):
        undertaker.end("a", to="deleted")
        wait_until(lambda: states(app) == [DeliveryState.DEAD], what="it is given up")
    assert [one.why for one in kept(app)[0].attempts] == ["an internal error: see the worker's log"] * 3


def test_an_event_of_a_later_version_waits_for_a_worker_that_knows_it(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = configured(receiver.toml(tmp_path))
    Deliverer(app).turn()
    undertaker.end("a", to="deleted")
    with monkeypatch.context() as quiet:
        quiet.setattr(Deliverer, "_serve", lambda *_: None)
        Deliverer(app).turn()
    (name,) = app.redis.keys(app.keys.account("default") + Key.DELIVERY + "*")
    app.redis.hset(name, "event", "of.later")
    with delivering(app):
        wait_until(lambda: kept(app)[0].attempts, what="it is looked at")
    assert (kept(app)[0].state, [each.why for each in kept(app)[0].attempts]) == (
        DeliveryState.WAITING,
        ["not sent: its event is of a later version"],
    )
    assert receiver.messages == []


def test_a_url_without_a_path_is_sent_to(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path, url=f"http://127.0.0.1:{receiver.port}?source=eraser"))
    with delivering(app):
        undertaker.end("a", to="deleted")
        wait_until(lambda: len(receiver.messages) == 1, what="it arrives")


def test_accounts_take_turns_at_an_endpoint_that_refuses(
    configured: Start, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "PAUSE_S", 0.0)
    with Receiver(status=500) as wrong:
        one = Deliverer(app := configured(wrong.toml(tmp_path), accounts=TWO_ACCOUNTS))
        one.turn()
        for account, project in (("a", PROJECT), ("b", "p-2")):
            Undertaker(redis_url, account, project).end("x", "y", "z", to="deleted")
        one._queues["crm"].width = 1
        for turn in range(1, 5):
            one.turn()
            wait_until(lambda: one._queues["crm"].attempts == 0, what="the attempt has ended")
            made = {name: sum(len(each.attempts) for each in kept(app, name)) for name in "ab"}
            assert made == {"a": (turn + 1) // 2, "b": turn // 2}


def test_attempts_for_which_there_is_no_thread_are_not_counted_as_under_way(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Deliverer(app := configured(receiver.toml(tmp_path)))
    one.turn()
    undertaker.end("a", "b", to="deleted")

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        one.turn()
    assert one._queues["crm"].attempts == 0
    app.redis.zadd(app.keys.account("default") + Key.DELIVERIES_DUE + "crm", {each.id: 1 for each in kept(app)})
    one.start()
    wait_until(lambda: len(receiver.messages) == 2, what="they arrive once their leases have ended")
    one.stop()


def test_events_are_written_down_again_when_a_failover_lost_that_they_are(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    one = Deliverer(app := configured(receiver.toml(tmp_path)))
    one.turn()
    app.redis.hset(app.keys.account("default") + Key.ACCOUNT, "outbox", 1)
    one.turn()
    undertaker.end("a", to="deleted")
    assert app.redis.xlen(app.keys.account("default") + Key.OUTBOX) == 1


def test_what_cannot_be_signed_waits_and_the_log_says_which_file_is_missing(
    configured: Start, receiver: Receiver, undertaker: Undertaker, tmp_path: Path
) -> None:
    app = configured(receiver.toml(tmp_path))
    (tmp_path / "crm-0.secret").unlink()
    with delivering(app):
        undertaker.end("a", to="deleted")
        wait_until(lambda: any(one.attempts for one in kept(app)), what="it is tried")
    (waits,) = kept(app)
    assert waits.state is DeliveryState.WAITING
    assert re.fullmatch(r"not sent: .*crm-0\.secret.*", waits.attempts[0].why)
