"""Calls through a proxy: where they go, what the proxy sees of them, and what it says when it will not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.metastudio.test_client import JOB, KEY, NEVER_THAT_LONG, OK, PROJECT, SECRET, Keys, Server, responses
from tests.support.proxy import Proxy, Talk, connect
from worker.config.network import Network, check_proxy
from worker.metastudio.client import Client
from worker.metastudio.credentials import Credentials
from worker.metastudio.iam import IamTokens
from worker.metastudio.login import LoginSource
from worker.metastudio.response import Obstacle, Response, TransportFailure
from worker.model.target import Target

HOST = "metastudio.internal.example"  # no name server knows it: only the proxy knows where it is
PASSWORD = "pr0xy-p4ssword"
TOKEN = b"HTTP/1.1 201 Created\r\nX-Subject-Token: MIIXyzTokenTokenToken\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    authority.cert_pem.write_to_path(path := tmp_path_factory.mktemp("tls") / "ca.pem")
    return path


@pytest.fixture
def served(authority: trustme.CA) -> Iterator[Callable[[bytes], Server]]:
    """A server that has the certificate of `HOST`."""
    with contextlib.ExitStack() as stack:

        def serve(answer: bytes = OK) -> Server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(HOST).configure_cert(context)
            server = Server(responses(answer), context)
            stack.callback(server.close)
            return server

        yield serve


def call(network: Network, *, times: int = 1, **changed: Any) -> list[Response]:
    timeouts = {"connect_timeout_s": 60, "read_timeout_s": 60, "call_deadline_s": 60} | changed
    client = Client(endpoint=f"https://{HOST}", credentials=Keys(Credentials(KEY, SECRET)), network=network, **timeouts)
    with contextlib.closing(client):
        return [client.delete(Target(PROJECT, JOB)) for _ in range(times)]


def through(proxy: Proxy, bundle: Path | None = None, login: str = "") -> Network:
    return Network(bundle, check_proxy(proxy.url.replace("://", f"://{login}"), "ERASER_PROXY"))


def test_calls_go_through_the_proxy_which_sees_the_host_and_nothing_else(served: Any, bundle: Path) -> None:
    with Proxy((server := served()).port) as proxy:
        answers = call(through(proxy, bundle, f"eraser:{PASSWORD}@"), times=3)
    assert [answer.status for answer in answers] == [200] * 3
    (head,) = proxy.heads  # one connection serves all three
    assert head.split(b"\r\n")[:2] == [f"CONNECT {HOST}:443 HTTP/1.1".encode(), f"Host: {HOST}:443".encode()]
    assert b"Proxy-Authorization: Basic ZXJhc2VyOnByMHh5LXA0c3N3b3Jk" in head
    assert len(server.requests) == 3
    for request in server.requests:
        assert b"Proxy" not in request
        assert f"Host: {HOST}\r\n".encode() in request


def test_a_token_is_fetched_through_the_proxy(served: Any, bundle: Path) -> None:
    with Proxy((server := served(TOKEN)).port) as proxy:
        login = LoginSource("eraser", "studio", environ={"ERASER_IAM_PASSWORD": "secret-secret"})
        tokens = IamTokens(login, endpoint=f"https://{HOST}", network=through(proxy, bundle))
        client = Client(
            endpoint="http://127.0.0.1:1",
            credentials=tokens,
            connect_timeout_s=60,
            read_timeout_s=60,
            call_deadline_s=60,
        )
        assert client.ready(PROJECT) is None
    assert len(proxy.heads) == len(server.requests) == 1


def test_a_host_that_needs_no_proxy_is_reached_straight() -> None:
    with Proxy(1) as proxy:
        network = Network(proxy=through(proxy).proxy, no_proxy=(".internal.example",))
        (response,) = call(network)
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, None)
    assert proxy.heads == []


def test_a_certificate_is_judged_through_the_proxy_as_without(served: Any) -> None:
    with Proxy((server := served()).port) as proxy:
        (response,) = call(through(proxy))
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, Obstacle.ISSUER)
    assert "certificate not trusted" in response.in_words()
    assert "ERASER_CA_BUNDLE" in response.in_words()
    assert server.requests == []


def says(answer: bytes) -> Talk:
    return lambda sock, _: sock.sendall(answer)


def silent(sock: socket.socket, proxy: Proxy) -> None:
    proxy.ended.wait(60)


def dripping(sock: socket.socket, proxy: Proxy) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while not proxy.ended.wait(0.02):
        sock.sendall(b"X: y\r\n")


def endless(sock: socket.socket, proxy: Proxy) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    while not proxy.ended.is_set():
        sock.sendall(b"X: y\r\n" * 5000)


def cut_off(sock: socket.socket, proxy: Proxy) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


LOGIN = f"eraser:{PASSWORD}@"
SHORT = {"connect_timeout_s": 0.3}
REFUSALS: dict[str, tuple[Talk, Obstacle, str, dict[str, Any]]] = {
    "407": (says(b"HTTP/1.1 407 Who\r\n\r\n"), Obstacle.PROXY_LOGIN, "wants a user and a password (407); see", {}),
    "407 to a login": (
        says(b"HTTP/1.1 407 Who\r\nX: " + PASSWORD.encode() + b"\r\n\r\n" + PASSWORD.encode()),
        Obstacle.PROXY_LOGIN,
        "refused its user and password (407); see ERASER_PROXY",
        {"login": LOGIN},
    ),
    "403": (says(b"HTTP/1.1 403 No\r\n\r\nno"), Obstacle.PROXY_RULE, f"does not connect to {HOST}:443 (403)", {}),
    "redirect": (says(b"HTTP/1.1 302 There\r\nLocation: /\r\n\r\n"), Obstacle.PROXY_RULE, "(302); allow it there", {}),
    "502": (says(b"HTTP/1.0 502 Bad\r\n\r\n"), Obstacle.PROXY_TARGET, f"cannot reach {HOST}:443 (502)", {}),
    "garbage": (says(b"SSH-2.0-OpenSSH\r\n"), Obstacle.PROXY, "answered something other than HTTP", {}),
    "binary": (says(b"\x15\x03\x01\x00\x02\x02\x46"), Obstacle.PROXY, "answered something other than HTTP", {}),
    "half a head": (says(b"HTTP/1.1 200 OK\r\nX: y\r\n"), Obstacle.PROXY, "answered something other than HTTP", {}),
    "more than a head": (
        says(b"HTTP/1.1 200 OK\r\n\r\nmore"),
        Obstacle.PROXY,
        "answered something other than HTTP",
        {},
    ),
    "endless": (endless, Obstacle.PROXY, "answered something other than HTTP; see ERASER_PROXY", {}),
    "nothing": (says(b""), Obstacle.PROXY, "closed the connection; see ERASER_PROXY", {}),
    "silence": (silent, Obstacle.PROXY, "did not answer in time; see ERASER_PROXY", SHORT),
    "a drip": (dripping, Obstacle.PROXY, "did not answer in time; see ERASER_PROXY", SHORT),
    "the deadline": (silent, Obstacle.PROXY, "did not answer in time", {"call_deadline_s": 0.3}),
    "no tunnel": (cut_off, Obstacle.PROXY_TARGET, "no TLS came through proxy", {}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_proxy_that_will_not_is_named_with_what_to_set_and_nothing_was_sent(name: str) -> None:
    talk, obstacle, text, changed = REFUSALS[name]
    started = time.monotonic()
    with Proxy(1, talk) as proxy:
        changed = dict(changed)
        (response,) = call(through(proxy, login=changed.pop("login", "")), **changed)
    assert time.monotonic() - started < NEVER_THAT_LONG
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, obstacle)
    assert response.sent_at is None
    assert text in str(response.message)
    assert f"proxy http://127.0.0.1:{proxy.port}" in str(response.message)
    assert PASSWORD not in repr(response)
    assert len(str(response.message)) <= 200


def test_a_proxy_that_is_away_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (response,) = call(Network(proxy=check_proxy(f"http://{LOGIN}127.0.0.1:{port}", "ERASER_PROXY")))
    assert (response.failure, response.obstacle) == (TransportFailure.NOT_SENT, Obstacle.PROXY)
    expected = f"no answer (proxy http://127.0.0.1:{port} cannot be reached (Connection refused); see ERASER_PROXY)"
    assert response.in_words() == expected


def test_a_proxy_whose_name_is_unknown_is_named() -> None:
    (response,) = call(Network(proxy=check_proxy("http://nobody.invalid:3128", "ERASER_PROXY")))
    assert response.obstacle is Obstacle.PROXY
    assert str(response.message).startswith("proxy http://nobody.invalid:3128 cannot be reached (")


def test_a_connection_that_was_closed_is_made_anew_through_the_proxy(bundle: Path, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)

    def once(sock: socket.socket, server: Server) -> None:
        if server.request(sock):
            sock.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    with contextlib.closing(Server(once, context)) as server, Proxy(server.port, connect) as proxy:
        assert [answer.status for answer in call(through(proxy, bundle), times=2)] == [200, 200]
    assert len(proxy.heads) == 2
