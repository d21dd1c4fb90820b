"""`eraser health`: cheap, and never the reason for a useless restart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import Command
from worker import health


@pytest.fixture
def beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's beats, none yet."""
    directory = tmp_path / "beats"
    directory.mkdir()
    monkeypatch.setattr(health, "beats", lambda: directory)
    return directory


def beat(beats: Path, *, seconds_ago: float, pid: int | None = None) -> None:
    file = beats / f"{pid or os.getpid()}.beat"
    file.touch()
    at = time.time() - seconds_ago
    os.utime(file, (at, at))


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
    assert set(found) == {"healthy", "redis", "workers"}
    assert found["healthy"] is False
    assert found["workers"][0]["pid"] == os.getpid()


def test_an_absent_redis_is_not_the_workers_illness(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=200)
    ended = command("health", ERASER_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 0
    assert "Redis is away" in ended.out


def test_a_worker_that_is_dead_is_nobodys_illness(command: Command, beats: Path) -> None:
    beat(beats, seconds_ago=200, pid=2**22 - 1)
    ended = command("health")
    assert ended.code == 0
    assert "no worker of this user runs" in ended.out


def test_a_wrong_setting_exits_2(command: Command, beats: Path) -> None:
    assert command("health", ERASER_NONSENSE="1").code == 2


def test_a_probe_does_not_load_celery() -> None:
    code = "import sys; import worker.operations.cli.health; sys.exit('celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_ends_or_is_none_while_it_is_looked_at_is_no_illness(command: Command, beats: Path) -> None:
    (beats / f"{os.getpid()}.beat").symlink_to(beats / "gone")  # its worker took it away meanwhile
    (beats / "README.beat").touch()
    assert command("health").code == 0
