"""A client for the simulator's tests: signs with our own signing and shows whatever comes back, however broken."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from worker.metastudio import signing
from worker.simulator import Simulator

NEVER_THAT_LONG = 60.0  # seconds; a limit that only a bug reaches


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error_code"]

    @property
    def message(self) -> str:
        return self.json["error_msg"]


@dataclass
class Caller:
    """Calls as `ak` in `project`; `signed_at` replaces this machine's clock."""

    url: str
    ak: str
    sk: str
    project: str
    security_token: str | None = None
    timeout: float = NEVER_THAT_LONG
    signed_at: datetime | None = None
    extra: dict[str, str] = field(default_factory=dict)  # headers sent and signed

    @classmethod
    def of(cls, simulator: Simulator, **changed: Any) -> Caller:
        known = {"url": simulator.url, "ak": simulator.ak, "sk": simulator.sk, "project": simulator.project}
        return cls(**{**known, **changed})

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def jobs(self) -> str:
        return f"/v1/{self.project}/digital-human-training-manage/user/jobs"

    @property
    def assets(self) -> str:
        return f"/v1/{self.project}/digital-assets"

    @property
    def voice_jobs(self) -> str:
        return f"/v1/{self.project}/voice-training-manage/user/jobs"

    def headers(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        at = (self.signed_at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        sent = {"Host": self.host, "X-Project-Id": self.project, "X-Sdk-Date": at, **self.extra}
        if self.security_token is not None:
            sent["X-Security-Token"] = self.security_token
        signed = [(name.lower(), value) for name, value in sent.items()]
        path, _, query = target.partition("?")
        text = signing.string_to_sign(at, signing.canonical_request(method, path, query, signed, body))
        names = [name for name, _ in signed]
        sent["Authorization"] = signing.authorization(self.ak, names, signing.signature(self.sk, text))
        return sent

    def bytes(self, method: str, target: str, body: bytes = b"") -> bytes:
        """A signed request as it goes over the wire."""
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers(method, target, body).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname, parts.port), timeout=self.timeout)

    def send(self, method: str, target: str, body: bytes = b"") -> Response:
        return self.send_raw(self.bytes(method, target, body))

    def send_raw(self, request: bytes) -> Response:
        """Send and read one answer; raises what http.client and the socket raise."""
        with self.connect() as line:
            line.sendall(request)
            return read_answer(line)

    def delete(self, job_id: str) -> Response:
        return self.send("DELETE", f"{self.jobs}/{job_id}")

    def show(self, job_id: str) -> Response:
        return self.send("GET", f"{self.jobs}/{job_id}")

    def list(self, query: str = "") -> Response:
        return self.send("GET", f"{self.jobs}?{query}" if query else self.jobs)


def read_answer(line: socket.socket) -> Response:
    response = http.client.HTTPResponse(line)
    try:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Response(response.status, headers, response.read())
    finally:
        response.close()
