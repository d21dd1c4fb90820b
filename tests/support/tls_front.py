"""TLS in front of a server that has none of its own, as stunnel is: what comes by TLS goes on in clear text."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

from tests.support.between import Forwarder


class TlsFront(Forwarder):
    """`with TlsFront(port, context) as front:` `front.port` speaks TLS for the server on that port of this machine."""

    def __init__(self, server: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._server, self._context = server, context
        self.served = 0  # connections with a handshake that both sides accepted

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(client, server_side=True) as tls,
            socket.create_connection(("127.0.0.1", self._server)) as onward,
        ):
            self.served += 1
            self._open |= {tls, onward}
            while True:
                ready = [tls] if tls.pending() else select.select([tls, onward], [], [])[0]
                for here, there in ((tls, onward), (onward, tls)):
                    if here in ready:
                        piece = here.recv(65536)
                        if not piece:
                            return
                        there.sendall(piece)
