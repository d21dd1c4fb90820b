"""Opens the connection of one call, straight or through a proxy, within the call's time.

Through a proxy (RFC 9110, 9.3.6) nothing but the name of the host goes in clear text: TLS begins after it. Nothing of
a call is sent before the connection stands, so whatever a proxy does uses no attempt; `Call.why` says what to set.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from typing import Final

from worker.config.clock import elapsed
from worker.config.network import NO_PROXY, PROXY, Proxy
from worker.config.urls import is_address
from worker.metastudio.exchange import Call
from worker.metastudio.response import Obstacle

MAX_ANSWER_BYTES: Final = 64 * 1024  # of a proxy to CONNECT

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_END: Final = re.compile(rb"\r?\n\r?\n")
# While the call waits for its answer the kernel sends keepalives, and notices when the other end is gone.
_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
        if hasattr(socket, name)
    ),  # macOS has another name for the first one
]


def connected(host: str, port: int, call: Call, proxy: Proxy | None) -> socket.socket:
    """A connection to the host. Raises `OSError`; then `call` says why, where a person can change it."""
    if proxy is None:
        return _straight(host, port, call, call.refuse)
    if is_address(host) and (why := call.refuse(host)):  # what a name leads to is the proxy's business
        call.why = why
        raise OSError(why)
    try:
        sock = _straight(proxy.host, proxy.port, call, lambda _: None)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        _refuse(call, Obstacle.PROXY, f"proxy {proxy} cannot be reached ({reason}); see {PROXY}")
        raise
    try:
        _tunnel(sock, host, port, call, proxy)
        sock.settimeout(call.wait(call.connect_timeout_s))  # for the TLS handshake, which Python bounds as one
    except OSError:
        sock.close()
        raise
    return sock


def _straight(host: str, port: int, call: Call, refuse: Callable[[str], str | None]) -> socket.socket:
    # Not urllib3's own, which gives every address of the host the whole connect timeout.
    failure: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if why := refuse(str(address[0])):  # that very address, whatever the name leads to later
            call.why, failure = why, OSError(why)
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            for option in _OPTIONS:
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


def _tunnel(sock: socket.socket, host: str, port: int, call: Call, proxy: Proxy) -> None:
    """Ask the proxy to connect to the host, and read its answer. Raises `OSError`."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.login is not None:
        lines.append(f"Proxy-Authorization: {proxy.login}")
    ends = elapsed() + call.connect_timeout_s
    head = b""
    try:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        for piece in _pieces(sock, call, ends):
            head += piece
            if _END.search(head) or (not _STATUS.match(head) and b"\n" in head) or len(head) > MAX_ANSWER_BYTES:
                break
    except TimeoutError:
        _refuse(call, Obstacle.PROXY, f"proxy {proxy} did not answer in time; see {PROXY}")
        raise
    except OSError:
        _refuse(call, Obstacle.PROXY, f"proxy {proxy} closed the connection; see {PROXY}")
        raise
    status, end = _STATUS.match(head), _END.search(head)
    surplus = end is not None and end.end() < len(head)
    if status is None or end is None or (surplus and status[1] == b"200"):
        what = "answered something other than HTTP" if head else "closed the connection"
        raise _refuse(call, Obstacle.PROXY, f"proxy {proxy} {what}; see {PROXY}")
    match int(status[1]):
        case 200:
            return
        case 407:
            what = "refused its user and password" if proxy.login else "wants a user and a password"
            raise _refuse(call, Obstacle.PROXY_LOGIN, f"proxy {proxy} {what} (407); see {PROXY}")
        case 502 | 503 | 504 as number:
            raise _refuse(call, Obstacle.PROXY_TARGET, f"proxy {proxy} cannot reach {where} ({number})")
        case number:
            what = f"does not connect to {where} ({number}); allow it there, or see {NO_PROXY}"
            raise _refuse(call, Obstacle.PROXY_RULE, f"proxy {proxy} {what}")


def _pieces(sock: socket.socket, call: Call, ends: float) -> Iterable[bytes]:
    while (left := ends - elapsed()) > 0:
        sock.settimeout(call.wait(left))
        piece = sock.recv(4096)
        if not piece:
            return
        yield piece
    raise TimeoutError("the proxy's answer does not end")


def _refuse(call: Call, obstacle: Obstacle, why: str) -> OSError:
    call.obstacle, call.why = obstacle, why[:200]
    return ConnectionError(why)
