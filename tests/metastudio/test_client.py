"""Calls against small servers that do every odd thing over a raw socket. The deadline is the thing to watch.

Times only ever tell seconds from minutes: a drip lasts for minutes, a deadline a second, the bound is thirty.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sleeping import sleeper
from worker.config.network import Network
from worker.metastudio import transport
from worker.metastudio.client import MAX_BODY_BYTES, Client
from worker.metastudio.credentials import Credentials
from worker.metastudio.response import Body, Obstacle, Response, TransportFailure
from worker.metastudio.signing import authorization, canonical_request, signature, string_to_sign
from worker.model.errors import SettingsError, UsageError
from worker.model.target import Target

KEY = "AKEXAMPLE0000000000A"
SECRET = "S3cretS3cretS3cretS3cretS3cretS3cretS3cr"
SESSION = "gQpjbi1ub3J0aC00jD4EjEXAMPLE+/=="
PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
NEVER_THAT_LONG = 30.0
JOB = "efc5300ecdba4ea48d1ff13a9d907bc0"
OK = b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nContent-Length: 0\r\n\r\n"

Talk = Callable[[socket.socket, "Server"], None]


class Keys:
    """A source of one key."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def current(self) -> Credentials:
        return self.credentials


class Server:
    """Accepts connections and lets `talk` hold each conversation. Requests are kept, `ended` ends every drip."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self.talk, self.context = talk, context
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock:
            if self.context is None:
                self.talk(sock, self)
            else:
                with self.context.wrap_socket(sock, server_side=True) as tls:
                    self.talk(tls, self)

    def request(self, sock: socket.socket) -> bytes | None:
        """The head of the next request, or None when the client has gone."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                return None
            head += byte
        self.requests.append(head)
        return head

    def drip(self, sock: socket.socket, piece: bytes) -> None:
        """Send a piece again and again, for minutes if nobody leaves."""
        for _ in range(6000):
            sock.sendall(piece)
            if self.ended.wait(0.02):
                return

    def close(self) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):  # closed twice
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in list(self.threads):
            thread.join(60)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(talk: Talk, context: ssl.SSLContext | None = None) -> Server:
            server = Server(talk, context)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    with contextlib.ExitStack() as stack:

        def make(server: Server | str, *, token: str | None = None, **kwargs: Any) -> Client:
            settings: dict[str, Any] = {"connect_timeout_s": 60, "read_timeout_s": 60, "call_deadline_s": 60} | kwargs
            client = Client(
                endpoint=server if isinstance(server, str) else f"http://127.0.0.1:{server.port}",
                credentials=Keys(Credentials(KEY, SECRET, token)),
                **settings,
            )
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def delete(serve: Any, client_of: Any) -> Callable[..., Response]:
    """One DELETE against a server that talks like this."""

    def call(talk: Talk, **kwargs: Any) -> Response:
        response: Response = client_of(serve(talk), **kwargs).delete(Target(PROJECT, JOB))
        return response

    return call


def says(*pieces: bytes, then: Callable[[socket.socket, Server], None] | None = None) -> Talk:
    """A server that reads one request, says this, and closes (or goes on with `then`)."""

    def talk(sock: socket.socket, server: Server) -> None:
        if server.request(sock) is not None:
            for piece in pieces:
                sock.sendall(piece)
            if then:
                then(sock, server)

    return talk


def responses(raw: bytes) -> Talk:
    """A server that answers every request of a connection the same."""

    def talk(sock: socket.socket, server: Server) -> None:
        while server.request(sock) is not None:
            sock.sendall(raw)

    return talk


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_answer(status: str, body: object, *headers: str) -> bytes:
    return http(status, json.dumps(body).encode(), "Content-Type: application/json", *headers)


def hang(sock: socket.socket, server: Server) -> None:
    server.ended.wait(60)


def reset(sock: socket.socket, server: Server) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# --- what is sent -----------------------------------------------------------------------------------------------


def parse(raw: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    first, *lines = raw.decode().rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.split(": ", 1) for line in lines]
    return method, target, [(name.lower(), value) for name, value in pairs]


