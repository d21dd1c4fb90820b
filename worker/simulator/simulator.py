"""A local MetaStudio in a thread of this process, or in the foreground of its own process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from worker.model.errors import UsageError
from worker.simulator.calls import CallLog
from worker.simulator.commands import execute
from worker.simulator.controls import Controls
from worker.simulator.iam import IamUser
from worker.simulator.server import Server
from worker.simulator.state import Behaviour, SimulatorState
from worker.simulator.tls import server_context
from worker.simulator.verification import Credential

DEMO_AK = "SIMULATORACCESSKEY00"
DEMO_SK = "simulator-secret-key-that-opens-nothing"
DEMO_USER = "simulator-user"
DEMO_PASSWORD = "simulator-password-that-opens-nothing"  # noqa: S105 - as it says
DEMO_DOMAIN = "simulator-domain"
DEMO_PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
_STOP_WITHIN_S = 10.0


class Simulator(Controls):
    """`with Simulator(...) as simulator:` serves at `simulator.url` from a thread of this process.

    `credentials` default to one demo key for `project`, `users` to one demo user for the projects of the first key: the
    same port is IAM as well. `behaviour` has the fields of `Behaviour`; it can be changed at run time by the methods of
    `Controls`. tls: serve HTTPS, and write the certificate of a CA that is made for it into this file; only then may
    `host` be no loopback address. `keep_calls` bounds the log in memory, `log` also appends it to a file as JSON lines.
    """

    def __init__(
        self,
        *,
        credentials: Sequence[Credential] = (),
        users: Sequence[IamUser] = (),
        project: str = DEMO_PROJECT,
        jobs: int = 0,
        leftovers: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Path | None = None,
        keep_calls: int | None = None,
        log: Path | None = None,
        **behaviour: Any,
    ) -> None:
        if tls is None and host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise UsageError(f"simulator host {host}: without TLS it listens on loopback only, use 127.0.0.1 or ::1")
        key, *_ = keys = tuple(credentials) or (Credential(DEMO_AK, DEMO_SK, projects=(project,)),)
        self.user, *_ = people = tuple(users) or (IamUser(DEMO_USER, DEMO_PASSWORD, DEMO_DOMAIN, key.projects),)
        self.state = SimulatorState(keys, people, Behaviour(**behaviour), CallLog(keep_calls, log))
        self._host, self._port = host, port
        self._tls = server_context(tls, host) if tls is not None else None
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.ak, self.sk, self.security_token, self.project = key.ak, key.sk, key.security_token, key.projects[0]
        if jobs:
            self.fill(jobs, leftovers=leftovers)

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        if self._server is None:
            raise UsageError("simulator: it does not run yet; use `with Simulator() as simulator:`")
        host = f"[{self._host}]" if ":" in self._host else self._host
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
        return f"{'https' if self._tls else 'http'}://{host}:{self._server.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen in a thread; returns when calls are taken. A port in use raises OSError here."""
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="metastudio-simulator", daemon=True)
        self._thread.start()
        started.result()

    def stop(self) -> None:
        """Close every connection and end the thread; the log stays readable."""
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_STOP_WITHIN_S)
        self._loop = None

    def run(self, ready: Callable[[str], None] = lambda _: None) -> None:
        """Serve in this thread until Ctrl-C or SIGTERM; `ready` is called with the URL once calls are taken."""

        def begin() -> None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
            ready(self.url)

        asyncio.run(self._live(begin))

    def _serve(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._live(lambda: started.set_result(None)))
        except BaseException as problem:
            if started.done():
                raise
            started.set_exception(problem)

    async def _live(self, ready: Callable[[], None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._server = server = Server(self.state, self._host, self._port, self._tls)
        try:
            await server.open()
            ready()
            await self._stopping.wait()
        finally:
            await server.close()
            self.state.calls.close()

    def _run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        if self._loop is None or self._server is None:
            return execute(self, name, arguments)
        return asyncio.run_coroutine_threadsafe(self._server.control(name, arguments), self._loop).result()


def serve(ready: Callable[[str], None], jobs_file: Path | None = None, **options: Any) -> None:
    """Run in the foreground until Ctrl-C: what `eraser simulator` does. `options` are those of `Simulator`."""
    simulator = Simulator(**options)
    if jobs_file is not None:
        simulator.add_jobs(read_jobs(jobs_file))
    with contextlib.suppress(KeyboardInterrupt):
        simulator.run(ready)


def read_jobs(path: Path) -> list[dict[str, object]]:
    """Read jobs from a file: one id per line, or one JSON object per line with `job_id` and the arguments of
    `add_job`.
    """
    rows: list[dict[str, object]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not text.startswith("{"):
            rows.append({"job_id": text})
            continue
        try:
            rows.append(json.loads(text))
        except ValueError:
            raise UsageError(f"{path}:{number}: neither a job id nor a JSON object") from None
    return rows
