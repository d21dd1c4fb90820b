"""What comes by message is recorded, goes back to the broker, or is parked and told: none is dropped."""

from __future__ import annotations

import base64
import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.acceptance.fleet import PATIENCE_S, Fleet, Process
from tests.acceptance.judge import judge
from worker.ledger.connection import connect
from worker.ledger.keys import OURS
from worker.ledger.parking import ParkedKind, Parking
from worker.local.embedded import EmbeddedRedis
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

PROJECT = "2" * 32
THREADS = 16


def send(app: Celery, *jobs: str, project: str = DEMO_PROJECT, **options: Any) -> None:
    for job in jobs:
        app.send_task("eraser.delete", args=[project, job], queue=OURS.requests, **options)


def parked(fleet: Fleet) -> dict[str, int]:
    return {group.name: group.count for group in Parking(fleet.client).groups()}


def waiting(client: redis.Redis) -> int:
    return int(client.llen(OURS.requests))  # type: ignore[arg-type]


def end(worker: Process) -> None:
    worker.ask_to_end()
    worker.popen.wait(PATIENCE_S)
    assert worker.popen.returncode == 0


def test_while_redis_is_nearly_full_messages_stay_at_the_broker_and_are_recorded_afterwards() -> None:
    jobs = [f"job-{n:03d}" for n in range(500)]
    with Fleet() as fleet:
        fleet.plant(*jobs)
        (worker,) = fleet.start_workers(1)
        left = iter(jobs)
        with fleet.producer() as app:
            send(app, next(left))
            fleet.wait_until_settled(1)
            fleet.client.setrange("test:ballast", 20_000_000, "x")  # 8 % of it is room for every message of this test
            memory: Any = fleet.client.info("memory")
            fleet.client.config_set("maxmemory", int(memory["used_memory"] / 0.92))

            def one_more_is_refused() -> bool:  # that there is room is believed for a second
                send(app, next(left))
                return "intake.closed" in worker.text

            fleet.wait(one_more_is_refused, "the worker takes no more requests")
            send(app, *islice(left, 40))
            fleet.wait(lambda: waiting(fleet.client) > 40, "what it could not record is at the broker again")
            recorded = sum(fleet.states().values())
        sent = jobs[: jobs.index(next(left))]
        assert recorded + waiting(fleet.client) == len(sent)
        fleet.client.config_set("maxmemory", 0)
        fleet.wait_until_settled(len(sent))
        judge(fleet, sent)
        assert fleet.states() == {State.DELETED: len(sent)}
        assert "intake.opened" in worker.text
        assert parked(fleet) == {}


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    with EmbeddedRedis(tmp_path / "broker") as server:
        yield server


@contextmanager
def in_an_outage(broker: EmbeddedRedis) -> Iterator[tuple[Fleet, Process, redis.Redis, list[str]]]:
    """The ledger's Redis is away, and each thread of the one worker has a message."""
    jobs = [f"job-{n:02d}" for n in range(30)]
    with Fleet(settings={"ERASER_BROKER_URL": broker.url}) as fleet:
        fleet.plant(*jobs)
        (worker,) = fleet.start_workers(1)
        fleet.kill_redis()
        queue = connect(broker.url)
        with Celery("somebody-elses", broker=broker.broker_url, set_as_current=False) as app:
            send(app, *jobs)
        fleet.wait(lambda: waiting(queue) <= len(jobs) - THREADS, "each thread of the worker has one")
        yield fleet, worker, queue, jobs


def test_messages_in_the_hands_of_a_worker_that_stops_go_back_when_the_ledger_is_away(broker: EmbeddedRedis) -> None:
    with in_an_outage(broker) as (fleet, worker, queue, jobs):
        end(worker)
        assert waiting(queue) == len(jobs), "not one of them is lost"
        fleet.start_redis()
        fleet.start_workers(1)
        fleet.wait_until_settled(len(jobs))
        assert fleet.states() == {State.DELETED: len(jobs)}
        judge(fleet, jobs)


def test_a_worker_that_is_killed_in_an_outage_of_the_ledger_has_given_its_messages_back(broker: EmbeddedRedis) -> None:
    with in_an_outage(broker) as (fleet, worker, queue, jobs):
        fleet.wait(lambda: waiting(queue) == len(jobs), "it gave all of them back, and takes no other")
        worker.kill()
        fleet.start_redis()
        fleet.start_workers(1)
        fleet.wait_until_settled(len(jobs))
        judge(fleet, jobs)


def test_where_neither_ledger_nor_broker_answers_a_stopping_worker_waits_for_one_of_them() -> None:
    jobs = [f"job-{n:02d}" for n in range(30)]
    with Fleet() as fleet:
        fleet.plant(*jobs)
        (worker,) = fleet.start_workers(1)
        left = iter(jobs)
        with fleet.producer() as app:

            def one_is_under_way() -> bool:  # handed out by the broker, and still unread in the socket of the worker
                worker.freeze()
                send(app, next(left))
                if waiting(fleet.client) == 0:
                    return True
                worker.thaw()
                return False

            fleet.wait(one_is_under_way, "a message is under way")
        fleet.client.client_pause(int(PATIENCE_S * 1000), all=False)  # no write is answered; what is read still is
        worker.thaw()
        fleet.wait(lambda: "message.kept" in worker.text, "the worker finds no place for a message")
        worker.send(signal.SIGTERM)
        fleet.client.client_unpause()
        worker.popen.wait(PATIENCE_S)
        sent = jobs[: jobs.index(next(left))]
        assert sum(fleet.states().values()) + waiting(fleet.client) == len(sent)
        fleet.start_workers(1)
        fleet.wait_until_settled(len(sent))
        judge(fleet, sent)


