"""The container engine of this machine, and one start of the compose files in it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
BASE_IMAGES = ("python:3.13-slim", "valkey/valkey:9-alpine")
FILES = ("docker-compose.yml", "docker-compose.try.yml")
SLOWLY_S = 180.0  # for what ends within seconds on a machine that has nothing else to do


def run(*command: str, input: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        input=input,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def done(*command: str, input: str | None = None, **environ: str) -> str:
    """What a command that must succeed printed."""
    ended = run(*command, input=input, **environ)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return ended.stdout


def why_not() -> str | None:
    """Why nothing can be started here; None: it can. Without an engine the answer takes a millisecond."""
    if shutil.which("docker") is None:
        return "no container engine: there is no `docker`"
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as line:
            if line.connect_ex(host.removeprefix("unix://")):
                return f"no container engine answers at {host}"
    if compose() is None:
        return "no `docker compose` and no `docker-compose`"
    if run("docker", "image", "inspect", *BASE_IMAGES).returncode:
        return f"the base images are not here: {', '.join(BASE_IMAGES)}"
    return None


@functools.cache
def compose() -> tuple[tuple[str, ...], str] | None:
    """The command and its version."""
    beside = str(Path(sys.executable).with_name("docker-compose"))
    for command in (("docker", "compose"), ("docker-compose",), (beside,)):
        if shutil.which(command[0]) and (found := run(*command, "version", "--short")).returncode == 0:
            return command, found.stdout.strip().removeprefix("v")
    return None


class Project:
    """The compose files under a project name and on a port of their own."""

    def __init__(self, directory: Path) -> None:
        found = compose()
        assert found is not None
        command, version = found
        files = [ROOT / name for name in FILES]
        if version.startswith("1."):  # of before 2021: it does not know `name`
            files[1] = directory / FILES[1]
            kept = [line for line in (ROOT / FILES[1]).read_text().splitlines(True) if not line.startswith("name:")]
            files[1].write_text("".join(kept))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._environ = {"CONSOLE_PORT": str(self.port), "ERASER_RATE": "20", "ERASER_RECHECK": ""}
        self._command = [*command, "-p", f"eraser-test-{os.getpid()}", "--project-directory", str(ROOT)]
        for file in files:
            self._command += ["-f", str(file)]

    def __call__(self, *arguments: str, input: str | None = None) -> str:
        return done(*self._command, *arguments, input=input, **self._environ)

    def eraser(self, *arguments: str, input: str | None = None) -> str:
        return self("exec", "-T", "worker", "eraser", *arguments, input=input)

    def python(self, service: str, code: str) -> str:
        return self("exec", "-T", service, "python", "-c", code)

    def simulator(self, command: str) -> Any:
        """A command without arguments of the simulator's control."""
        return json.loads(
            self.python(
                "simulator",
                "import json; from pathlib import Path; from worker.simulator.control_client import SimulatorControl\n"
                "control = SimulatorControl('https://localhost:18443', Path('/made/ca.pem'))\n"
                f"print(json.dumps(control.{command}()))",
            )
        )

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """The containers of a service, as the engine sees them."""
        ids = self("ps", "-q", service).split()
        found: list[dict[str, Any]] = json.loads(done("docker", "inspect", *ids)) if ids else []
        return found

    def kill(self, service: str) -> None:
        """kill -9 of what runs in a container, as a crash: it is started again by its restart policy."""
        (container,) = self.inspect(service)
        before = container["RestartCount"]
        self("exec", "-T", service, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
        wait_until(
            lambda: self.inspect(service)[0]["RestartCount"] > before,
            SLOWLY_S,
            f"{service} was started again",
            every=0.2,
        )

    def states(self) -> dict[str, int]:
        states: dict[str, int] = json.loads(self.eraser("status", "--json"))["states"]
        return states
