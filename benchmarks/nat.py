"""A NAT between us and MetaStudio that forgets a flow in which nothing was said for a while: silently, as they do.

Bytes of a flow that was forgotten reach nobody, in both directions, and nobody is told: no RST, no FIN.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.acceptance.fleet import Fleet
from tests.support.between import Forwarder
from worker.simulator import SimulatorControl

NAT_IDLE_S = 1.5  # shorter than a worker may be idle between two calls of the campaign


@dataclass
class _Flow:
    last_used: float = field(default_factory=time.monotonic)
    forgotten: bool = False


class Nat(Forwarder):
    """`with Nat(url, idle_s) as nat:` `nat.url` leads to `url`."""

    def __init__(self, url: str, idle_s: float) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.idle_s = idle_s
        self.forgotten = 0  # flows that were used once more after they had been forgotten
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        flow = _Flow()
        threading.Thread(target=self._pump, args=(server, client, flow), daemon=True).start()
        self._pump(client, server, flow)

    def _pump(self, source: socket.socket, sink: socket.socket, flow: _Flow) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                now = time.monotonic()
                if not flow.forgotten and now - flow.last_used > self.idle_s:
                    flow.forgotten = True
                    self.forgotten += 1
                if flow.forgotten:
                    continue
                flow.last_used = now
                sink.sendall(piece)
        if not flow.forgotten:  # else the end of it is one more thing that nobody hears of
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        self._open.discard(source)
        source.close()


class BehindNat(Fleet):
    """A fleet whose workers reach MetaStudio through a NAT."""

    nat: Nat

    def _start_simulator(self) -> SimulatorControl:
        control = super()._start_simulator()
        self.nat = Nat(control.url, NAT_IDLE_S)
        self.nat.__enter__()
        self._settings["ERASER_ENDPOINT"] = self.nat.url
        return control