def test_a_delete_is_one_request_without_a_body_and_200_is_its_success(serve: Any, client_of: Any) -> None:
    server = serve(responses(OK))
    response = client_of(server).delete(Target(PROJECT, JOB))
    assert (response.status, response.failure, response.body, response.request_id) == (200, None, Body.EMPTY, "r1")
    assert not response.truncated
    method, target, headers = parse(server.requests[0])
    assert (method, target) == ("DELETE", f"/v1/{PROJECT}/digital-human-training-manage/user/jobs/{JOB}")
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))
    assert dict(headers)["accept-encoding"] == "identity"
    assert dict(headers)["x-project-id"] == PROJECT
    assert dict(headers).get("content-length", "0") == "0"
    assert "transfer-encoding" not in names
    assert len(server.requests) == 1


def test_what_is_sent_verifies_from_the_signed_headers_it_names(serve: Any, client_of: Any) -> None:
    server = serve(responses(json_answer("200 OK", {"count": 0, "jobs": []})))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    client_of(server, token=SESSION).list(PROJECT, states=["JOB_SUCCESS", "JOB_FINISH"], app_user="u1", signed_at=at)
    method, target, headers = parse(server.requests[0])
    values = dict(headers)
    path, _, query = target.partition("?")
    names = values["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert names == ["host", "x-app-userid", "x-project-id", "x-sdk-date", "x-security-token"]
    canonical = canonical_request(method, path, query, [(name, values[name]) for name in names], b"")
    signed = signature(SECRET, string_to_sign("20260101T000000Z", canonical))
    assert values["authorization"] == authorization(KEY, names, signed)
    assert query == "limit=100&offset=0&state=JOB_SUCCESS%2CJOB_FINISH"


def test_each_attempt_is_signed_anew(serve: Any, client_of: Any) -> None:
    server = serve(responses(OK))
    client = client_of(server)
    for second in (1, 2):
        client.delete(Target(PROJECT, JOB), signed_at=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))
    first, second_one = (dict(parse(raw)[2])["authorization"] for raw in server.requests)
    assert first != second_one


def test_a_connection_is_used_again_and_the_pool_serves_many_threads(serve: Any, client_of: Any) -> None:
    server = serve(responses(OK))
    client = client_of(server, pool_size=4)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: client.delete(Target(PROJECT, JOB)).status, range(100)))
    assert results == [200] * 100
    assert server.connections <= 4


