"""A connection whose request does not come is closed; one that waits between two requests is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.support.waiting import unless_it_stalls, wait_until
from worker.interfaces.web.header_timeout import HeaderTimeout

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answered(caller: socket.socket) -> bool:
    received = b""
    while not received.endswith(b"well") and (more := caller.recv(1000)):
        received += more
    return received.endswith(b"well")


async def _app(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"well"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("worker.interfaces.web.header_timeout.HEAD_S", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(_app, http=HeaderTimeout, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    wait_until(lambda: server.started)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.parametrize("begin", [b"", b"GET / HT", ASK[:-2]])
def test_a_head_that_does_not_come_ends_the_connection(port: int, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        caller.sendall(begin)
        assert caller.recv(100) == b""


def test_one_that_came_is_answered_and_the_connection_stays_for_the_next(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.interfaces.web.header_timeout.HEAD_S", 2.0)  # enough to ask in, on a busy machine too
    unless_it_stalls(2.0 + 2.0 + 1.0, lambda: ask_twice_and_a_half(port))


def ask_twice_and_a_half(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as other:
            caller.sendall(ASK)
            assert answered(caller)
            assert other.recv(100) == b"", "it came later, so the first one's time is over too"
        caller.sendall(ASK)
        assert answered(caller)
        caller.sendall(ASK[:-2])
        assert caller.recv(100) == b"", "the head of a later request is not waited for either"


def test_javas_offer_of_http_2_is_answered_without_a_word_in_the_log(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    monkeypatch.setattr("worker.interfaces.web.header_timeout.HEAD_S", 60.0)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        caller.sendall(ASK[:-2] + offer)
        assert answered(caller)
    assert "pgrade" not in caplog.text
