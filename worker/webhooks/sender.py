"""One attempt to deliver a message: signed at that moment, within a deadline, without redirects, and only to an address
that was checked.

An endpoint is another party's machine, so a message must not be a way into our own network: the address to which the
name leads is checked, and that very address is connected to. A name that leads elsewhere later changes nothing.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from worker.config.clock import elapsed
from worker.config.network import Network
from worker.config.urls import origin_of
from worker.config.webhooks import Endpoint
from worker.metastudio.exchange import Call, Reply, prepare
from worker.metastudio.response import TransportFailure
from worker.metastudio.transport import Transport
from worker.webhooks.signing import Secrets, headers

CONNECT_S, READ_S, WHOLE_S = 5.0, 20.0, 20.0
MAX_BODY: Final = 16 * 1024  # of an answer, which nobody reads
GONE: Final = 410  # the receiver wants no more of it, says the specification
_INSIDE: Final = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last four bytes are an address of IPv4

_WHY: Final = {
    TransportFailure.NOT_SENT: "no connection",
    TransportFailure.RESET: "the connection ended before an answer",
    TransportFailure.TIMEOUT: "no answer in time",
    TransportFailure.GARBLED: "the answer is not HTTP",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one attempt. status: None without an answer. why: in words, for the delivery log."""

    status: int | None
    ms: int
    why: str
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """The receiver wants it never again."""
        return self.status == GONE


def why_not_address(address: str, *, private: bool) -> str | None:
    """Why no message goes to this address; None: it may. private: the own network, and this machine, are allowed.

    An address of IPv4 in a form of IPv6 is what it stands for. A link-local one (where clouds hand out credentials) is
    never allowed.
    """
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        ip = within or (ipaddress.IPv4Address(ip.packed[-4:]) if ip in _INSIDE else ip)
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or (ip.is_reserved and not ip.is_loopback):
        return f"{address} is no address of a receiver"
    if not private and (not ip.is_global or (ip.version == 6 and ip.is_site_local)):
        return f"{address} is not public: private = true allows it"
    return None


class Sender:
    """Sends to one endpoint. Threads may share it."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str], network: Network) -> None:
        self._endpoint = endpoint
        self._secrets = Secrets(endpoint, environ)
        network = replace(network, ca_bundle=endpoint.ca_bundle or network.ca_bundle)
        self._transport = Transport(origin_of(endpoint.url), network=network, pool_size=8)

    def send(self, id: str, body: bytes, now: Callable[[], float] = time.time) -> Result:
        """Raises `SettingsError` where the secrets or the CAs cannot be read: then nothing was sent."""
        keys = self._secrets.keys()
        signed = headers(keys, id, int(now()), body)
        call = Call(CONNECT_S, READ_S, elapsed() + WHOLE_S, refuse=self._why_not)
        host = urlsplit(self._endpoint.url).netloc
        request = prepare(
            "POST",
            self._endpoint.url,
            {"Host": host, "Content-Type": "application/json", "Content-Length": str(len(body)), **signed},
            body,
        )
        reply = self._transport.exchange(request, call, max_body_bytes=MAX_BODY)
        return Result(reply.status, reply.ms, _why(reply), _retry_after(reply))

    def _why_not(self, address: str) -> str | None:
        return why_not_address(address, private=self._endpoint.private)


def _why(reply: Reply) -> str:
    if reply.status is None:
        return (reply.why or _WHY.get(reply.failure or TransportFailure.NOT_SENT, "no answer")).partition(";")[0]
    if 300 <= reply.status < 400:
        return "a redirect, which is not followed"
    return "delivered" if 200 <= reply.status < 300 else "refused"


def _retry_after(reply: Reply) -> float | None:
    text = reply.headers.get("Retry-After", "") if reply.status in (429, 502, 503, 504) else ""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
