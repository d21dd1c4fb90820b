"""`eraser up` keeps a household: killed at any moment it loses nothing, stopped it leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from tests.support.leftovers import kill_all, nothing_left, processes, temporary
from tests.support.waiting import PATIENCE_S, wait_until
from worker.config.settings import Settings
from worker.execution.app_context import AppContext
from worker.ledger.types import DeletionRequest
from worker.local.processes import Stopped, raise_if_stopped, stoppable
from worker.local.up import HOST, PORT, check, children_environment, chosen_port
from worker.model.errors import UsageError
from worker.model.states import State
from worker.model.target import Target
from worker.services.request import deletion_request, record
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator

JOBS = 300
ERASER = [sys.executable, "-c", "from worker.interfaces.cli import main; main()"]


class Machine:
    """A machine on which somebody types `eraser up`."""

    def __init__(self, tmp: Path, simulator: Simulator) -> None:
        self.tmp, self.simulator = tmp, simulator
        self.data = tmp / "data"
        self.log = tmp / "up.log"
        self.started: list[subprocess.Popen[str]] = []
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp),
            "TMPDIR": str(tmp),
            "ERASER_ENDPOINT": simulator.url,
            "ERASER_RATE": "40",
            "ERASER_RETRY_SCHEDULE": "0.3s,0.5s,1s,1s,1s",
            "ERASER_CALL_TIMEOUT": "30s",
            "ERASER_LEASE": "60s",
            "HUAWEICLOUD_SDK_AK": DEMO_AK,
            "HUAWEICLOUD_SDK_SK": DEMO_SK,
            "HUAWEICLOUD_SDK_PROJECT_ID": DEMO_PROJECT,
        }

    def up(self, *, before: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            started = subprocess.Popen(
                [*before, *ERASER, "up", "--data", str(self.data)],
                env=self.environ | more,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.started.append(started)
        assert started.stdout is not None
        assert "everything is running" in (line := started.stdout.readline()), line + self.log.read_text()
        return started

    def ledger(self) -> AppContext:
        return AppContext.load({**self.environ, "ERASER_REDIS_URL": f"unix://{self.data}/redis.sock"})

    def states(self) -> dict[State, int]:
        app = self.ledger()
        try:
            return app.queries("default").status().states
        finally:
            app.redis.close()

    def pids(self, words: str) -> list[int]:
        return [pid for pid, command in processes(self.tmp).items() if words in command]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with temporary() as tmp, Simulator(jobs=JOBS, latency_s=0.02) as simulator:
        one = Machine(tmp, simulator)
        yield one
        kill_all(tmp)
        for up in one.started:
            up.communicate()


def request_all(machine: Machine, count: int = JOBS) -> None:
    app = machine.ledger()
    refs = [Target(DEMO_PROJECT, f"job-{n:05d}") for n in range(1, count + 1)]
    assert len(list(record(app, refs, deletion_request(app, lane="bulk")))) == count
    app.redis.close()


def test_under_nohup_a_closed_terminal_ends_neither_it_nor_its_children(machine: Machine) -> None:
    up = machine.up(before=("nohup",))
    assert up.stdout is not None
    (way_in,) = (line for line in iter(up.stdout.readline, "In another terminal:\n") if "open it by" in line)
    assert ("eraser console link" in way_in, "?link=" in way_in) == (True, False), (
        "a log has no link that opens the console"
    )
    wait_until(lambda: "worker.ready" in machine.log.read_text(), what="the worker")
    everything = set(processes(machine.tmp))
    machine.states()  # meanwhile a child that one of them had for a moment has ended
    everything &= set(processes(machine.tmp))
    for pid in everything:
        os.kill(pid, signal.SIGHUP)
    request_all(machine, 5)
    wait_until(lambda: machine.states()[State.DELETED] == 5, what="deletions afterwards")
    assert everything <= set(processes(machine.tmp)), "somebody ended, and perhaps began anew"
    assert "child.ended" not in machine.log.read_text()
    up.terminate()
    assert up.wait(PATIENCE_S) == 0
    nothing_left(machine.tmp)


def receipt_of_another_day(machine: Machine) -> None:
    """As if a request had been withdrawn in 2023."""
    app = machine.ledger()
    ledger, stream = app.ledger("default"), "eraser:{default}:receipts"
    ledger.request([Target(DEMO_PROJECT, "old")], DeletionRequest(delay_s=3600))
    ledger.cancel([Target(DEMO_PROJECT, "old")], why="T-1")
    ((_, fields),) = app.redis.xrange(stream)  # type: ignore[misc]
    app.redis.delete(stream)
    app.redis.xadd(stream, fields | {b"t": b"1700000000000"}, id="1700000000000-0")
    app.redis.close()


def test_killed_with_everything_in_mid_run_it_goes_on_where_it_was(machine: Machine) -> None:
    leases = {"ERASER_CALL_TIMEOUT": "2s", "ERASER_CONNECT_TIMEOUT": "1s", "ERASER_LEASE": "4s"}
    machine.up(**leases, ERASER_RATE="20")
    receipt_of_another_day(machine)
    machine.simulator.add_job("bystander")  # of an empty project nothing proves that a job is gone
    request_all(machine)
    wait_until(lambda: machine.states()[State.DELETED] >= 5, what="the first deletions")
    kill_all(machine.tmp)  # Redis, worker, beat, guard and `up` itself, in one moment
    done = len(machine.simulator.effects())
    assert 5 <= done < JOBS
    again = machine.up(**leases, ERASER_RATE="200")
    settled = (State.DELETED, State.GONE)
    wait_until(lambda: sum(machine.states()[state] for state in settled) == JOBS, what="all deletions")
    assert len(machine.simulator.effects()) == JOBS
    assert machine.simulator.job_ids() == ["bystander"]
    assert machine.states()[State.DEAD] == 0
    (day,) = (machine.data / "receipts" / "default").iterdir()
    assert day.name == "2023-11-14.jsonl", "receipts of days that are over leave Redis for the data directory"
    again.send_signal(signal.SIGINT)
    assert again.wait(PATIENCE_S) == 0
    nothing_left(machine.tmp)


def test_the_http_side_is_where_it_says_and_ends_with_the_rest(machine: Machine) -> None:
    up = machine.up()
    assert up.stdout is not None
    broker = next(line.split()[1].rstrip(",") for line in up.stdout if line.startswith("  broker"))
    with Connection(broker) as celery:  # as a producer would use it
        celery.ensure_connection(max_retries=1)
    address = next(line.split()[1] for line in up.stdout if line.startswith("  console"))
    wait_until(lambda: "http.listening" in machine.log.read_text(), what="the HTTP side")
    with urllib.request.urlopen(f"{address}/readyz", timeout=PATIENCE_S) as response:
        assert response.status == 200
    up.terminate()
    assert up.wait(PATIENCE_S) == 0
    nothing_left(machine.tmp)


def test_where_somebody_has_its_port_it_takes_another_one() -> None:
    with contextlib.suppress(OSError), socket.create_server((HOST, PORT)):
        assert chosen_port(None) != PORT
    assert 0 < chosen_port(None) < 65536


def test_a_port_that_was_named_is_taken_or_the_error_names_it(machine: Machine) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        words = [*ERASER, "up", "--data", str(machine.data), "--port", str(port)]
        refused = subprocess.run(words, env=machine.environ, capture_output=True, text=True, check=False)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"port {port}: another program has it" in refused.stderr
        assert not machine.data.exists()
    assert chosen_port(port) == port


def test_its_log_is_one_json_object_an_event_and_carries_no_secret(machine: Machine) -> None:
    up = machine.up()
    request_all(machine, 3)
    wait_until(lambda: machine.states()[State.DELETED] == 3, what="three deletions")
    up.terminate()
    assert up.wait(PATIENCE_S) == 0
    lines = [line for line in machine.log.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("deletion.deleted") == 3
    assert "worker.ready" in events
    assert not any("received" in event or "succeeded" in event for event in events)
    assert DEMO_SK not in machine.log.read_text()
    nothing_left(machine.tmp)


def test_when_it_alone_is_killed_its_guard_ends_the_rest(machine: Machine) -> None:
    up = machine.up()
    up.kill()
    up.wait()
    nothing_left(machine.tmp)
    again = machine.up()  # and the directory is free
    again.terminate()
    assert again.wait(PATIENCE_S) == 0


def test_a_child_or_a_redis_that_dies_is_started_again(machine: Machine) -> None:
    up = machine.up()
    wait_until(lambda: "worker.ready" in machine.log.read_text(), what="the worker")
    (worker,) = machine.pids("celery --quiet -A worker worker")
    os.kill(worker, signal.SIGKILL)
    os.kill(int((machine.data / "redis.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: machine.pids("celery --quiet -A worker worker") not in ([], [worker]), what="a new worker")
    wait_until(lambda: "redis.started" in machine.log.read_text(), what="a new Redis")
    request_all(machine, 5)
    wait_until(lambda: machine.states()[State.DELETED] == 5, what="deletions by the new worker")
    up.terminate()
    assert up.wait(PATIENCE_S) == 0
    nothing_left(machine.tmp)


def test_a_second_one_on_the_same_directory_says_so(machine: Machine) -> None:
    up = machine.up()
    second = subprocess.run(
        [*ERASER, "up", "--data", str(machine.data)], env=machine.environ, capture_output=True, text=True, check=False
    )
    assert second.returncode == 2
    assert f"another `eraser up` runs on {machine.data}, process {up.pid}" in second.stderr
    up.terminate()
    assert up.wait(PATIENCE_S) == 0


def test_without_settings_it_says_all_that_is_missing_and_starts_nothing() -> None:
    with temporary() as tmp:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp), "TMPDIR": str(tmp)}
        refused = subprocess.run([*ERASER, "up"], env=environ, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        for word in ("ERASER_REGION", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "eraser demo", "eraser simulator"):
            assert word in refused.stderr
        assert list(tmp.iterdir()) == []


def test_what_is_there_is_not_said_to_be_missing() -> None:
    settings = Settings.load({"ERASER_REGION": "cn-north-4"})
    check(settings, {"HUAWEICLOUD_SDK_AK": "AKAKAKAKAKAKAKAKAKAK", "HUAWEICLOUD_SDK_SK": "secret"})


def test_one_account_that_can_be_called_for_is_enough_to_start(tmp_path: Path) -> None:
    config = tmp_path / "eraser.toml"
    text = '[accounts.{0}]\nprojects = ["{0}-project"]\ncredentials_file = "{0}.ini"\n'
    config.write_text(text.format("a") + text.format("b"))
    settings = Settings.load({"ERASER_REGION": "cn-north-4", "ERASER_CONFIG": str(config)})
    with pytest.raises(UsageError, match=r"cannot read \S*a\.ini: [^$]*cannot read \S*b\.ini: "):
        check(settings, {})
    (tmp_path / "b.ini").write_text("[basic]\nak = AKAKAKAKAKAKAKAKAKAK\nsk = secret\n")
    check(settings, {})


def test_children_see_our_redis_no_celery_variables_and_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sk").write_text("secret")
    given = {
        "HUAWEICLOUD_SDK_SK_FILE": "sk",
        "ERASER_REDIS_URL_FILE": "gone",
        "CELERY_BROKER_URL": "redis://elsewhere/0",
        "ERASER_CONFIG": "",
        "LANG": "C",
    }
    assert children_environment(given, "unix:///x.sock") == {
        "HUAWEICLOUD_SDK_SK_FILE": str(tmp_path / "sk"),
        "ERASER_CONFIG": "",
        "LANG": "C",
        "ERASER_REDIS_URL": "unix:///x.sock",
    }


def test_a_signal_that_comes_while_garbage_is_collected_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops what a handler raises inside a `__del__`, as redis-py's clients have one."""

    class Garbage:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    dropped: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: dropped.append(unraisable.exc_type))
    with stoppable():
        Garbage()
        with pytest.raises(Stopped) as stopped:
            raise_if_stopped()
    assert (dropped, stopped.value.exit_code) == ([Stopped], 128 + signal.SIGTERM)