def test_a_message_with_an_eta_is_recorded_at_once_and_outlives_a_kill() -> None:
    with Fleet() as fleet:
        fleet.plant("now", "later", "soon")
        (worker,) = fleet.start_workers(1)
        with fleet.producer() as app:
            send(app, "later", countdown=3600)
            send(app, "soon", countdown=3)
            send(app, "now")
        fleet.wait(
            lambda: fleet.state("later") and fleet.state("soon") and fleet.state("now"), "all three are recorded"
        )
        fleet.wait(lambda: fleet.state("now") is State.DELETED, "its key is known")
        worker.kill()
        found = fleet.show("later")
        assert (found.state, found.waiting_for) == (State.PENDING, "grace")
        assert found.due_at is not None
        assert 3500 < (found.due_at - found.requested_at) / 1000 <= 3600
        fleet.start_workers(1)
        fleet.wait_until_settled(2)
        assert fleet.state("soon") is fleet.state("now") is State.DELETED
        assert fleet.state("later") is State.PENDING


def test_a_worker_that_does_not_know_a_project_hands_its_messages_to_one_that_does() -> None:
    jobs = [f"job-{n:02d}" for n in range(60)]
    new = f'[accounts.a]\nprojects = ["{DEMO_PROJECT}"]\n'
    with Fleet(settings={"HUAWEICLOUD_SDK_PROJECT_ID": None}, config=new, account="a") as fleet:
        fleet.plant(*jobs)
        file = fleet.directory / "old.toml"
        file.write_text(f'[accounts.b]\nprojects = ["{PROJECT}"]\n')
        before = fleet.env | {"ERASER_CONFIG": str(file)}
        old = fleet.start_worker(env=before)
        fleet.wait(lambda: fleet.live_workers() == 1, "the old worker takes messages")
        with fleet.producer() as app:
            send(app, *jobs)
        group = f"refused:{DEMO_PROJECT}"
        fleet.wait(lambda: parked(fleet) == {group: len(jobs)}, "all of them are parked")
        fields = run(fleet, before, "status", "--json")
        assert [(one["group"], one["count"]) for one in fields["parked"]] == [(group, len(jobs))]
        fleet.start_worker()
        fleet.wait_until_settled(len(jobs))
        judge(fleet, jobs)
        assert parked(fleet) == {}
        assert old.alive


