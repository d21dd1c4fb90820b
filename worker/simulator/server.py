"""Listens on one port; routes each request to MetaStudio or to the control API."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from worker.model.errors import EraserError, UsageError
from worker.simulator import responses
from worker.simulator.commands import execute
from worker.simulator.controls import LocalControl
from worker.simulator.faults import OutageMode
from worker.simulator.http1 import Connection, Request
from worker.simulator.responses import Reply, encode
from worker.simulator.service import MetaStudio
from worker.simulator.state import SimulatorState

_CONTROL = "/_control/"
_BACKLOG = 1024


class Server:
    """Listens on one port and routes each request to MetaStudio or to the control API. tls: by HTTPS."""

    def __init__(self, sim_state: SimulatorState, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._state = sim_state
        self._host, self.port, self._tls = host, port, tls
        self._service = MetaStudio(sim_state)
        self._connections: set[Connection] = set()
        self._listening: socket.socket | None = None
        self._arriving: set[asyncio.Task[None]] = set()
        self._reopen: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen; the port chosen the first time is kept."""
        if self._listening is not None:
            return
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listening = socket.create_server((self._host, self.port), family=family, backlog=_BACKLOG)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        self._shut()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        tasks = [line.task for line in self._connections if line.task is not None]
        for line in list(self._connections):
            line.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def control(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Execute a command; it may have closed or opened the port."""
        result = execute(LocalControl(self._state), name, arguments)
        await self._settle()
        return result

    async def _settle(self) -> None:
        """Open or close the port according to the outage."""
        if self._reopen is not None:
            self._reopen.cancel()
            self._reopen = None
        outage, loop = self._state.outage, asyncio.get_running_loop()
        if outage is None or outage.mode is not OutageMode.CLOSED:
            await self.open()
            return
        self._shut()
        for line in list(self._connections):
            if not line.commanding:
                line.reset()
        if outage.until is not None:
            self._reopen = loop.call_later(max(0.0, outage.until - loop.time()), self._lift)

    def _lift(self) -> None:
        self._state.outage = None
        self._settling = asyncio.ensure_future(self._settle())

    def _shut(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _accept(self, listening: socket.socket) -> None:
        """Accept all waiting clients. asyncio's own server loses a client that it accepts while it closes (Python
        3.11).
        """
        loop = asyncio.get_running_loop()
        for _ in range(_BACKLOG):
            try:
                sock, _address = listening.accept()
            except OSError:  # no client waits, or the process has no file descriptor left
                return
            sock.setblocking(False)
            arriving = loop.create_task(self._welcome(sock))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)

    async def _welcome(self, sock: socket.socket) -> None:
        def connect() -> Connection:
            return Connection(self._serve, self._connections)

        try:
            _, line = await asyncio.get_running_loop().connect_accepted_socket(connect, sock, ssl=self._tls)
        except OSError:  # a client that does not trust us, or speaks no TLS
            return
        if self._listening is None:  # closed in the meantime
            line.reset()

    async def _serve(self, request: Request, line: Connection) -> None:
        if request.path.startswith(_CONTROL):
            line.commanding = True
            reply = await self._command(request.path.removeprefix(_CONTROL), request.body)
            line.send(encode(reply, responses.new_request_id(), self._state.now()))
        else:
            await self._service.serve(request, line)

    async def _command(self, name: str, body: bytes) -> Reply:
        try:
            arguments = json.loads(body or b"{}")
            if not isinstance(arguments, dict):
                raise UsageError(f"/_control/{name}: send a JSON object")
            if name == "outage" and arguments.get("mode") == "closed" and arguments.get("for_s") is None:
                raise UsageError("outage closed: over HTTP it needs for_s, nothing could lift it otherwise")
            return Reply(200, responses.as_json({"result": await self.control(name, arguments)}))
        except (EraserError, ValueError) as problem:
            return Reply(400, responses.as_json({"error": str(problem)}))
