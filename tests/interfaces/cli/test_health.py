"""`eraser health`: cheap, and never the reason for a useless restart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Command
from worker.execution import health
from worker.execution.heartbeat import Beat


@pytest.fixture
def beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This machine's beats, none yet."""
    directory = tmp_path / "beats"
    directory.mkdir()
    monkeypatch.setattr(health, "beats", lambda: directory)
    yield directory
    while _living:
        _living.pop().end()


_living: list[Beat] = []  # whoever lets go of a beat is dead


def beat(beats: Path, *, seconds_ago: float, lives: bool = True) -> Path:
    """What a worker left: a living one holds its file."""
    file = beats / f"{os.getpid()}.beat"
    if lives:
        _living.append(Beat(file))
        _living[-1].touch()
    else:
        file.touch()
    at = time.time() - seconds_ago
    os.utime(file, (at, at))
    return file


def test_a_worker_that_takes_work_is_well(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=1)
    ended = command("health")
    assert ended.code == 0
    assert "the worker of this machine takes work" in ended.out


def test_a_worker_that_lives_and_takes_nothing_is_ill(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=200)
    ended = command("health")
    assert ended.code == 1
    assert re.search(rf"process {os.getpid()} took nothing for 2\d\d s", ended.out)


def test_json_tells_the_same(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=200)
    (found,) = command("health", "--json").json
    assert set(found) == {"healthy", "redis", "refused", "workers"}
    assert found["refused"] is None
    assert found["healthy"] is False
    assert found["workers"][0]["pid"] == os.getpid()


def test_an_absent_redis_is_not_the_workers_illness(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=200)
    ended = command("health", ERASER_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 0
    assert "Redis is unreachable" in ended.out


def test_a_worker_that_is_dead_is_nobodys_illness(command: Command, beats: Path) -> None:
    """Not even when its pid is somebody else's by now, in a container that of a worker as a rule."""
    file = beat(beats, seconds_ago=200, lives=False)
    ended = command("health")
    assert ended.code == 0
    assert "no worker of this user runs" in ended.out
    assert not file.exists()


def test_a_worker_that_was_killed_is_dead_although_its_pid_lives(command: Command, beats: Path) -> None:
    code = (
        "import sys, time, pathlib; from worker.execution.heartbeat import Beat; b = Beat(pathlib.Path(sys.argv[1])); "
        "b.touch();"
        " print(flush=True); time.sleep(600)"
    )
    file = beats / f"{os.getpid()}.beat"
    with subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        os.utime(file, (0, 0))
        assert command("health").code == 1
        worker.kill()
    assert command("health").code == 0


def test_a_beat_that_was_swept_away_is_left_anew(beats: Path, command: Command) -> None:
    """Temporary directories are tidied: of a worker that lives for months too."""
    file = beat(beats, seconds_ago=1)
    file.unlink()
    _living[-1].touch()
    os.utime(file, (0, 0))
    assert command("health").code == 1


def test_a_wrong_setting_exits_2(command: Command, beats: Path) -> None:
    assert command("health", ERASER_NONSENSE="1").code == 2


def test_a_probe_does_not_load_celery() -> None:
    code = "import sys; import worker.interfaces.cli.health; sys.exit('celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_ends_or_is_none_while_it_is_looked_at_is_no_illness(command: Command, beats: Path) -> None:
    (beats / f"{os.getpid()}.beat").symlink_to(beats / "gone")  # its worker took it away meanwhile
    (beats / "README.beat").touch()
    assert command("health").code == 0
