"""A NAT between us and MetaStudio that forgets a flow in which nothing was said for a while: silently, as they do.

Bytes of a flow that was forgotten reach nobody, in both directions, and nobody is told: no RST, no FIN.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit


@dataclass
class _Flow:
    heard: float = field(default_factory=time.monotonic)
    forgotten: bool = False


class Nat:
    """`with Nat(url, idle_s) as nat:` `nat.url` leads to `url`."""

    def __init__(self, url: str, idle_s: float) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.idle_s = idle_s
        self.forgotten = 0  # flows that were used once more after they had been forgotten
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                flow = _Flow()
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open.add(source)
                    threading.Thread(target=self._pump, args=(source, sink, flow), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, flow: _Flow) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                now = time.monotonic()
                if not flow.forgotten and now - flow.heard > self.idle_s:
                    flow.forgotten = True
                    self.forgotten += 1
                if flow.forgotten:
                    continue
                flow.heard = now
                sink.sendall(piece)
        if not flow.forgotten:  # else the end of it is one more thing that nobody hears of
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        self._open.discard(source)
        source.close()
