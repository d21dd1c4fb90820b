"""The ledger keeps the schema's version: neighbours work side by side, and nobody else touches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.ledger.test_bindings import MOVES, PRODUCTION, REF, everything, ledger
from tests.support.command import Command
from tests.support.http_site import Site
from worker import __version__
from worker.execution import ledger_context, live_workers
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.execution.live_workers import LiveWorkers, refuse_distant_workers
from worker.ledger import bindings, script_runner, scripts
from worker.ledger.connection import connect
from worker.ledger.schema.states import VERSION
from worker.ledger.types import DeletionRequest
from worker.model.errors import OtherSchema, Unreachable
from worker.services import metrics

ACCOUNT = "eraser:{default}:account"
Program = Callable[[int], None]
OURS = {"HUAWEICLOUD_SDK_AK": "AKAKAKAKAKAKAKAKAKAK", "HUAWEICLOUD_SDK_SK": "secret", "ERASER_REGION": "cn-north-4"}
READS = (
    ("status",),
    ("show", "job-1"),
    ("dead", "groups"),
    ("dead", "list"),
    ("hold", "list"),
    ("audit",),
    ("metrics",),
    ("replay", "list"),
    ("retention", "runs"),
    ("damaged", "list"),
    ("parked", "list"),
    ("accounts", "list"),
    ("receipts", "export", "--to", "/nonexistent"),
)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Lets this process be a program of another version of the schema, with the same moves."""

    def become(version: int) -> None:
        for module in (script_runner, bindings, ledger_context, live_workers):
            monkeypatch.setattr(module, "VERSION", version)
        monkeypatch.setitem(scripts._TABLES, "SCHEMA_VERSION", str(version))
        scripts._load.cache_clear()

    yield become
    monkeypatch.undo()
    scripts._load.cache_clear()


def stored(client: redis.Redis) -> int | None:
    found: Any = client.hget(ACCOUNT, "schema")
    return int(found) if found else None


def request(client: redis.Redis, endpoint: str | None = PRODUCTION) -> None:
    ledger(client, endpoint).request([REF], DeletionRequest())


# What is stored


@pytest.mark.parametrize("endpoint", [None, PRODUCTION])
def test_the_first_move_stores_its_version(client: redis.Redis, endpoint: str | None) -> None:
    request(client, endpoint)
    assert stored(client) == VERSION


def test_the_highest_version_that_moved_is_kept_after_a_rollback(client: redis.Redis, program: Program) -> None:
    found = []
    for version in (5, 6, 5, 6, 7, 6):
        program(version)
        request(client)
        found.append(stored(client))
    assert found == [5, 6, 6, 6, 7, 7]
    program(5)
    with pytest.raises(OtherSchema):
        request(client)


def test_an_account_that_was_used_before_versions_were_stored_is_of_version_1(
    client: redis.Redis, program: Program
) -> None:
    client.hset(ACCOUNT, mapping={"endpoint": PRODUCTION, "since": "1"})
    program(3)
    with pytest.raises(OtherSchema) as refused:
        request(client)
    assert (refused.value.stored, refused.value.ours) == (1, 3)
    program(2)
    request(client)
    assert stored(client) == 2


def test_a_version_that_was_spoilt_is_reported_and_stored_again(client: redis.Redis) -> None:
    request(client)
    client.hset(ACCOUNT, "schema", "x")
    ledger(client, PRODUCTION).run_script("check", {"keys": True, "lease": 1000})
    ledger(client, PRODUCTION).mark_schema()
    assert stored(client) == VERSION
    assert client.hexists("eraser:{default}:damaged", "account schema")


# Who is refused


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("version", [3, 7])
def test_whoever_does_not_know_the_version_changes_nothing(
    client: redis.Redis, program: Program, move: str, version: int
) -> None:
    program(5)
    request(client)
    before = everything(client)
    program(version)
    for endpoint in (None, PRODUCTION):
        with pytest.raises(OtherSchema) as refused:
            MOVES[move](ledger(client, endpoint))
        assert (refused.value.stored, refused.value.ours) == (5, version)
    assert everything(client) == before


def test_the_refusal_says_both_versions_and_what_to_install() -> None:
    older = OtherSchema("account default of this ledger", stored=4, ours=2)
    newer = OtherSchema("account default of this ledger", stored=2, ours=4)
    assert older.exit_code == newer.exit_code == 2
    assert "has version 4, and this program has 2" in str(older)
    assert "Install a program of schema version 4" in str(older)
    assert "first let every worker run a program of schema version 3" in str(newer)
    assert all("docs/upgrading.md" in str(one) and "Nothing was done" in str(one) for one in (older, newer))


@pytest.mark.parametrize("words", READS)
def test_every_command_that_only_reads_is_refused(command: Command, words: tuple[str, ...]) -> None:
    client = connect(command.url)
    client.hset(ACCOUNT, "schema", VERSION + 2)
    before = everything(client)
    ended = command(*words)
    assert (ended.code, ended.out) == (2, "")
    assert f"has version {VERSION + 2}, and this program has {VERSION}" in ended.err
    assert everything(client) == before


