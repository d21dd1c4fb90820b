"""A receiver of webhooks, which verifies each message with the `standardwebhooks` package."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.schemas import why_not
from worker.webhooks.signing import new_secret


@dataclass
class Receiver:
    """Listens on this machine. `secrets`: any of them may have signed. `status`: what it answers; `delay_s`: how late.

    It may be killed and started again at the same port.
    """

    secrets: list[str] = field(default_factory=lambda: [new_secret()])
    status: int = 204
    delay_s: float = 0.0
    answer_headers: dict[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)  # those that were answered 2xx, with `id`
    attempts: Counter[str] = field(default_factory=Counter)  # by id, whatever was answered
    wrong: list[str] = field(default_factory=list)  # why a message was not verified
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    tls: trustme.LeafCert | None = None
    _server: ThreadingHTTPServer | None = None
    _connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._receive(dict(self.headers), body)
                try:
                    self.send_response(status)
                    for name, value in receiver.answer_headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def process_request(self, request: Any, address: Any) -> None:
                receiver._connections.append(request)
                super().process_request(request, address)

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.configure_cert(context)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Whoever waits for an answer, or keeps a connection, loses it."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _receive(self, headers: dict[str, str], body: bytes) -> int:
        if self.delay_s:
            time.sleep(self.delay_s)
        id = {name.lower(): value for name, value in headers.items()}.get("webhook-id", "")
        self.attempts[id] += 1
        self.headers.append(headers)
        try:
            for secret in self.secrets:  # each of them has to verify: whoever has one of several has to be able to
                Webhook(secret).verify(body, headers, json_parse=False)
        except WebhookVerificationError as error:
            self.wrong.append(f"{id}: {error}")
            return 401
        message = json.loads(body)
        if "data" in message and (wrong := why_not("webhook", message)):
            self.wrong.append(f"{id}: {wrong}")
            return 400
        if 200 <= self.status < 300:
            self.messages.append({"id": id} | message)
        return self.status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?source=eraser"

    def toml(self, folder: Path, name: str = "crm", **more: Any) -> str:
        """Its table in the file of ERASER_CONFIG, with its secrets in files."""
        files = []
        for i, secret in enumerate(self.secrets):
            (folder / f"{name}-{i}.secret").write_text(secret + "\n")
            files.append(str(folder / f"{name}-{i}.secret"))
        values = {"url": self.url, "secret_files": files, "private": True} | more
        return f"[webhooks.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
