"""HTTP/1.1 implemented on a socket: faults need the raw bytes, benchmarks need the speed."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

HEAD_LIMIT = 128 * 1024  # bytes; the gateway refuses more with 494 (API reference 3.1)
BODY_LIMIT = 12 * 1024 * 1024  # bytes; the gateway refuses more with 413, and AK/SK signing allows no more
LONGEST_LINE = 4096  # bytes of a chunk's head
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
        wish = self.header.get("connection", "").lower()
        return wish == "close" or (self.version == "HTTP/1.0" and wish != "keep-alive")


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


class Connection(asyncio.StreamReaderProtocol):
    """One client. `serve` gets each request in turn and answers through `send`, `pause`, `reset` and `close`."""

    def __init__(self, serve: Callable[[Request, Connection], Awaitable[None]], open_ones: set[Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(HEAD_LIMIT, self._loop)
        super().__init__(self._reader, loop=self._loop)
        self._serve = serve
        self._open_ones = open_ones
        self._pause: asyncio.Future[bool] | None = None
        self._client: asyncio.Transport
        self.client_left = False
        self.task: asyncio.Task[None] | None = None
        self.commanding = False  # used for the control API: an outage must not close it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open_ones.add(self)
        self.task = self._loop.create_task(self._converse())

    def eof_received(self) -> bool:
        super().eof_received()
        self._leave()
        # a client may half-close and still read its answer; in TLS it cannot
        return self._client.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)
        self._open_ones.discard(self)
        self._leave()

    def send(self, data: bytes) -> None:
        self._client.write(data)

    def close(self) -> None:
        """Close normally: sent bytes still arrive."""
        self._client.close()

    def reset(self) -> None:
        """Cut the connection with a TCP reset; bytes not yet read by the client may be lost."""
        sock = self._client.get_extra_info("socket")
        if sock is not None and sock.fileno() != -1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._client.abort()

    async def pause(self, seconds: float | None) -> bool:
        """Wait (None: forever) and return whether the client is still connected; return at once when it leaves."""
        if self.client_left:
            return False
        waiting: asyncio.Future[bool] = self._loop.create_future()
        self._pause = waiting
        timer = None if seconds is None else self._loop.call_later(seconds, _settle, waiting, True)
        try:
            return await waiting
        finally:
            self._pause = None
            if timer is not None:
                timer.cancel()

    def _leave(self) -> None:
        self.client_left = True
        if self._pause is not None:
            _settle(self._pause, False)

    async def _converse(self) -> None:
        try:
            while True:
                request = await self._next_request()
                await self._serve(request, self)
                if request.wants_close or self._client.is_closing():
                    break
        except asyncio.IncompleteReadError:
            pass  # the client has left, between two requests or in the middle of one
        except MalformedRequest as bad:
            text = bad.message.encode()
            head = f"HTTP/1.1 {bad.status} Bad Request\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            self.send(head.encode() + text)
        except Exception:  # a bug of the simulator: the test must see it, and the client must not hang
            log.exception("the simulator failed while it served a call")
        finally:
            self._client.close()

    async def _next_request(self) -> Request:
        """Read one whole request."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise MalformedRequest(494, "Request headers too large.") from None
        bare = read_head(head[:-4])
        length = body_length(bare)
        if length == 0:
            return bare
        if bare.header.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._chunks() if length is None else await self._exactly(length)
        return replace(bare, body=body)

    async def _exactly(self, count: int) -> bytes:
        if count > BODY_LIMIT:
            raise MalformedRequest(413, "Request entity too large.")
        return await self._reader.readexactly(count)

    async def _line(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            line = bytes(LONGEST_LINE)
        if len(line) > LONGEST_LINE:
            raise MalformedRequest(400, "Bad request: a chunk's head is too long.")
        return line[:-2]

    async def _chunks(self) -> bytes:
        whole = bytearray()
        while True:
            size = (await self._line()).partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise MalformedRequest(400, "Bad request: a chunk's size is garbled.")
            if size.strip(b"0") == b"":
                while await self._line():  # trailers are read and dropped
                    pass
                return bytes(whole)
            whole += await self._exactly(int(size, 16))
            if await self._line():
                raise MalformedRequest(400, "Bad request: a chunk is longer than its size.")
            if len(whole) > BODY_LIMIT:
                raise MalformedRequest(413, "Request entity too large.")


def _settle(waiting: asyncio.Future[bool], here: bool) -> None:
    if not waiting.done():
        waiting.set_result(here)