def test_netrc_and_proxy_variables_play_no_part(
    serve: Any, client_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(responses(http("200 OK", b"proxy")))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\ndefault login evil password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = serve(responses(OK))
    assert client_of(server).delete(Target(PROJECT, JOB)).body is Body.EMPTY
    assert dict(parse(server.requests[0])[2])["authorization"].startswith("SDK-HMAC-SHA256 ")
    assert proxy.connections == 0


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a b", "a%2Fb", "é", "x" * 65, "-a", None, 7])
def test_an_id_that_must_not_reach_a_url_is_refused_before_anything_is_sent(
    serve: Any, client_of: Any, bad: Any
) -> None:
    server = serve(responses(OK))
    client = client_of(server)
    for call in (
        lambda: client.delete(Target(PROJECT, bad)),
        lambda: client.delete(Target(bad, JOB)),
        lambda: client.show(Target(PROJECT, bad)),
        lambda: client.list(bad),
    ):
        with pytest.raises(UsageError, match="id is 1 to 64"):
            call()
    assert server.connections == 0


@pytest.mark.parametrize("app_user", ["", "zhang san", "a\r\nX-Evil: 1", "用户", "a@b.c"])
def test_an_app_user_that_is_not_opaque_is_refused(serve: Any, client_of: Any, app_user: str) -> None:
    server = serve(responses(OK))
    with pytest.raises(UsageError, match="app user"):
        client_of(server).delete(Target(PROJECT, JOB), app_user=app_user)
    assert server.connections == 0


# --- the total deadline -----------------------------------------------------------------------------------------


def drips(start: bytes, piece: bytes) -> Talk:
    return says(start, then=lambda sock, server: server.drip(sock, piece))


SLOW = {"read_timeout_s": 60, "call_deadline_s": 1.0}
DRIPS = {
    "100 Continue": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the status line": drips(b"HTTP/1.1 200 ", b"O"),
    "a header": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "headers": drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "nothing": says(then=hang),
    "half a status line": says(b"HTTP/1.1 2", then=hang),
}
BODY_DRIPS = {
    "a body of known length": drips(b"HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n", b" "),
    "a body until the end": drips(b"HTTP/1.1 500 No\r\n\r\n", b" "),
    "chunks": drips(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "the size of a chunk": drips(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": drips(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_head_that_drips_cannot_outlive_the_deadline(delete: Any, name: str) -> None:
    started = time.monotonic()
    response = delete(DRIPS[name], **SLOW)
    assert time.monotonic() - started < NEVER_THAT_LONG
    assert (response.status, response.failure) == (None, TransportFailure.TIMEOUT)
    assert response.ms >= 900


@pytest.mark.parametrize("name", BODY_DRIPS)
def test_a_body_that_drips_cannot_outlive_the_deadline_and_keeps_its_status(delete: Any, name: str) -> None:
    started = time.monotonic()
    response = delete(BODY_DRIPS[name], **SLOW)
    assert time.monotonic() - started < NEVER_THAT_LONG
    assert (response.status, response.failure, response.truncated) == (500, None, True)


def test_a_silent_server_is_left_at_the_read_timeout(delete: Any) -> None:
    started = time.monotonic()
    response = delete(says(then=hang), read_timeout_s=0.3, call_deadline_s=60)
    assert time.monotonic() - started < NEVER_THAT_LONG
    assert response.failure is TransportFailure.TIMEOUT


def test_a_drip_on_a_connection_used_before_is_bounded_too(serve: Any, client_of: Any) -> None:
    def talk(sock: socket.socket, server: Server) -> None:
        server.request(sock)
        sock.sendall(OK)
        server.request(sock)
        server.drip(sock, b"HTTP/1.1 100 Continue\r\n\r\n")

    server = serve(talk)
    client = client_of(server)
    assert client.delete(Target(PROJECT, JOB)).status == 200
    client._call_deadline_s = SLOW["call_deadline_s"]
    started = time.monotonic()
    assert client.delete(Target(PROJECT, JOB)).failure is TransportFailure.TIMEOUT
    assert time.monotonic() - started < NEVER_THAT_LONG
    assert server.connections == 1


def test_after_a_timeout_the_connection_is_not_used_again(serve: Any, client_of: Any) -> None:
    """A late 200 on it would count for the next job."""
    late = threading.Event()

    def talk(sock: socket.socket, server: Server) -> None:
        if len(server.requests) == 0:
            server.request(sock)
            late.wait(60)
            sock.sendall(OK)
        elif server.request(sock) is not None:
            sock.sendall(http("404 Not Found", b""))

    server = serve(talk)
    client = client_of(server, **SLOW)
    assert client.delete(Target(PROJECT, JOB)).failure is TransportFailure.TIMEOUT
    client._call_deadline_s = 60
    late.set()
    assert client.delete(Target(PROJECT, JOB)).status == 404


def test_nothing_is_sent_after_the_deadline(serve: Any, client_of: Any) -> None:
    server = serve(responses(OK))
    response = client_of(server, call_deadline_s=-1).delete(Target(PROJECT, JOB))
    assert response.failure is TransportFailure.NOT_SENT
    assert server.requests == []


def test_nothing_is_sent_once_the_machine_slept_through_the_call(
    serve: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever allowed the call has given it up: the job may be on hold by now, or another executor's."""
    server, sleep = serve(responses(OK)), sleeper(monkeypatch)
    resolve = socket.getaddrinfo

    def asleep(*args: Any, **more: Any) -> Any:
        sleep(600)
        return resolve(*args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", asleep)
    response = client_of(server).delete(Target(PROJECT, JOB))
    assert (response.failure, server.requests) == (TransportFailure.NOT_SENT, [])


# --- no answer --------------------------------------------------------------------------------------------------


def test_a_refused_connection_was_not_sent(client_of: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    response = client_of(f"http://127.0.0.1:{port}").delete(Target(PROJECT, JOB))
    assert (response.status, response.failure) == (None, TransportFailure.NOT_SENT)


def test_an_unknown_host_was_not_sent(client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    response = client_of("https://metastudio.invalid").delete(Target(PROJECT, JOB))
    assert response.failure is TransportFailure.NOT_SENT


def test_a_connection_that_is_never_accepted_was_not_sent(client_of: Any) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):  # fill the backlog, so that the next SYN is dropped
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        client = client_of(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_s=0.3)
        started = time.monotonic()
        assert client.delete(Target(PROJECT, JOB)).failure is TransportFailure.NOT_SENT
        assert time.monotonic() - started < NEVER_THAT_LONG


@pytest.mark.parametrize(
    "talk",
    [
        says(),
        says(then=reset),
        says(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B", then=reset),
        says(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n"),
        says(b"HTTP/1.1 200 OK"),
    ],
    ids=["closed", "reset", "reset in the head", "closed in the headers", "closed in the status line"],
)
def test_a_connection_that_ends_before_the_head_does_is_a_reset(delete: Any, talk: Talk) -> None:
    response = delete(talk)
    assert (response.status, response.failure) == (None, TransportFailure.RESET)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ],
)
def test_bytes_that_are_not_http_are_garbled(delete: Any, raw: bytes) -> None:
    response = delete(says(raw))
    assert (response.status, response.failure) == (None, TransportFailure.GARBLED)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"X-A: " + b"x" * 4000 + b"\r\n") * 90 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
    ids=["status line", "header", "many headers", "sum of headers", "many 100 Continue"],
)
def test_a_head_above_its_bound_is_garbled(delete: Any, raw: bytes) -> None:
    assert delete(says(raw)).failure is TransportFailure.GARBLED


def test_a_connection_that_went_stale_is_replaced_before_the_request(serve: Any, client_of: Any) -> None:
    closed = threading.Event()

    def talk(sock: socket.socket, server: Server) -> None:
        server.request(sock)
        sock.sendall(OK)
        sock.close()
        closed.set()

    server = serve(talk)
    client = client_of(server)
    for _ in range(3):
        closed.clear()
        assert client.delete(Target(PROJECT, JOB)).status == 200
        assert closed.wait(60)
    assert len(server.requests) == 3


def test_a_connection_that_was_idle_for_long_is_not_trusted(
    serve: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NAT forgets it without a word: a call on it would only be silence, and count as MetaStudio's failure."""
    server = serve(responses(OK))
    client = client_of(server)
    assert [client.delete(Target(PROJECT, JOB)).status for _ in range(2)] == [200, 200]
    assert server.connections == 1
    monkeypatch.setattr(transport, "IDLE_MOST_S", 0.0)
    assert [client.delete(Target(PROJECT, JOB)).status for _ in range(2)] == [200, 200]
    assert server.connections == 3


def test_a_connection_from_before_the_machine_slept_is_not_trusted(
    serve: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, sleep = serve(responses(OK)), sleeper(monkeypatch)
    client = client_of(server)
    for connections in (1, 2):
        assert client.delete(Target(PROJECT, JOB)).status == 200
        assert server.connections == connections
        sleep(600)


def test_the_kernel_asks_whether_the_other_end_is_there_while_a_call_waits(serve: Any, client_of: Any) -> None:
    server = serve(responses(OK))
    client = client_of(server)
    client.delete(Target(PROJECT, JOB))
    (connection,) = filter(None, client._transport._pool.pool.queue)
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


def test_a_lost_answer_is_never_retried_here(serve: Any, client_of: Any) -> None:
    server = serve(says(then=reset))
    client = client_of(server)
    client.delete(Target(PROJECT, JOB))
    assert (len(server.requests), server.connections) == (1, 1)


# --- odd answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_a_redirect_is_an_answer_and_is_not_followed(serve: Any, client_of: Any, status: str) -> None:
    elsewhere = serve(responses(OK))
    server = serve(responses(http(status, b"", f"Location: http://127.0.0.1:{elsewhere.port}/")))
    assert client_of(server).delete(Target(PROJECT, JOB)).status == int(status[:3])
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_is_reported_and_not_obeyed_here(serve: Any, client_of: Any, status: str) -> None:
    server = serve(responses(json_answer(status, {"error_code": "APIGW.0308", "error_msg": "slow"}, "Retry-After: 7")))
    response = client_of(server).delete(Target(PROJECT, JOB))
    assert (response.status, response.code, response.retry_after_s) == (int(status[:3]), "APIGW.0308", 7.0)
    assert len(server.requests) == 1


def test_an_html_page_is_named_and_not_kept(delete: Any) -> None:
    response = delete(says(http("502 Bad Gateway", b"<html><h1>oops</h1></html>", "Content-Type: text/html")))
    assert (response.status, response.body, response.code, response.message) == (502, Body.HTML, None, None)


@pytest.mark.parametrize(
    "raw",
    [
        b'HTTP/1.1 400 Bad\r\nContent-Length: 500\r\n\r\n{"error_code": "MSS.00000003", ',
        b'HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"error_code": "MSS.00000003", ',
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    ],
    ids=["length", "chunk", "no chunk"],
)
@pytest.mark.parametrize("end", [None, reset])
def test_a_body_that_breaks_keeps_the_status(delete: Any, raw: bytes, end: Any) -> None:
    response = delete(says(raw, then=end))
    assert (response.status, response.failure, response.truncated) == (400, None, True)
    assert response.code is None


def test_an_error_that_is_complete_in_a_body_that_is_not_is_understood(delete: Any) -> None:
    raw = b'HTTP/1.1 401 No\r\nContent-Length: 500\r\n\r\n{"error_code": "APIGW.0301"}'
    response = delete(says(raw))
    assert (response.status, response.code, response.truncated) == (401, "APIGW.0301", True)


def test_a_line_that_is_no_header_costs_neither_the_status_nor_a_log_of_it(
    delete: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    response = delete(says(b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nsecret junk\r\n\r\n"))
    assert (response.status, response.request_id) == (200, "r1")
    assert "secret junk" not in caplog.text


def test_an_answer_without_a_length_ends_with_its_connection(delete: Any) -> None:
    response = delete(says(b'HTTP/1.0 400 Bad\r\n\r\n{"error_code": "MSS.00000003"}'))
    assert (response.status, response.code, response.truncated) == (400, "MSS.00000003", False)


def test_chunks_are_put_together(delete: Any) -> None:
    chunks = b'e\r\n{"error_code":\r\n8;x=y\r\n "MSS.1"\r\n1\r\n}\r\n0\r\n\r\n'
    response = delete(says(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))
    assert (response.status, response.code, response.truncated) == (400, "MSS.1", False)


def test_a_body_above_its_bound_is_cut_and_the_rest_is_not_read(serve: Any, client_of: Any) -> None:
    sent = []

    def flood(sock: socket.socket, server: Server) -> None:
        for _ in range(4096):
            sock.sendall(b" " * 65536)
            sent.append(65536)

    server = serve(says(b"HTTP/1.1 500 No\r\nContent-Length: 999999999999\r\n\r\n", then=flood))
    response = client_of(server).delete(Target(PROJECT, JOB))
    assert (response.status, response.truncated) == (500, True)
    server.close()
    assert sum(sent) < 4096 * 65536


@pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True)])
def test_the_bound_of_a_body_is_exact(delete: Any, size: int, truncated: bool) -> None:
    assert delete(says(http("500 No", b" " * size))).truncated is truncated


def test_a_list_may_be_larger_than_an_error(serve: Any, client_of: Any) -> None:
    jobs = [{"job_id": f"j{n}", "state": "JOB_SUCCESS", "name": "x" * 4000} for n in range(100)]
    server = serve(responses(json_answer("200 OK", {"count": 100, "jobs": jobs})))
    listing = client_of(server).list(PROJECT)
    assert listing.rows is not None
    assert len(listing.rows) == 100


def test_a_packed_body_is_never_unpacked(delete: Any) -> None:
    bomb = gzip.compress(b'{"error_code": "MSS.1", "x": "' + b" " * 20_000_000 + b'"}')
    response = delete(says(http("400 Bad", bomb, "Content-Encoding: gzip")))
    assert (response.status, response.code, response.body) == (400, None, Body.OTHER)


def test_an_early_hint_is_no_success_and_its_connection_is_not_used_again(serve: Any, client_of: Any) -> None:
    """The true answer follows on that connection, and would count for the next job."""
    server = serve(responses(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    client = client_of(server)
    assert client.delete(Target(PROJECT, JOB)).status == 103
    assert client.delete(Target(PROJECT, JOB)).status == 103
    assert server.connections == 2


def test_a_204_that_announces_a_body_does_not_leave_it_to_the_next_answer(serve: Any, client_of: Any) -> None:
    server = serve(responses(b"HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n"))
    client = client_of(server)
    assert [client.delete(Target(PROJECT, JOB)).status for _ in range(2)] == [204, 204]
    assert server.connections == 2


def test_100_continue_is_skipped(delete: Any) -> None:
    assert delete(says(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK)).status == 200


def test_show_and_list_read_what_the_service_documents(serve: Any, client_of: Any) -> None:
    job = {"job_id": JOB, "state": "JOB_SUCCESS", "create_time": "2020-07-30T10:43:17Z", "contact": "13912345678"}
    shown = client_of(serve(responses(json_answer("200 OK", job)))).show(Target(PROJECT, JOB))
    assert shown.row is not None
    assert shown.row.state == "JOB_SUCCESS"
    listing = client_of(serve(responses(json_answer("200 OK", {"count": 1, "jobs": [job]})))).list(PROJECT, job_id=JOB)
    assert (listing.count, listing.rows) == (1, (shown.row,))
    assert "13912345678" not in repr((shown, listing))


def test_an_echoed_secret_is_in_no_answer_and_in_no_log(
    serve: Any, client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"verify aksk signature fail, canonicalRequest:DELETE|/||x-security-token:{SESSION}|{SECRET} {KEY} user-42"
    raw = json_answer("401 No", {"error_code": "APIGW.0301", "error_msg": echo}, f"X-Request-Id: {SECRET}")
    response = client_of(serve(responses(raw)), token=SESSION).delete(Target(PROJECT, JOB), app_user="user-42")
    assert response.code == "APIGW.0301"
    for secret in (SECRET, SESSION, KEY, "user-42"):
        assert secret not in repr(response)
        assert secret not in caplog.text


fragments = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 500 \r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Up\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n",
        b"Connection: keep-alive\r\n",
        b" folded\r\n",
        b": no name\r\n",
        b"no colon\r\n",
        b"Date: \xff\r\n",
        b"\r\n",
        b"-5\r\n",
        b"5\r\n",
        b"0\r\n",
        b"--x\r\n",
        b'{"error_code": 1}',
        b"\x00",
    ]
)


@given(raw=st.lists(fragments | st.binary(max_size=8), max_size=10).map(b"".join))
@settings(deadline=None)
def test_whatever_bytes_come_the_call_ends_with_an_answer(raw: bytes) -> None:
    server = Server(says(raw))
    client = Client(
        endpoint=f"http://127.0.0.1:{server.port}",
        credentials=Keys(Credentials(KEY, SECRET)),
        connect_timeout_s=60,
        read_timeout_s=60,
        call_deadline_s=60,
    )
    with contextlib.closing(server), contextlib.closing(client):
        response = client.delete(Target(PROJECT, JOB))
    assert (response.status is None) == (response.failure is not None)
    assert response.failure is not TransportFailure.NOT_SENT


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that nobody knows; beside it the key (.key) and the certificate (.crt) that it gave to localhost."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(path.with_suffix(".key"))
    for part in issued.cert_chain_pems:
        part.write_to_path(path.with_suffix(".crt"), append=True)
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.with_suffix(".crt"), certificate.with_suffix(".key"))
    return context


def test_tls_is_verified_and_an_unknown_authority_means_that_nothing_was_sent(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(certificate))
    server = serve(responses(OK), tls)
    response = client_of(f"https://localhost:{server.port}").delete(Target(PROJECT, JOB))
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, Obstacle.ISSUER)
    assert response.message.startswith("certificate not trusted: ")
    assert "ERASER_CA_BUNDLE" in response.in_words()
    assert server.requests == []


def test_a_certificate_for_another_host_is_refused(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(responses(OK), tls)
    client = client_of(f"https://127.0.0.1:{server.port}", network=Network(certificate))
    response = client.delete(Target(PROJECT, JOB))
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, Obstacle.HOST)
    assert "ERASER_CA_BUNDLE" not in response.message
    assert server.requests == []


def test_an_expired_certificate_is_refused_as_such(serve: Any, client_of: Any, tmp_path: Path) -> None:
    authority, server_context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1)).configure_cert(server_context)
    authority.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
    server = serve(responses(OK), server_context)
    response = client_of(f"https://localhost:{server.port}", network=Network(bundle)).delete(Target(PROJECT, JOB))
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, Obstacle.TIME)
    assert server.requests == []


def test_a_new_connection_trusts_what_the_file_names_now(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path, tmp_path: Path
) -> None:
    """A CA that is replaced needs no restart, and a file that is missing for a moment does no harm."""
    other = trustme.CA().cert_pem
    other.write_to_path(bundle := tmp_path / "ca.pem")
    server = serve(says(OK), tls)
    client = client_of(f"https://localhost:{server.port}", network=Network(bundle))
    assert client.delete(Target(PROJECT, JOB)).obstacle is Obstacle.ISSUER
    bundle.write_bytes(certificate.read_bytes())
    assert client.delete(Target(PROJECT, JOB)).status == 200
    bundle.unlink()
    assert client.delete(Target(PROJECT, JOB)).status == 200
    other.write_to_path(bundle)
    assert client.delete(Target(PROJECT, JOB)).obstacle is Obstacle.ISSUER


def test_a_trusted_certificate_lets_calls_through_on_one_connection(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(responses(OK), tls)
    client = client_of(f"https://localhost:{server.port}", network=Network(certificate))
    assert [client.delete(Target(PROJECT, JOB)).status for _ in range(3)] == [200] * 3
    assert server.connections == 1


@pytest.mark.parametrize("name", ["100 Continue", "a header", "nothing"])
def test_the_deadline_holds_in_tls(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path, name: str
) -> None:
    server = serve(DRIPS[name], tls)
    client = client_of(f"https://localhost:{server.port}", network=Network(certificate), **SLOW)
    started = time.monotonic()
    assert client.delete(Target(PROJECT, JOB)).failure is TransportFailure.TIMEOUT
    assert time.monotonic() - started < NEVER_THAT_LONG


def test_a_body_that_drips_in_tls_keeps_its_status(
    serve: Any, client_of: Any, tls: ssl.SSLContext, certificate: Path
) -> None:
    server = serve(BODY_DRIPS["chunks"], tls)
    client = client_of(f"https://localhost:{server.port}", network=Network(certificate), **SLOW)
    started = time.monotonic()
    assert (response := client.delete(Target(PROJECT, JOB))).status == 500
    assert response.truncated
    assert time.monotonic() - started < NEVER_THAT_LONG


@pytest.mark.parametrize("piece", [b"", b"\x16\x03\x03\x40\x00"], ids=["silent", "dripping"])
def test_a_tls_handshake_cannot_outlive_the_deadline(
    serve: Any, client_of: Any, certificate: Path, piece: bytes
) -> None:
    def talk(sock: socket.socket, server: Server) -> None:
        sock.sendall(piece)
        server.drip(sock, b"\x00" if piece else b"")

    server = serve(talk)
    client = client_of(f"https://localhost:{server.port}", network=Network(certificate), call_deadline_s=0.3)
    started = time.monotonic()
    assert client.delete(Target(PROJECT, JOB)).failure is TransportFailure.NOT_SENT
    assert time.monotonic() - started < NEVER_THAT_LONG


# --- the endpoint -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://metastudio.cn-north-4.myhuaweicloud.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://0.0.0.0",
        "metastudio.cn-north-4.myhuaweicloud.com",
        "ftp://localhost",
        "https://",
        "https://host/path",
        "https://host?x=1",
        "https://user:pass@host",
        "https://host:99999",
        "https://host:port",
        "https://ho st",
        "https://höst",
        "https://[::1",
        "https://" + "x" * 64 + ".com",
        "",
    ],
)
def test_an_endpoint_that_is_not_safe_is_refused(client_of: Any, endpoint: str) -> None:
    with pytest.raises(SettingsError, match="ERASER_ENDPOINT") as caught:
        client_of(endpoint)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:80/",
        "http://localhost:1",
        "https://metastudio.cn-north-4.myhuaweicloud.com",
        "https://10.0.0.1:8443/",
    ],
)
def test_an_endpoint_that_is_safe_is_taken(client_of: Any, endpoint: str) -> None:
    assert isinstance(client_of(endpoint), Client)