def run(fleet: Fleet, environ: dict[str, str], *words: str) -> Any:
    done = fleet.command(*words, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


# -- what nobody can make sense of -------------------------------------------------------------------------------------

GOOD = json.dumps([[DEMO_PROJECT, "good"], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


def envelope(body: str | bytes, headers: Any, kind: str = "application/json") -> str:
    """What a producer pushes onto the list of a queue in Redis."""
    body = base64.b64encode(body.encode() if isinstance(body, str) else body).decode()
    info = {"exchange": "", "routing_key": OURS.requests}
    properties = {"correlation_id": str(uuid.uuid4()), "delivery_mode": 2, "delivery_info": info, "priority": 0}
    properties |= {"body_encoding": "base64", "delivery_tag": str(uuid.uuid4())}
    fields = {"body": body, "content-encoding": "utf-8", "content-type": kind, "headers": headers}
    return json.dumps(fields | {"properties": properties})


def headers(**more: Any) -> dict[str, Any]:
    return {"lang": "py", "task": "eraser.delete", "id": str(uuid.uuid4()), **more}


def first_protocol(**fields: Any) -> str:
    return envelope(json.dumps({"id": "x", "args": [DEMO_PROJECT, "x"], "kwargs": {}, **fields}), {})


STRANGE = {  # to whom it belongs cannot be told: kept whole
    "no JSON": "hello",
    "a number": "5",
    "an empty envelope": "{}",
    "no headers": json.dumps({"body": "x", "properties": {"delivery_tag": "1"}}),
    "properties that are none": json.dumps({"body": "x", "headers": headers(), "properties": None}),
    "headers that are none": envelope(GOOD, None),
    "headers that are text": envelope(GOOD, "abc"),
    "a list for a task": envelope(GOOD, headers(task=["eraser.delete"])),
    "somebody else's task": envelope(GOOD, headers(task="shop.clean")),
    "somebody else's pickle": envelope(b"\x80", headers(task="shop.clean"), "application/x-python-serialize"),
    "protocol 1, a mapping for a task": first_protocol(task={}),
}
BAD = {  # a task of ours that cannot be carried out: told, and not kept
    "a number for a body": envelope("5", headers()),
    "null for a body": envelope("null", headers()),
    "half a body": envelope("[[1]]", headers()),
    "no JSON in the body": envelope("{{{", headers()),
    "a list for keywords": envelope("[[], [], {}]", headers()),
    "a number for what comes after": envelope('[["p", "j"], {}, 5]', headers()),
    "YAML": envelope("- 1", headers(), "application/x-yaml"),
    "a pickle": envelope(b"\x80", headers(), "application/x-python-serialize"),
    "msgpack": envelope(b"\x93\x92\xa1p\xa1j\x80\xc0", headers(), "application/x-msgpack"),
    "compressed, nobody knows how": envelope(GOOD, headers(compression="application/x-foo")),
    "not compressed, though it says so": envelope(GOOD, headers(compression="application/x-gzip")),
    "no id": envelope(GOOD, {"task": "eraser.delete"}),
    "a list for an id": envelope(GOOD, headers(id=["x"])),
    "an ETA that is no time": envelope(GOOD, headers(eta="yesterday")),
    "an ETA in the year 9999": envelope(GOOD, headers(eta="9999-12-31T23:59:59+00:00")),
    "an end that is no time": envelope(GOOD, headers(expires={})),
    "a number for stamps": envelope(GOOD, headers(stamped_headers=5)),
    "protocol 1, an ETA that is no time": first_protocol(task="eraser.delete", eta="zzz"),
    "protocol 1, no arguments": envelope('{"task": "eraser.delete", "id": "x"}', {}),
    "a number for a job": envelope(json.dumps([[DEMO_PROJECT, 5], {}, None]), headers()),
    "a list for a reason": envelope(json.dumps([[DEMO_PROJECT, "x"], {"reason": ["c4n4ry"]}, None]), headers()),
    "an unknown argument": envelope(json.dumps([[DEMO_PROJECT, "x"], {"name": "c4n4ry"}, None]), headers()),
    "project and job swapped": envelope(json.dumps([["x", DEMO_PROJECT], {}, None]), headers()),
}


def test_no_message_ends_a_worker_and_each_is_told() -> None:
    """Theirs ended with a third of these, came back to the queue with them, and ended the next worker too."""
    with Fleet() as fleet:
        fleet.plant("good")
        (worker,) = fleet.start_workers(1)
        for number, (what, message) in enumerate({**STRANGE, **BAD}.items(), 1):
            fleet.client.lpush(OURS.requests, message)
            fleet.wait(lambda n=number: sum(parked(fleet).values()) == n or not worker.alive, f"{what} is parked")  # type: ignore[misc]
            assert worker.alive, what
        with fleet.producer() as app:
            send(app, "good")
        fleet.wait_until_settled(1)
        judge(fleet, ["good"])
        found = parked(fleet)
        assert sum(count for name, count in found.items() if name.startswith(ParkedKind.FOREIGN)) == len(STRANGE)
        assert found["bad:eraser.delete"] == len(BAD)
        everything = "".join(map(repr, Parking(fleet.client).each("bad:eraser.delete")))
        assert "c4n4ry" not in everything, "what a bad request says is not kept"
        assert DEMO_PROJECT in everything, "but which project and job it was about"
        assert "job='x'" in everything


def test_what_was_not_ours_comes_to_its_owner_whole() -> None:
    with Fleet() as fleet:
        fleet.start_workers(1)
        with fleet.producer() as app:
            app.send_task("shop.mail", args=["dear customer"], kwargs={"n": 1}, queue=OURS.requests, priority=3)
        fleet.wait(lambda: parked(fleet) == {"foreign:shop.mail": 1}, "it is parked")
        words = (
            "parked",
            "send",
            "foreign:shop.mail",
            "--queue",
            "celery",
            "--reason",
            "T-1",
            "--by",
            "ops-1",
            "--json",
        )
        assert run(fleet, fleet.env, *words) == {"group": "foreign:shop.mail", "sent": 1}
        assert parked(fleet) == {}
        got: list[tuple[Any, ...]] = []
        with (
            fleet.producer() as shop,
            shop.connection_for_read() as connection,
            connection.SimpleQueue("celery") as queue,
        ):
            message = queue.get(timeout=PATIENCE_S)
            got.append((message.headers["task"], *message.payload[:2], message.properties["priority"]))
            message.ack()
        assert got == [("shop.mail", ["dear customer"], {"n": 1}, 3)]


def test_messages_beyond_the_threads_of_a_worker_that_stops_are_not_lost() -> None:
    """Its pool throws away what no thread has begun."""
    jobs = [f"job-{n:03d}" for n in range(200)]
    with Fleet(settings={"ERASER_RATE": "1000"}) as fleet:
        fleet.plant(*jobs)
        workers = fleet.start_workers(2, "--concurrency", "2")
        with fleet.producer() as app:
            send(app, *jobs[:100])
            for worker in workers:
                worker.send(signal.SIGTERM)
            send(app, *jobs[100:])
        for worker in workers:
            worker.popen.wait(PATIENCE_S)
        fleet.start_workers(1)
        fleet.wait_until_settled(len(jobs))
        judge(fleet, jobs)
