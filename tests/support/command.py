"""Runs `eraser` as a person does: arguments and environment in; exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support import schemas
from tests.support.dead_letters import PROJECT
from tests.support.waiting import PATIENCE_S
from worker.execution import app_context
from worker.interfaces.cli import eraser
from worker.services import redis_ping
from worker.services.doctor import broker_checks
from worker.simulator import Simulator

MAIN = f"""
from worker.interfaces.cli import main
from worker.ledger import connection
connection.TIMEOUT_S = {PATIENCE_S}  # a machine that stands still fails no test
main()
"""


def near(simulator: Simulator) -> dict[str, str]:
    """The settings of a process that calls this one."""
    environ = {"ERASER_REGION": "", "ERASER_ENDPOINT": simulator.url, "ERASER_RATE": "1000"}
    environ |= {"HUAWEICLOUD_SDK_AK": simulator.ak, "HUAWEICLOUD_SDK_SK": simulator.sk}
    return environ | {"HUAWEICLOUD_SDK_PROJECT_ID": simulator.project}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        """Each line of stdout as an object."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def all(self) -> str:
        return self.out + self.err


class Command:
    """`command("status", "--json")`. Settings come from `environ` only; what it prints has to fit its schema."""

    def __init__(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = redis_url
        self._monkeypatch = monkeypatch
        self.environ = {"ERASER_REDIS_URL": redis_url, "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT}
        self.environ |= {"ERASER_REGION": "cn-north-4", "HOME": "/nonexistent"}

    def __call__(self, *args: str, input: bytes = b"", **environ: str | None) -> Ended:
        """Without a process: quick. A keyword sets a variable for this call, None unsets it."""
        for name in list(os.environ):
            if name.startswith(("ERASER_", "HUAWEICLOUD_", "CELERY_", "XDG_")):
                self._monkeypatch.delenv(name)
        for name, value in {**self.environ, **environ}.items():
            if value is not None:
                self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr(app_context, "_app_context", None)
        for module, name in ((redis_ping, "PATIENCE_S"), (broker_checks, "CONNECT_S"), (broker_checks, "LOOK_S")):
            self._monkeypatch.setattr(module, name, PATIENCE_S)  # a machine that stands still fails no test
        self._monkeypatch.setattr(broker_checks, "ANSWERS_S", 0.05)  # there is no worker that could answer
        self._monkeypatch.setattr(broker_checks, "OPTIONS", dict.fromkeys(broker_checks.OPTIONS, PATIENCE_S))
        result = CliRunner().invoke(eraser, list(args), input=input)
        if isinstance(result.exception, Exception):  # a fault of ours
            raise result.exception
        schemas.check_printed(args, result.stdout, result.stderr, result.exit_code)
        return Ended(result.exit_code, result.stdout, result.stderr)

    def process(self, *args: str, input: str | None = None, timeout: float = 240, **environ: str) -> Ended:
        """As a real process, through the console script's own function."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *args],
            env={**kept, **self.environ, **environ},
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        schemas.check_printed(args, done.stdout, done.stderr, done.returncode)
        return Ended(done.returncode, done.stdout, done.stderr)
