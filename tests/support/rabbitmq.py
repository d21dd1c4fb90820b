"""A RabbitMQ for one test: a node of its own on loopback, in a directory of its own, that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.support import scratch
from tests.support.ports import HOST, free_ports
from tests.support.waiting import wait_until

START_S = 120.0
_PROGRAMS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"))


class RabbitMq:
    """`with RabbitMq() as broker:` it answers at `broker.url`; `kill` and `start` keep its queues."""

    def __init__(self) -> None:
        found = next((program for program in _PROGRAMS if program.exists()), None)
        if found is None:
            missing = "no RabbitMQ here: on Debian or Ubuntu, apt-get install rabbitmq-server"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        self._program = found
        self.directory = scratch.directory("rabbitmq-")
        self.port, distribution, self._epmd = free_ports(3)
        (self.directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {HOST}:{self.port}\n")
        (self.directory / "plugins").write_text("[].\n")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"eraser{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd),
        }
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As the settings have it."""
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        with contextlib.suppress(OSError):
            subprocess.run(["epmd", "-kill"], env=self._env, capture_output=True, timeout=30, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        with (self.directory / "out.log").open("ab") as log:
            self._popen = subprocess.Popen(
                [self._program], env=self._env, cwd=self.directory, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, START_S, "RabbitMQ answers")

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
            wait_until(lambda: not self._listens(), 60.0, "its port is free")

    def _answers(self) -> bool:
        assert self._popen is not None
        assert self._popen.poll() is None, (self.directory / "out.log").read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 5) as sock:
            sock.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(sock.recv(8))
        return False

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 5):
            return True
        return False
