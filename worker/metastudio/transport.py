"""One HTTP request within a total deadline, on requests' adapter and urllib3's pools.

The timeout of requests counts from one received byte to the next, so a slow server can hold a thread for as long
as it likes. Here every read waits at most for the rest of the call's deadline, in clear text and in TLS, in the
head (100 Continue included) and in the body. Only a name lookup keeps the resolver's own timeouts; however long it
takes, no byte of a request is sent after the deadline.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from contextvars import ContextVar
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.config.clock import elapsed
from worker.config.network import PROXY, STRAIGHT, Network
from worker.config.trust import CA_BUNDLE, trust
from worker.metastudio.connecting import connected
from worker.metastudio.exchange import Call, Reply
from worker.metastudio.response import Obstacle, TransportFailure

MAX_HEAD_BYTES: Final = 64 * 1024  # all 100 Continue, the status line and the headers together
_READ_BYTES: Final = 64 * 1024
# A NAT, a firewall or a load balancer drops a connection that was idle for a while, mostly without notice.
# A call on it times out, uses an attempt and counts against the service. The shortest known timeout is five
# seconds (a common default of servers), so no connection is reused after four.
IDLE_MOST_S: float = 4.0


class HeadTooLarge(http.client.HTTPException):
    """The head of an answer is above its limit; the message repeats nothing of it."""


_DISTRUST: Final = {  # OpenSSL's X509_V_ERR_…; any other is about the issuer
    **dict.fromkeys((9, 10), Obstacle.TIME),  # CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
    **dict.fromkeys((62, 64), Obstacle.HOST),  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
}

# urllib3 passes only two numbers to a connection; the call is passed in a thread-local.
_CALL: ContextVar[Call] = ContextVar("call")


class Transport(HTTPAdapter):
    """An adapter for one origin: no netrc, no redirects, no retries. Threads may share it."""

    def __init__(self, origin: str, network: Network, *, pool_size: int) -> None:
        """origin: `https://HOST[:PORT]`, or http for loopback; pool_size: connections kept open between calls."""
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        url = urlsplit(origin)
        kind = _TlsPool if url.scheme == "https" else _ClearPool
        self._pool: _Pool = kind(url.hostname or "", url.port, maxsize=pool_size, block=False)
        self._pool.network = network

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """The pool's own TLS context verifies; requests would load the CA bundle again for every connection."""

    def request_url(self, request: requests.PreparedRequest, _: Any) -> str:
        """Path and query; requests would look for a proxy first, and take the URL apart."""
        return "/" + (request.url or "").split("/", 3)[3]

    def build_response(self, _: requests.PreparedRequest, resp: Any) -> Any:
        """urllib3's own response, of which little is used; requests would copy its headers and look for cookies."""
        return resp

    def close(self) -> None:
        super().close()
        self._pool.close()

    def exchange(self, request: requests.PreparedRequest, call: Call, *, max_body_bytes: int) -> Reply:
        """Send one request and read its answer. Never raises for anything that the network or the server does."""
        started = time.monotonic()
        token = _CALL.set(call)
        try:
            response: Any = self.send(request, stream=True, timeout=(call.connect_timeout_s, call.read_timeout_s))
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            failure = (
                (call.failure or TransportFailure.RESET) if call.sent_at is not None else TransportFailure.NOT_SENT
            )
            ms = _ms_since(call.sent_at or started)
            return Reply(None, failure, ms, sent_at=call.sent_at, obstacle=call.obstacle, why=call.why)
        finally:
            _CALL.reset(token)
        body, complete = _read_body(response, max_body_bytes)
        if not complete:
            response.close()
        return Reply(
            response.status,
            None,
            _ms_since(call.sent_at or started),
            response.headers,
            body[:max_body_bytes],
            truncated=not complete,
            sent_at=call.sent_at,
        )


def _read_body(raw: urllib3.HTTPResponse, max_bytes: int) -> tuple[bytes, bool]:
    """The bytes of the body as received, at most one above the limit, and whether the body is complete."""
    pieces: list[bytes] = []
    left = max_bytes + 1
    try:
        while left > 0:
            piece = raw.read1(min(left, _READ_BYTES), decode_content=False)
            if not piece:
                # read1 does not complain about a body that ends early
                return b"".join(pieces), not raw.length_remaining
            pieces.append(piece)
            left -= len(piece)
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
        pass
    return b"".join(pieces), False


