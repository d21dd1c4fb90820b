"""How calls leave this machine: ERASER_CA_BUNDLE, ERASER_PROXY and ERASER_NO_PROXY: to MetaStudio, IAM and webhooks.

The environment's own HTTPS_PROXY and NO_PROXY have no effect: a variable that is meant for other programs must not
send signed calls another way.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from worker.config.urls import is_loopback, masked, split_url
from worker.model.errors import SettingsError

PROXY: Final = "ERASER_PROXY"
NO_PROXY: Final = "ERASER_NO_PROXY"
EVERY: Final = "*"

_EXPECTED: Final = "http://[USER:PASSWORD@]HOST:PORT"
_NAME: Final = re.compile(r"\.?[0-9a-z_]([0-9a-z_-]{0,62})(\.[0-9a-z_][0-9a-z_-]{0,62})*")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that connects to a host (CONNECT). It is shown as its address, without user and password."""

    host: str
    port: int
    login: str | None = field(default=None, repr=False)  # the value of Proxy-Authorization

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Network:
    """Which CAs are trusted (None: the public ones), and which hosts are reached through a proxy."""

    ca_bundle: Path | None = None
    proxy: Proxy | None = None
    no_proxy: tuple[str, ...] = ()

    def proxy_for(self, host: str) -> Proxy | None:
        """The proxy to this host. Never one to this machine: its loopback is not the proxy's."""
        return None if is_loopback(host) or any(_covers(each, host) for each in self.no_proxy) else self.proxy


STRAIGHT: Final = Network()


def check_proxy(url: str, name: str) -> Proxy:
    """The proxy of a URL. Raises `SettingsError`, without the password."""
    parts = split_url(url, name, _EXPECTED)
    if parts.scheme in ("https", "socks", "socks4", "socks4a", "socks5", "socks5h"):
        why = "the proxy itself is reached by http:// (TLS goes through it, from here to MetaStudio)"
        raise SettingsError(name, f"{why}: expected {_EXPECTED}; found {masked(url)!r}")
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise SettingsError(name, f"expected {_EXPECTED}; found {masked(url)!r} (write : in a password as %3A)")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(name, f"expected {_EXPECTED} and nothing more (in a password, write # as %23 and / as %2F)")
    login = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(login.encode()).decode()
    return Proxy(parts.hostname, parts.port, login)


def check_no_proxy(text: str, name: str) -> tuple[str, ...]:
    """Hosts that are reached without the proxy, with commas between them. Raises `SettingsError`."""
    hosts = tuple(dict.fromkeys(filter(None, (host.strip().lower() for host in text.split(",")))))
    for host in hosts:
        if host != EVERY and not _NAME.fullmatch(host) and _network(host) is None:
            expected = f"expected names of hosts (with all names below them), addresses, networks or {EVERY}, by commas"
            raise SettingsError(name, f"{expected}: .example.com, 10.0.0.0/8; found {host[:60]!r}")
    return hosts


def _covers(rule: str, host: str) -> bool:
    """Whether a part of ERASER_NO_PROXY means this host: by its name, a name above it, its address or its network."""
    name, above = host.lower().rstrip("."), rule.lstrip(".")
    network, address = _network(rule), _network(name)
    if rule == EVERY:
        return True
    if network is None or address is None:
        return network is address and (name == above or name.endswith("." + above))
    return address.version == network.version and address[0] in network


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