@pytest.mark.parametrize("words", [("request", "job-1"), ("cancel", "job-1", "--reason", "T-1"), ("status",)])
def test_a_neighbour_is_not_refused(command: Command, words: tuple[str, ...]) -> None:
    assert command("request", "job-1").code == 0
    connect(command.url).hset(ACCOUNT, "schema", VERSION + 1)
    assert command(*words).code == 0


def test_the_refusal_is_an_object_with_json(command: Command) -> None:
    connect(command.url).hset(ACCOUNT, "schema", VERSION + 2)
    ended = command("status", "--json")
    assert '"type": "other-schema"' in ended.err
    assert '"exit_code": 2' in ended.err


def test_doctor_and_health_say_it(command: Command) -> None:
    client = connect(command.url)
    (row,) = (row for row in command("doctor", "--offline", "--json").json if row["check"] == "schema version")
    assert (row["verdict"], row["found"]) == ("ok", str(VERSION))
    client.hset(ACCOUNT, "schema", VERSION + 2)
    ended = command("doctor", "--offline", "--json")
    assert ended.code == 2
    (row,) = (row for row in ended.json if row["check"] == "schema version")
    assert (row["verdict"], row["todo"]) == ("wrong", "see docs/upgrading.md")
    healthy = command("health")
    assert healthy.code == 0, "a restart would not help"
    assert f"a restart would not help: schema version: account default of this ledger has version {VERSION + 2}" in (
        healthy.out
    )
    assert str(command("health", "--json").json[0]["refused"]).startswith("schema version")


def test_the_command_line_says_which_version_it_has(command: Command) -> None:
    assert command("--version").out == f"eraser {__version__}, schema version {VERSION}\n"


def test_doctor_says_which_versions_run(command: Command, client: redis.Redis) -> None:
    app = AppContext.load(command.environ)
    other = LiveWorkers(app)
    other._about["schema"] = VERSION + 1
    other.beat()
    (row,) = (row for row in command("doctor", "--offline", "--json").json if row["check"] == "schema version")
    assert row["found"] == f"{VERSION}, {VERSION + 1}: an update is under way"


def test_a_server_that_runs_asks_again(site: Site) -> None:
    assert site.ask("job-1").status_code == 202
    site.app.redis.hset(ACCOUNT, "schema", VERSION + 2)
    response = site.ask("job-2")
    assert (response.status_code, response.json()["type"]) == (503, "urn:avatar-eraser:other-schema")
    site.app._schema_checked = float("-inf")
    with pytest.raises(OtherSchema):
        site.app.queries("default")


def test_metrics_that_are_served_say_that_there_are_none(command: Command) -> None:
    app = AppContext.load(command.environ)
    assert b"avatar_eraser_up 1.0" in metrics.exposition(app)[1]
    app.redis.hset(ACCOUNT, "schema", VERSION + 2)
    app._schema_checked = float("-inf")
    page = metrics.exposition(app)[1]
    assert b"avatar_eraser_up 0.0" in page
    assert b"avatar_eraser_deletions" not in page


# Workers


@pytest.mark.parametrize("with_work", [True, False])
def test_a_worker_ends_when_its_program_is_refused(redis_url: str, *, with_work: bool) -> None:
    app, ended = AppContext.load({"ERASER_REDIS_URL": redis_url, **OURS}), list[int]()
    app.ledger("default").due_wakeup()
    app.redis.hset(ACCOUNT, "schema", VERSION + 2)
    before = everything(app.redis)
    if with_work:
        app.work("default")
        assert isinstance(app.refused, OtherSchema)
    dispatcher = Dispatcher(app, end_worker=ended.append)
    dispatcher.start()
    dispatcher._thread.join(20)
    assert ended == [2]
    assert app.stopping.is_set()
    assert everything(app.redis) == before, "not even a heartbeat"


def test_a_worker_marks_every_account_so_that_the_next_version_may_come(
    redis_url: str, program: Program, client: redis.Redis
) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, **OURS})
    request(client)
    client.sadd("eraser:accounts", "abandoned")
    client.hset("eraser:{abandoned}:account", mapping={"endpoint": PRODUCTION, "since": "1", "schema": VERSION})
    program(VERSION + 1)
    app.mark_schema()
    assert stored(client) == VERSION + 1
    assert client.hget("eraser:{abandoned}:account", "schema") == str(VERSION + 1).encode()
    program(VERSION + 2)
    app.check_ledger()


def test_after_a_rollback_only_a_neighbour_of_the_running_workers_may_start(redis_url: str, program: Program) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, **OURS})
    LiveWorkers(app).beat()
    for version in (VERSION, VERSION + 1):
        program(version)
        refuse_distant_workers(app.redis, app.keys)
    program(VERSION + 2)
    with pytest.raises(OtherSchema, match=rf"which runs now, has version {VERSION}, .*schema version {VERSION + 1}"):
        refuse_distant_workers(app.redis, app.keys)


def test_a_redis_that_is_away_refuses_nobody_and_is_reported_as_such() -> None:
    app = AppContext.load({"ERASER_REDIS_URL": "redis://127.0.0.1:1/0", **OURS})
    for check in (app.check_schema, app.check_ledger, app.mark_schema):
        with pytest.raises(Unreachable):
            check()
