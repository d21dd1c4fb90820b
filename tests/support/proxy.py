"""An HTTP proxy in a thread: it knows where each host really is, and may answer CONNECT in any odd way instead."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

Talk = Callable[[socket.socket, "Proxy"], None]


class Proxy:
    """`with Proxy(port) as proxy:` connects whoever asks to that port of this machine, whatever host is named.

    talk: holds the conversation after the head of CONNECT was read, instead. `heads` are the heads that came.
    """

    def __init__(self, port: int, talk: Talk | None = None) -> None:
        self.target, self.talk = port, talk or connect
        self.heads: list[bytes] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(60)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._start(self._serve, sock)

    def _start(self, what: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=what, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = sock.recv(1)
                if not byte:
                    return
                head += byte
            self.heads.append(head)
            self.talk(sock, self)

    def relay(self, sock: socket.socket) -> None:
        """Carry bytes both ways until one side ends."""
        with socket.create_connection(("127.0.0.1", self.target), timeout=60) as onward:
            self._start(_carry, onward, sock)
            _carry(sock, onward)


def connect(sock: socket.socket, proxy: Proxy) -> None:
    sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    proxy.relay(sock)


def _carry(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := here.recv(65536):
            there.sendall(piece)
    for sock in (here, there):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
