"""A ledger knows each account's address from its first use, and nobody acts on it who names another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import Site
from tests.support.ledgers import POLICY
from worker.config.data_directory import data_directory
from worker.config.settings import Settings
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.ledger.bindings import bindings
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.queries import Queries
from worker.ledger.types import DeletionRequest, GateSignal, Tried
from worker.local.embedded import EmbeddedRedis
from worker.model.errors import OtherEndpoint, UsageError
from worker.model.target import Target

PRODUCTION, STAGING = "https://metastudio.cn-north-4.myhuaweicloud.com", "http://127.0.0.1:9"
REF = Target(PROJECT, "job-1")
ELSEWHERE: dict[str, str | None] = {"ERASER_REGION": None, "ERASER_ENDPOINT": STAGING}
REBIND = ("accounts", "rebind", "--endpoint", STAGING, "--reason", "TICKET-1")


def ledger(client: redis.Redis, endpoint: str | None) -> Ledger:
    return Ledger(client, "default", POLICY, endpoint=endpoint, patience_s=0.2)


def bound(client: redis.Redis) -> str | None:
    found = bindings(client, ["default"]).get("default")
    return found.endpoint if found else None


def everything(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.scan_iter()}


# The ledger


def test_the_first_move_that_names_an_address_is_the_one_that_counts(client: redis.Redis) -> None:
    ledger(client, None).request([REF], DeletionRequest())
    assert bound(client) is None, "who only records binds nothing"
    ledger(client, PRODUCTION).request([REF], DeletionRequest())
    assert bound(client) == PRODUCTION
    ledger(client, None).request([REF], DeletionRequest())


MOVES = {
    "request": lambda one: one.request([REF], DeletionRequest()),
    "take": lambda one: one.take(worker="w", key="k"),
    "reserve_lookup": lambda one: one.reserve_lookup(),
    "due_wakeup": lambda one: one.due_wakeup(),
    "rescue": lambda one: one.rescue(alive=[], counts=True),
    "forget": lambda one: one.forget(keep_s=0),
    "cancel": lambda one: one.cancel([REF], why="T-1"),
    "replay": lambda one: one.replay([REF], why="T-1", deadline_s=60),
    "discard": lambda one: one.discard([REF], why="T-1"),
    "restore": lambda one: one.restore([REF], why="T-1"),
    "pause": lambda one: one.pause(why="T-1"),
    "resume": lambda one: one.resume(why="T-1"),
    "block_account": lambda one: one.block_account("credentials", "none"),
    "hold": lambda one: HoldList(one).add([REF], why="T-1", by="ops-1"),
    "release": lambda one: HoldList(one).remove([REF], why="T-1", by="ops-1"),
}


@pytest.mark.parametrize("move", MOVES)
def test_whoever_names_another_one_changes_nothing(client: redis.Redis, move: str) -> None:
    ledger(client, PRODUCTION).request([REF], DeletionRequest())
    before = everything(client)
    with pytest.raises(OtherEndpoint) as refused:
        MOVES[move](ledger(client, STAGING))
    for part in (PRODUCTION, STAGING, "ERASER_NAMESPACE", f"eraser accounts rebind --endpoint {STAGING}"):
        assert part in str(refused.value)
    assert refused.value.exit_code == 2
    assert everything(client) == before


def test_an_answer_that_was_lost_is_repeated_all_the_same(client: redis.Redis) -> None:
    """The address is no part of what makes an operation the same."""
    one = ledger(client, PRODUCTION)
    one.request([REF], DeletionRequest())
    caller, seq = one._caller._name, one._caller._seq
    first: Any = client.hget(f"{one.prefix}ops", caller)
    from worker.ledger import scripts

    again = scripts.load("request").run(client, one.prefix, caller, f"{seq} {PRODUCTION}", "{}", str(REF))
    assert first.split(b" ", 2)[::2] == [f"{seq}".encode(), again]


# Another address


def test_an_account_takes_another_address_when_nothing_waits(client: redis.Redis) -> None:
    one = ledger(client, PRODUCTION)
    one.pause(why="T-1")
    client.hset(one.prefix + "gate", mapping={"good:k1": "1", f"sees:{PROJECT}": "k1", "skew": "9"})
    done = ledger(client, None).rebind(STAGING, why="T-2", by="ops-1", plan=False)
    assert (done.was, done.bound) == (PRODUCTION, True)
    assert bound(client) == STAGING
    left = client.hkeys(one.prefix + "gate")
    assert {name.decode() for name in left} == {"paused", "paused_by", "paused_at"}, "a pause is a person's"  # type: ignore[union-attr]
    with pytest.raises(OtherEndpoint):
        one.resume(why="T-3")


def test_what_was_closed_at_the_old_address_is_open_at_the_new_one(client: redis.Redis) -> None:
    one = ledger(client, PRODUCTION)
    refused = Tried("key", PROJECT, GateSignal("misconfigured", key="k1", why="403 at the old address"))
    one.take(worker="w", key="k1", want=False, tried=refused)
    assert [closure.scope for closure in Queries(client, "default", rate=10.0).gate().closures] == ["project"]
    assert ledger(client, None).rebind(STAGING, why="T-2", by="ops-1", plan=False).bound
    there = ledger(client, STAGING)
    assert there.block_account("credentials", "no key for the new one")
    closures = Queries(client, "default", rate=10.0).gate().closures
    assert [(one.scope, one.cause) for one in closures] == [("account", "credentials")]
    left = {key.decode().removeprefix(one.prefix) for key in client.scan_iter()}
    assert not left & {"failing", "forbidden"}


@pytest.mark.parametrize("state", ["pending", "running", "held", "dead"])
def test_what_waits_keeps_its_address(undertaker: Undertaker, state: str) -> None:
    undertaker.redis.hset("eraser:{default}:account", mapping={"endpoint": PRODUCTION, "since": "1"})
    if state == "dead":
        undertaker.end("job-1")
    else:
        undertaker.request("job-1")
    if state == "held":
        HoldList(undertaker.ledger).add([REF], why="T-1", by="ops-1")
    if state == "running":
        undertaker.take()
    done = undertaker.ledger.rebind(STAGING, why="T-2", by="ops-1", plan=False)
    assert not done.bound
    assert {name: number for name, number in done.waits.items() if number} == {state: 1}
    assert bound(undertaker.redis) == PRODUCTION


# The command line


def test_every_command_that_acts_ends_with_2_and_says_what_to_type(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-2")
    assert command("request", "job-1").code == 0
    reason = ("--reason", "TICKET-1")
    for words in (
        ("request", "job-3"),
        ("cancel", "job-1", *reason),
        ("pause", *reason),
        ("resume", *reason),
        ("hold", "add", "job-1", "--by", "ops-1", *reason),
        ("hold", "remove", "job-1", *reason),
        ("dead", "replay", "job-2", *reason),
        ("dead", "discard", "job-2", *reason),
        ("receipts", "recheck"),
    ):
        ended = command(*words, **ELSEWHERE)
        assert (ended.code, ended.out) == (2, ""), words
        assert PRODUCTION in ended.err, words
        assert f"eraser accounts rebind --endpoint {STAGING}" in ended.err, words
    assert undertaker.redis.zcard("eraser:{default}:due:bulk") + undertaker.redis.zcard("eraser:{default}:dead") == 1  # type: ignore[operator]


def test_status_and_doctor_say_it_and_status_goes_on(command: Command) -> None:
    command("request", "job-1")
    (overview,) = command("status", "--json", **ELSEWHERE).json
    (account,) = overview["accounts"]
    assert (account["endpoint"], account["elsewhere"]) == (PRODUCTION, True)
    ended = command("status", **ELSEWHERE)
    assert f"belongs to {PRODUCTION}, these settings say {STAGING}" in ended.out
    rows = {row["check"]: row for row in command("doctor", "--offline", "--json", **ELSEWHERE).json}
    assert rows["address of default"]["verdict"] == "wrong"
    assert "eraser accounts rebind" in rows["address of default"]["todo"]
    rows = {row["check"]: row for row in command("doctor", "--offline", "--json").json}
    assert rows["address of default"]["verdict"] == "ok"
    (account,) = command("status", "--json").json[0]["accounts"]
    assert account["elsewhere"] is False


def test_who_only_records_is_told_whose_ledger_it_is_and_may_record(command: Command) -> None:
    producer: dict[str, str | None] = {"ERASER_REGION": None}
    assert command("request", "job-1").code == 0
    assert command("request", "job-2", **producer).code == 0
    (account,) = command("accounts", "list", "--json", **producer).json
    assert (account["endpoint"], account["ledger_endpoint"], account["elsewhere"]) == (None, PRODUCTION, False)
    assert account["waiting"] == 2


def test_rebind_plans_first_and_goes_only_when_nothing_waits(command: Command) -> None:
    command("request", "job-1", "--after", "1h")
    refused = command(*REBIND, "--yes", **ELSEWHERE)
    assert refused.code == 3
    assert f"1 deletion of account default (1 pending) belong to {PRODUCTION}" in refused.err
    command("cancel", "job-1", "--reason", "T-1")
    planned = command(*REBIND, **ELSEWHERE)
    assert planned.code == 3
    assert planned.out.startswith(f"PLAN  account default will belong to {STAGING}, instead of {PRODUCTION}")
    assert f"eraser accounts rebind --endpoint {STAGING} --reason TICKET-1 --yes" in planned.err
    assert command("request", "job-2", **ELSEWHERE).code == 2, "a plan changes nothing"
    done = command(*REBIND, "--yes", "--by", "ops-1", "--json", **ELSEWHERE)
    assert done.json == [{"account": "default", "endpoint": STAGING, "was": PRODUCTION, "changed": True}]
    assert command("request", "job-2", **ELSEWHERE).code == 0
    assert command("request", "job-3").code == 2, "production's settings are the wrong ones now"
    entry = command("audit", "--act", "account.rebound", "--json").json[0]
    assert (entry["by"], entry["reason"], entry["of"], entry["results"]) == (
        "ops-1",
        "TICKET-1",
        STAGING,
        {"rebound": 1},
    )
    assert command(*REBIND, "--yes", "--json", **ELSEWHERE).json[0]["changed"] is False


def test_rebind_takes_the_address_of_the_settings_only(command: Command) -> None:
    command("request", "job-1")
    refused = command(*REBIND, "--yes")
    assert refused.code == 2
    assert f"{STAGING} is not what the settings say of account default: {PRODUCTION}" in refused.err


# Other processes


def test_http_says_that_the_server_is_wrong_and_not_the_caller(site: Site) -> None:
    site.app._ledgers["default"] = ledger(site.app.redis, STAGING)
    ledger(site.app.redis, PRODUCTION).request([REF], DeletionRequest())
    response = site.ask("job-2")
    assert (response.status_code, response.json()["type"]) == (503, "urn:avatar-eraser:other-endpoint")
    assert PRODUCTION not in response.text


def test_a_worker_ends_when_somebody_gives_its_account_another_address(redis_url: str) -> None:
    environ = {"ERASER_REDIS_URL": redis_url, "ERASER_ENDPOINT": STAGING}
    app, ended = AppContext.load(environ), list[int]()
    app.ledger("default").due_wakeup()
    app.unbound_ledger("default").rebind(PRODUCTION, why="T-1", by=None, plan=False)
    ledger(app.redis, PRODUCTION).request([REF], DeletionRequest())
    dispatcher = Dispatcher(app, end_worker=ended.append)
    dispatcher.start()
    dispatcher._thread.join(20)
    assert ended == [2]
    assert app.stopping.is_set()


def test_an_executor_does_nothing_for_an_account_that_is_elsewhere(redis_url: str) -> None:
    ours = {"HUAWEICLOUD_SDK_AK": "AKAKAKAKAKAKAKAKAKAK", "HUAWEICLOUD_SDK_SK": "secret"}
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_ENDPOINT": STAGING, **ours})
    ledger(app.redis, PRODUCTION).request([REF], DeletionRequest())
    before = everything(app.redis)
    app.work("default")
    assert everything(app.redis) == before


# `eraser up` against a simulator


def test_a_simulator_has_data_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"HOME": str(tmp_path)}
    assert Settings.load({"ERASER_ENDPOINT": STAGING}).simulated is True
    assert Settings.load({"ERASER_REGION": "cn-north-4"}).simulated is False
    assert Settings.load({}).simulated is None
    theirs, ours = data_directory(True, environ), data_directory(False, environ)
    assert theirs != ours
    assert data_directory(None, environ) == ours, "nothing runs"
    with EmbeddedRedis(theirs):
        assert data_directory(None, environ) == theirs, "who names no address finds what runs"
        assert data_directory(False, environ) == ours
        with EmbeddedRedis(ours), pytest.raises(UsageError, match="ERASER_ENDPOINT"):
            data_directory(None, environ)
