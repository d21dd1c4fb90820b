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
from pathlib import Path
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from worker.config.clock import elapsed
from worker.config.trust import CA_BUNDLE, trust
from worker.metastudio.exchange import Call, Reply
from worker.metastudio.response import Distrust, TransportFailure

MAX_HEAD_BYTES: Final = 64 * 1024  # all 100 Continue, the status line and the headers together
_READ_BYTES: Final = 64 * 1024
# A NAT, a firewall or a load balancer drops a connection that was idle for a while, mostly without notice.
# A call on it times out, uses an attempt and counts against the service. The shortest known timeout is five
# seconds (a common default of servers), so no connection is reused after four.
IDLE_MOST_S: float = 4.0
# While a call waits for its answer the kernel sends keepalives, and notices when the other end is gone.
_KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
        if hasattr(socket, name)
    ),  # macOS has another name for the first one
]


class HeadTooLarge(http.client.HTTPException):
    """The head of an answer is above its limit; the message repeats nothing of it."""


_DISTRUST: Final = {  # OpenSSL's X509_V_ERR_…; any other is about the issuer
    **dict.fromkeys((9, 10), Distrust.TIME),  # CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
    **dict.fromkeys((62, 64), Distrust.HOST),  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
}

# urllib3 passes only two numbers to a connection; the call is passed in a thread-local.
_CALL: ContextVar[Call] = ContextVar("call")


class Transport(HTTPAdapter):
    """An adapter for one origin: no proxies, no netrc, no redirects, no retries. Threads may share it."""

    def __init__(self, scheme: str, host: str, port: int | None, *, pool_size: int, ca_bundle: Path | None) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        if scheme == "https":
            self._pool: HTTPConnectionPool = _TlsPool(host, port, pool_size, ca_bundle)
        else:
            self._pool = _ClearPool(host, port, maxsize=pool_size, block=False)

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
            return Reply(None, failure, ms, sent_at=call.sent_at, distrust=call.distrust, why=call.why)
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

    @property
    def is_connected(self) -> bool:
        """Whether it may be reused; otherwise urllib3 closes it, and connects again before anything is sent."""
        idle = self.idle_since is not None and elapsed() - self.idle_since > IDLE_MOST_S
        return not idle and super().is_connected

    def _new_conn(self) -> socket.socket:
        # Not urllib3's own, which gives every address of the host the whole connect timeout.
        call = _CALL.get()
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._dns_host, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in (*(self.socket_options or ()), *_KEEPALIVE):
                    sock.setsockopt(*option)
                sock.settimeout(call.wait(call.connect_timeout_s))
                sock.connect(address)
                sock.settimeout(call.wait(call.connect_timeout_s))  # for the TLS handshake, which Python bounds as one
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

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
    ca_bundle: Path | None = None

    def connect(self) -> None:  # again and again: urllib3 keeps a connection that was closed
        self.ssl_context = trust(self.ca_bundle).current() if self.ca_bundle else _public()
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            call, kind = _CALL.get(), _DISTRUST.get(error.verify_code, Distrust.ISSUER)
            call.distrust = kind
            call.why = f"certificate not trusted: {error.verify_message}"
            if kind is Distrust.ISSUER:
                call.why += f"; {CA_BUNDLE} names the CAs to trust"
            raise


class _Pool(HTTPConnectionPool):
    """Remembers since when a connection is idle."""

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = elapsed()
        super()._put_conn(conn)


class _ClearPool(_Pool):
    ConnectionCls = _Bounded


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _BoundedTls

    def __init__(self, host: str, port: int | None, size: int, ca_bundle: Path | None) -> None:
        super().__init__(host, port, maxsize=size, block=False, cert_reqs="CERT_REQUIRED")
        self._ca_bundle = ca_bundle

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.ca_bundle = self._ca_bundle
        return connection


@cache  # hundreds of accounts share one
def _public() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
