"""What lies between us and Redis: passes each command on, and at a word refuses them, breaks off, or leads elsewhere.

One command at a time, so that what is refused is a whole command and never half of one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from typing import Any, Self


class Forwarder(ABC):
    """Listens on loopback; a subclass serves each connection in a thread of its own."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self.break_off()

    def break_off(self) -> None:
        """End every connection, in the middle of whatever goes over it."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @abstractmethod
    def _serve(self, client: socket.socket) -> None:
        """One connection, to its end."""


class Between(Forwarder):
    """`with Between(server) as between:` `server` is a port on loopback or the path of a socket."""

    def __init__(self, server: int | str) -> None:
        super().__init__()
        self.server = server  # of connections that are made from now on
        self.refusal: bytes | None = None  # what every command is answered with
        self.refused = 0  # commands that were refused
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def refuse(self, error: str | None) -> None:
        """Answer every command with this error; None: pass them on again."""
        self.refused = 0
        self.refusal = f"-{error}\r\n".encode() if error else None

    def _serve(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self.server, str) else socket.AF_INET
        where: Any = self.server if isinstance(self.server, str) else ("127.0.0.1", self.server)
        with client, socket.socket(family) as server, contextlib.suppress(OSError, EOFError):
            self._open |= {client, server}
            server.connect(where)
            commands, responses = client.makefile("rb"), server.makefile("rb")
            while command := _message(commands):
                if self.refusal:
                    self.refused += 1
                    client.sendall(self.refusal)
                elif b"SUBSCRIBE\r\n" in command:
                    server.sendall(command)
                    threading.Thread(target=_pump, args=(commands, server), daemon=True).start()
                    _pump(responses, client)
                else:
                    server.sendall(command)
                    client.sendall(_message(responses))
        self._open -= {client, server}


def _pump(source: Any, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.read1(65536):
            sink.sendall(piece)


def _message(file: Any) -> bytes:
    """One message of Redis's protocol, as it is. Raises `EOFError`."""
    line: bytes = file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    kind, rest = line[:1], line[1:-2]
    if kind in b"$=!" and rest != b"-1":
        return line + bytes(file.read(int(rest) + 2))
    parts = int(rest) * (2 if kind in b"%|" else 1) if kind in b"*~>%|" else 0
    return line + b"".join(_message(file) for _ in range(parts))
