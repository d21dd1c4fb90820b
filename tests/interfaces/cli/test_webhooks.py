"""`eraser webhooks`: endpoints, the delivery log, replays and their audit, a test message, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.webhook_receiver import Receiver
from worker.config.webhooks import EventType
from worker.ledger import deliveries
from worker.ledger.deliveries import Taken, Wanted


@pytest.fixture
def crm(command: Command, receiver: Receiver, tmp_path: Path) -> Command:
    """A command line whose settings have one endpoint, for which events are recorded."""
    path = tmp_path / "eraser.toml"
    path.write_text(receiver.toml(tmp_path))
    command.environ["ERASER_CONFIG"] = str(path)
    return command


def taken(undertaker: Undertaker, *jobs: str, endpoint: str = "crm") -> list[Taken]:
    """Messages about these jobs' deletions, which a worker has in hand."""
    wanted = [Wanted(endpoint, EventType, None)]
    deliveries.fan_out(undertaker.ledger, wanted)
    undertaker.end(*jobs, to="deleted")
    deliveries.fan_out(undertaker.ledger, wanted)
    return deliveries.take(undertaker.ledger, endpoint, 500)


def give_up(undertaker: Undertaker, *jobs: str) -> list[str]:
    found = taken(undertaker, *jobs)
    for one in found:
        deliveries.settle(undertaker.ledger, "crm", one, status=503, ms=41, why="refused")
    return [one.id for one in found]


def test_the_list_shows_each_endpoint_and_how_it_stands(
    crm: Command, undertaker: Undertaker, receiver: Receiver
) -> None:
    give_up(undertaker, "a")
    (first,) = taken(undertaker, "b")
    deliveries.settle(undertaker.ledger, "crm", first, status=200, ms=7, why="delivered")
    taken(undertaker, "c")
    (row,) = crm("webhooks", "list", "--json").json
    totals = {"made": 3, "delivered": 1, "failed": 1, "dead": 1}
    assert (row["endpoint"], row["configured"], row["waiting"], row["dead"]) == ("crm", True, 1, 1)
    assert (row["totals"], row["events"], row["secrets"], row["problem"]) == (totals, list(EventType), 1, None)
    shown = crm("webhooks", "list").out
    assert "eraser webhooks deliveries crm --state dead" in shown
    assert receiver.url.partition("?")[0] in shown
    assert "source=eraser" not in shown
    assert receiver.secrets[0] not in shown + crm("webhooks", "list", "--json").out


def test_status_says_which_endpoint_was_given_up_on_and_what_to_type(crm: Command, undertaker: Undertaker) -> None:
    assert crm("status", "--json").json[0]["webhooks"] == [{"endpoint": "crm", "waiting": 0, "dead": 0}]
    give_up(undertaker, "a", "b")
    assert crm("status", "--json").json[0]["webhooks"] == [{"endpoint": "crm", "waiting": 0, "dead": 2}]
    shown = " ".join(crm("status").out.split())
    assert "eraser webhooks deliveries crm --state dead (2 messages to webhook crm were given up)" in shown


def test_a_test_message_arrives_where_the_url_has_no_path(command: Command, receiver: Receiver, tmp_path: Path) -> None:
    (path := tmp_path / "eraser.toml").write_text(receiver.toml(tmp_path, url=f"http://127.0.0.1:{receiver.port}"))
    ended = command("webhooks", "test", "crm", ERASER_CONFIG=str(path))
    assert (ended.code, len(receiver.messages)) == (0, 1), ended.err


def test_without_an_endpoint_it_says_how_to_get_one(command: Command) -> None:
    assert "eraser webhooks add NAME URL" in command("webhooks", "list").out
    ended = command("webhooks", "test", "crm")
    assert (ended.code, "eraser webhooks add NAME URL" in ended.err) == (2, True)


