"""To everybody else we are an ordinary Celery application: any producer, `celery inspect` and Flower."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

from celery import Celery

from tests.acceptance.fleet import Fleet, Process
from tests.acceptance.judge import judge
from worker.ledger.connection import connect
from worker.ledger.keys import OURS
from worker.local.embedded import EmbeddedRedis
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

PATIENT_S = 4.0  # how long a move is repeated while Redis is away
PRODUCER = textwrap.dedent(
    """
    import json, sys
    sys.modules["worker"] = sys.modules["tasks"] = None  # whatever is installed here: none of it can be imported
    from celery import Celery
    broker, *tasks = sys.argv[1:]
    app = Celery("somebody-elses", broker=broker)
    for task in tasks:
        args, kwargs = json.loads(task)
        app.send_task("eraser.delete", args=args, kwargs=kwargs, queue="eraser")
    """
)


def run(*words: str | Path, fleet: Fleet) -> str:
    done = fleet.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def send(fleet: Fleet, *tasks: tuple[list[str], dict[str, object]]) -> None:
    """Enqueue by name, from a process that has nothing of ours."""
    run(sys.executable, "-I", "-c", PRODUCER, fleet.redis_server.broker_url, *map(json.dumps, tasks), fleet=fleet)


def test_a_task_sent_by_name_from_a_bare_application_ends_in_a_deletion() -> None:
    with Fleet() as fleet:
        fleet.plant("plain", "with-options", "later")
        fleet.start_workers(1)
        send(
            fleet,
            ([DEMO_PROJECT, "plain"], {}),
            ([DEMO_PROJECT, "with-options"], {"lane": "bulk", "by": "svc-7", "reason": "TICKET-1", "deadline": "2h"}),
            ([DEMO_PROJECT, "later"], {"after": "24h"}),
        )
        fleet.wait_until_settled(2)
        deletions = judge(fleet, ["plain", "with-options", "later"])
        assert deletions["plain"].state is deletions["with-options"].state is State.DELETED
        assert (deletions["with-options"].requested_by, deletions["with-options"].reason) == ("svc-7", "TICKET-1")
        assert deletions["later"].state is State.PENDING
        assert fleet.metastudio.effects() == {"plain": 1, "with-options": 1}


def test_a_bad_task_is_refused_in_the_log_and_the_worker_goes_on() -> None:
    with Fleet() as fleet:
        fleet.plant("good")
        (worker,) = fleet.start_workers(1)
        send(
            fleet,
            ([DEMO_PROJECT, "../other"], {}),
            ([DEMO_PROJECT, ""], {}),
            ([DEMO_PROJECT, "x"], {"lane": "express"}),
            ([DEMO_PROJECT, "x"], {"no_such_option": 1}),
            ([DEMO_PROJECT], {}),
            ([DEMO_PROJECT, "good"], {}),
        )
        fleet.wait_until_settled(1)
        fleet.wait(lambda: worker.text.count('"level": "error"') >= 5, "five refusals in the log")
        assert list(judge(fleet, ["good"])) == ["good"]
        assert {call["job_id"] for call in fleet.metastudio.calls() if call["operation"] == "delete"} == {"good"}


def test_a_message_that_comes_while_the_ledger_is_away_is_recorded_when_it_is_back(tmp_path: Path) -> None:
    """The broker has given it away by then: a task that fails would lose it."""
    with EmbeddedRedis(tmp_path / "broker") as broker, Fleet(settings={"ERASER_BROKER_URL": broker.url}) as fleet:
        fleet.plant("patient")
        fleet.start_worker()
        fleet.kill_redis()
        app = Celery("somebody-elses", broker=broker.broker_url, set_as_current=False)
        app.send_task("eraser.delete", args=[DEMO_PROJECT, "patient"], queue=OURS.requests)
        queue = connect(broker.url)
        fleet.wait(lambda: queue.llen(OURS.requests) == 0, "the message is with the worker")
        away_until = time.monotonic() + 1.5 * PATIENT_S
        fleet.wait(lambda: time.monotonic() > away_until, "the ledger's patience is over")
        fleet.start_redis()
        fleet.wait_until_settled(1)
        assert fleet.state("patient") is State.DELETED


def test_celery_inspect_sees_our_tasks() -> None:
    with Fleet() as fleet:
        fleet.start_workers(1)
        assert {"eraser.delete", "eraser.work"} <= set(fleet.inspect("registered")["worker-1@test"])


def test_flower_starts_and_knows_the_worker() -> None:
    with Fleet() as fleet:
        fleet.plant("plain")
        fleet.start_workers(1)
        port = quiet_port()
        flower = fleet.start("flower", fleet.celery("flower", "--address=127.0.0.1", f"--port={port}"))
        fleet.wait(lambda: page(flower, port, "healthcheck") == "OK", "Flower answers its health check")
        fleet.wait(lambda: "worker-1@test" in (page(flower, port, "workers") or ""), "Flower's page knows the worker")
        send(fleet, ([DEMO_PROJECT, "plain"], {}))
        fleet.wait_until_settled(1)
        assert fleet.state("plain") is State.DELETED


def quiet_port() -> int:
    """A free port that no connection of anybody's is given meanwhile: below those that the system hands out."""
    for port in range(20_000, 30_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def page(flower: Process, port: int, path: str) -> str | None:
    assert flower.alive, "Flower ended"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as response:
            return str(response.read().decode()) if response.status == 200 else None
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
