"""A program that is forked is a process as any other: for those who start, signal and judge it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.forkserver import Forked, clean
from tests.support.waiting import PATIENCE_S, wait_until

PROGRAM = """
import atexit, os, sys
atexit.register(print, "goodbye", flush=True)
print(sys.argv[1:], os.environ.get("X"), os.getcwd(), "worker.execution.celery_app" in sys.modules, flush=True)
if sys.argv[1] == "wait":
    sys.stdin = open(os.path.abspath("fifo"))
    sys.stdin.read()
sys.exit(int(sys.argv[2]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each program is started from scratch")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def start(place: Path, *words: str, **environ: str) -> Forked:
    with (place / "log").open("ab") as log:
        argv = [sys.executable, "-m", "program", *words]
        process = forkserver.start(argv, cwd=place, env=clean() | environ, log=log)
    assert isinstance(process, Forked)
    return process


def test_it_has_its_own_words_environment_directory_log_end_and_code(place: Path) -> None:
    assert start(place, "end", "7", X="1").wait(PATIENCE_S) == 7
    assert start(place, "end", "0").wait(PATIENCE_S) == 0
    lines = (place / "log").read_text().splitlines()
    assert lines == [f"['end', '7'] 1 {place} False", "goodbye", f"['end', '0'] None {place} False", "goodbye"]


def test_its_group_can_be_killed_from_its_start(place: Path) -> None:
    """A worker that was to be killed at once lived on, and who waited for its end did so for ever."""
    for _ in range(20):
        process = start(place, "wait", "0")
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_what_ends_by_itself_says_what_it_wrote_and_where(place: Path) -> None:
    program = "import sys\nprint('out', sys.argv[1])\nprint('err', file=sys.stderr)\nsys.exit(3)\n"
    (place / "both.py").write_text(program, encoding="utf-8")
    done = forkserver.run([sys.executable, "-m", "both", "x"], cwd=place, env=clean())
    assert (done.returncode, done.stdout, done.stderr) == (3, "out x\n", "err\n")
    done = forkserver.run(["sh", "-c", "echo out; echo err >&2; exit 4"], cwd=place, env=clean())
    assert (done.returncode, done.stdout, done.stderr) == (4, "out\n", "err\n"), "started from scratch, too"


def test_what_is_killed_says_so_and_a_signal_reaches_it_alone(place: Path) -> None:
    killed, stopped = start(place, "wait", "0"), start(place, "wait", "0")
    wait_until(lambda: (place / "log").read_text().count("wait") == 2, what="both run")
    assert os.getsid(killed.pid) == killed.pid != os.getsid(stopped.pid)
    assert killed.poll() is stopped.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(PATIENCE_S) == -signal.SIGKILL
    assert stopped.poll() is None
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(PATIENCE_S) == -signal.SIGTERM
    killed.send_signal(signal.SIGKILL)  # nobody any more


def test_another_interpreter_or_another_tree_is_started_from_scratch(place: Path) -> None:
    (place / "log").touch()
    for argv, environ in (
        ([sys.executable, "-m", "this"], {"PYTHONPATH": str(place)}),
        ([sys.executable, "-m", "this"], {"PYTHONUTF8": "1"}),
        (["true"], {}),
    ):
        with (place / "log").open("ab") as log:
            process = forkserver.start(argv, cwd=place, env=clean() | environ, log=log)
        assert isinstance(process, subprocess.Popen)
        assert process.wait(PATIENCE_S) == 0