def test_the_log_has_each_attempt_and_finds_by_state_type_and_id(crm: Command, undertaker: Undertaker) -> None:
    (dead,) = give_up(undertaker, "a")
    taken(undertaker, "b")
    found = crm("webhooks", "deliveries", "crm", "--state", "dead", "--json").json
    assert [(one["id"], one["type"], one["state"]) for one in found] == [(dead, "deletion.deleted", "dead")]
    (attempt,) = found[0]["attempts"]
    assert (attempt["status"], attempt["ms"], attempt["why"]) == (503, 41, "refused")
    assert (found[0]["data"]["project_id"], found[0]["data"]["job_id"]) == (PROJECT, "a")
    assert found[0]["next_at"] is None
    assert len(crm("webhooks", "deliveries", "--json").json) == 2
    assert crm("webhooks", "deliveries", "--type", "account.closed", "--json").json == []
    detail = crm("webhooks", "deliveries", "--id", dead).out
    assert "503, 41 ms" in detail
    assert "ANSWER" in detail.splitlines()[-2]
    assert "--limit 10 shows more" in crm("webhooks", "deliveries", "--limit", "1").out


def test_a_named_message_is_replayed_at_once_and_the_audit_says_by_whom(crm: Command, undertaker: Undertaker) -> None:
    (dead,) = give_up(undertaker, "a")
    again = ("webhooks", "replay", "crm", dead, "--reason", "CASE-12", "--by", "ops-7")
    assert crm(*again, "--json").json == [{"id": dead, "endpoint": "crm", "result": "replayed"}]
    assert "it is on its way anyway" in crm(*again).out
    entries = crm("audit", "--json").json
    assert [(one["act"], one["by"], one["reason"], one["of"], one["results"]) for one in entries] == [
        ("webhooks.replayed", "ops-7", "CASE-12", "crm", {"waiting": 1}),
        ("webhooks.replayed", "ops-7", "CASE-12", "crm", {"replayed": 1}),
    ]
    assert "crm: sent again" in crm("audit").out
    ended = crm("webhooks", "replay", "crm", "msg_none", "--reason", "CASE-12")
    assert (ended.code, "there is no such delivery" in ended.out) == (1, True)


def test_all_dead_ones_are_replayed_after_a_plan(crm: Command, undertaker: Undertaker) -> None:
    dead = give_up(undertaker, "a", "b", "c")
    again = ("webhooks", "replay", "crm", "--reason", "CASE-12")
    planned = crm(*again)
    assert planned.code == 3
    assert "3  deliveries" in planned.out
    assert "eraser webhooks replay crm --reason CASE-12 --yes" in planned.err
    only = crm(*again, dead[0], "--plan")
    assert (only.code, "1  deliveries" in only.out) == (0, True)
    assert len(crm("webhooks", "deliveries", "--state", "dead", "--json").json) == 3
    assert "3 deliveries replayed." in crm(*again, "--since", "1h", "--yes").out
    assert {one.id for one in deliveries.take(undertaker.ledger, "crm", 9)} == set(dead)
    assert "Nothing was done" in crm(*again, "--yes").out
    for name, hint in (("cmr", "did you mean crm?"), ("other", "there are: crm")):
        ended = crm("webhooks", "replay", name, "--reason", "CASE-12")
        assert (ended.code, hint in ended.err) == (2, True)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_a_test_message_says_what_the_endpoint_answered(
    crm: Command, receiver: Receiver, status: int, code: int
) -> None:
    receiver.status = status
    ended = crm("webhooks", "test", "crm", "--json")
    assert (ended.code, ended.json[0]["status"], ended.json[0]["accepted"]) == (code, status, code == 0)
    assert len(receiver.attempts) == 1
    assert receiver.wrong == []
    if not code:
        assert receiver.messages[0]["type"] == "webhook.test"


def test_a_new_secret_is_one_that_signs(command: Command, tmp_path: Path) -> None:
    first, second = (command("webhooks", "secret").out.strip() for _ in range(2))
    assert first != second
    Webhook(first)
    file = tmp_path / "crm.secret"
    assert "give a copy to the receiver" in command("webhooks", "secret", str(file)).out
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    Webhook(text.strip())
    again = command("webhooks", "secret", str(file))
    assert (again.code, "nothing was written" in again.err, file.read_text()) == (2, True, text)


def test_an_endpoint_of_the_file_is_tried_while_redis_is_away(crm: Command) -> None:
    assert crm("webhooks", "test", "crm", ERASER_REDIS_URL="redis://127.0.0.1:1/0").code == 0
