"""HTTP/1.1 implemented on a socket: faults need the raw bytes, benchmarks need the speed."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

HEAD_LIMIT = 128 * 1024  # bytes; the gateway refuses more with 494 (API reference 3.1)
BODY_LIMIT = 12 * 1024 * 1024  # bytes; the gateway refuses more with 413, and AK/SK signing allows no more
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST instead of FIN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request as received. Header names are lower-case; raw bytes are kept as surrogates."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @cached_property
    def header(self) -> dict[str, str]:
        """Header by lower-case name; a repeated one is joined with commas, as RFC 9110 reads it."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            found[name] = f"{found[name]},{value}" if name in found else value
        return found

    @property
    def wants_close(self) -> bool:
        said = self.header.get("connection", "").lower()
        return said == "close" or (self.version == "HTTP/1.0" and said != "keep-alive")


class MalformedRequest(Exception):
    """The bytes are not a request that can be read; `status` is what a gateway would answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def read_head(head: bytes) -> Request:
    """Parse a request line and its headers, without the blank line at the end."""
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.1", "HTTP/1.0"} or not parts[1].startswith("/"):
        raise MalformedRequest(400, "Bad request: the request line is not HTTP/1.1.")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise MalformedRequest(400, "Bad request: a header line is garbled.")
        headers.append((name.lower(), value.strip(" \t")))
    return Request(parts[0], parts[1], tuple(headers), version=parts[2])


def body_length(request: Request) -> int | None:
    """Bytes of the body that follows; None when it is chunked."""
    lengths = {value for name, value in request.headers if name == "content-length"}
    coding = request.header.get("transfer-encoding")
    if coding is not None:
        if lengths or coding.lower() != "chunked":
            raise MalformedRequest(400, "Bad request: the body's length is ambiguous.")
        return None
    if not lengths:
        return 0
    text = lengths.pop()
    if lengths or not text.isascii() or not text.isdigit():
        raise MalformedRequest(400, "Bad request: Content-Length is not one number.")
    return int(text)


class Connection(asyncio.Protocol):
    """One client. `serve` gets each request in turn and answers through `send`, `pause`, `reset` and `close`."""

    def __init__(self, serve: Callable[[Request, Connection], Awaitable[None]], open_ones: set[Connection]) -> None:
        self._serve = serve
        self._open_ones = open_ones
        self._buffer = bytearray()
        self._ended = False
        self._more: asyncio.Future[None] | None = None
        self._pause: asyncio.Future[bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self.task: asyncio.Task[None] | None = None
        self.commanding = False  # used for the control API: an outage must not close it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open_ones.add(self)
        self.task = self._loop.create_task(self._converse())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > HEAD_LIMIT + 2 * BODY_LIMIT:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._leave()
        return True  # a client may half-close and still read its answer

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open_ones.discard(self)
        self._leave()

    @property
    def client_left(self) -> bool:
        return self._ended

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        """Close normally: sent bytes still arrive."""
        self._transport.close()

    def reset(self) -> None:
        """Cut the connection with a TCP reset; bytes not yet read by the client may be lost."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() != -1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def pause(self, seconds: float | None) -> bool:
        """Wait (None: forever) and return whether the client is still connected; return at once when it leaves."""
        if self._ended:
            return False
        waiting: asyncio.Future[bool] = self._loop.create_future()
        self._pause = waiting
        timer = None if seconds is None else self._loop.call_later(seconds, _settle, waiting)
        try:
            return await waiting
        finally:
            self._pause = None
            if timer is not None:
                timer.cancel()

    def _leave(self) -> None:
        self._ended = True
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(False)
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _converse(self) -> None:
        try:
            while (request := await self._next_request()) is not None:
                await self._serve(request, self)
                if request.wants_close or self.closing:
                    break
        except MalformedRequest as bad:
            text = bad.message.encode()
            head = f"HTTP/1.1 {bad.status} Bad Request\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            self.send(head.encode() + text)
        except Exception:  # a bug of the simulator: the test must see it, and the client must not hang
            log.exception("the simulator failed while it served a call")
        finally:
            self._transport.close()

    async def _next_request(self) -> Request | None:
        """Read one whole request, or None if the client has left between two."""
        start = 0
        while (end := self._buffer.find(b"\r\n\r\n", start)) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise MalformedRequest(494, "Request headers too large.")
            if not await self._grow():
                return None
            start = max(0, start - 3)
        if end > HEAD_LIMIT:
            raise MalformedRequest(494, "Request headers too large.")
        bare = read_head(self._consume(end + 4)[:-4])
        length = body_length(bare)
        if length == 0:
            return bare
        if bare.header.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._chunks() if length is None else await self._exactly(length)
        return None if body is None else Request(bare.method, bare.target, bare.headers, body, bare.version)

    async def _grow(self) -> bool:
        """Wait for more bytes; False when none will come."""
        if self._ended:
            return False
        before = len(self._buffer)
        self._more = self._loop.create_future()
        await self._more
        self._more = None
        return len(self._buffer) > before

    def _consume(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._transport.resume_reading()
        return taken

    async def _exactly(self, count: int) -> bytes | None:
        if count > BODY_LIMIT:
            raise MalformedRequest(413, "Request entity too large.")
        while len(self._buffer) < count:
            if not await self._grow():
                return None
        return self._consume(count)

    async def _line(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > 4096:
                raise MalformedRequest(400, "Bad request: a chunk's head is too long.")
            if not await self._grow():
                return None
        return self._consume(end + 2)[:-2]

    async def _chunks(self) -> bytes | None:
        whole = bytearray()
        while (line := await self._line()) is not None:
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise MalformedRequest(400, "Bad request: a chunk's size is garbled.")
            if size.strip(b"0") == b"":
                while line := await self._line():  # trailers are read and dropped
                    pass
                return None if line is None else bytes(whole)
            part = await self._exactly(int(size, 16))
            if part is None or await self._line() != b"":
                return None
            whole += part
            if len(whole) > BODY_LIMIT:
                raise MalformedRequest(413, "Request entity too large.")
        return None


def _settle(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(True)