class _Reader(io.RawIOBase):
    """Reads a socket, and never waits longer than the call allows."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, call: Call) -> None:
        self._raw = raw
        self._sock = sock
        self._call = call
        self.head_bytes_left = MAX_HEAD_BYTES
        self.in_head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._call.wait(self._call.read_timeout_s))
        got = self._raw.readinto(buffer)
        if self.in_head:
            if not got:
                # http.client takes an end in the middle of the headers for the end of the headers.
                raise http.client.RemoteDisconnected("the connection ended in the head of the answer")
            self.head_bytes_left -= got
            if self.head_bytes_left < 0:
                raise HeadTooLarge(f"the head of the answer is larger than {MAX_HEAD_BYTES} bytes")
        return got

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """http.client's response, reading through `_Reader`. A head without an end is not an answer."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._call = _CALL.get()
        self._reader = _Reader(self.fp.detach(), sock, self._call)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        try:
            super().begin()
        except ConnectionError:  # http.client.RemoteDisconnected is one
            self._call.failure = TransportFailure.RESET
            raise
        except TimeoutError:
            self._call.failure = TransportFailure.TIMEOUT
            raise
        except http.client.HTTPException:
            self._call.failure = TransportFailure.GARBLED
            raise
        self._reader.in_head = False
        if self.msg.defects or self.msg.get_payload():
            # After a line that is not a header the body's length is unknown. urllib3 would log the line.
            self.msg.defects.clear()
            self.msg.set_payload("")
            self.will_close = True
        if self.status < 200 or (self.status in (204, 304) and "Content-Length" in self.msg):
            # More bytes may still come: on a reused connection they would count as the answer for another job.
            self.will_close = True
        self._call.failure = (
            TransportFailure.GARBLED
        )  # if urllib3 still refuses the head, such as two unequal Content-Lengths


class _Bounded(HTTPConnection):
    """A connection that connects, sends and reads within the call's deadline."""

    response_class = _Response
    idle_since: float | None = None  # by `elapsed`; None: it was never put back
    network = STRAIGHT

    @property
    def is_connected(self) -> bool:
        """Whether it may be reused; otherwise urllib3 closes it, and connects again before anything is sent."""
        idle = self.idle_since is not None and elapsed() - self.idle_since > IDLE_MOST_S
        return not idle and super().is_connected

    def _new_conn(self) -> socket.socket:
        return connected(self._dns_host, self.port, _CALL.get(), self.network.proxy_for(self._dns_host))

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        call = _CALL.get()
        self.sock.settimeout(call.wait(call.read_timeout_s))
        call.sent_at = call.sent_at or time.monotonic()
        try:
            super().send(data)
        except TimeoutError:
            call.failure = TransportFailure.TIMEOUT
            raise


class _BoundedTls(_Bounded, HTTPSConnection):
    def connect(self) -> None:  # again and again: urllib3 keeps a connection that was closed
        bundle = self.network.ca_bundle
        self.ssl_context = trust(bundle).current() if bundle else _public()
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            call, kind = _CALL.get(), _DISTRUST.get(error.verify_code, Obstacle.ISSUER)
            call.obstacle = kind
            call.why = f"certificate not trusted: {error.verify_message}"
            if kind is Obstacle.ISSUER:
                call.why += f"; {CA_BUNDLE} names the CAs to trust"
            raise
        except OSError:
            call, proxy = _CALL.get(), self.network.proxy_for(self._dns_host)
            if proxy is not None and call.why is None:
                call.obstacle, call.why = Obstacle.PROXY_TARGET, f"no TLS came through proxy {proxy}; see {PROXY}"
            raise


class _Pool(HTTPConnectionPool):
    """Remembers since when a connection is idle."""

    network = STRAIGHT

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.network = self.network
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = elapsed()
        super()._put_conn(conn)


class _ClearPool(_Pool):
    ConnectionCls = _Bounded


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _BoundedTls


@cache  # hundreds of accounts share one
def _public() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
