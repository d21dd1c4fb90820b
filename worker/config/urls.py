"""The URLs of MetaStudio, and what all URLs share: checks and masking. Those of Redis are in `redis_urls`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from worker.model.errors import SettingsError

# Calls per second that Huawei documents for this DELETE, per tenant and region; ap-southeast-3 is only in the
# international documents, not in the SDK.
REGIONS = {"cn-north-4": 10.0, "cn-east-3": 3.0, "ap-southeast-3": 3.0}
CAREFUL_RATE = 3.0  # for an endpoint of no known region: the lowest documented limit

_HOST = re.compile(r"(?=.{1,253}\Z)[0-9a-z]([0-9a-z-]{0,62})(\.[0-9a-z][0-9a-z-]{0,62})*\.?|[0-9a-f:.]+")


def masked(url: str) -> str:
    """The URL without user and passwords. It removes too much rather than too little: a password may contain an
    unescaped `@`, or, as an option, an unescaped `&`.
    """
    if "://" not in url:
        return "***"
    return re.sub(r"(pass?w\w*=).*", r"\1***", re.sub(r"://.*@", "://***@", url, flags=re.DOTALL), flags=re.DOTALL)


def endpoint_of(region: str) -> str:
    """The address of MetaStudio in a region."""
    return f"https://metastudio.{region}.myhuaweicloud.com"


def iam_endpoint_of(region: str) -> str:
    """The address of IAM, which issues tokens, in a region."""
    return f"https://iam.{region}.myhuaweicloud.com"


def sts_endpoint_of(region: str) -> str:
    """The address of STS, which issues temporary keys, in a region."""
    return f"https://sts.{region}.myhuaweicloud.com"


def region_of(endpoint: str) -> str | None:
    """The region whose public address this is, if it is one."""
    return next((region for region in REGIONS if endpoint_of(region) == endpoint), None)


def check_region(region: str, name: str) -> str:
    """Return `region` if MetaStudio's address there is documented; raise `SettingsError` otherwise."""
    if region in REGIONS:
        return region
    raise SettingsError(
        name,
        f"MetaStudio's address in {region[:40]!r} is not known; known are {', '.join(REGIONS)}; "
        "for any other set ERASER_ENDPOINT (in TOML: endpoint) to https://HOST instead",
    )


def check_endpoint(url: str, name: str) -> str:
    """Return `https://host[:port]`, or the same with http for loopback; raise `SettingsError` otherwise."""
    parts = split_url(url, name, "https://HOST")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise SettingsError(name, f"expected https://HOST; found {masked(url)!r}")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(name, f"expected https://HOST[:PORT] and nothing more; found {masked(url)!r}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            name, f"plain http is for loopback (127.0.0.1, ::1, localhost) only: set https://{parts.netloc}"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def check_hosts(text: str, name: str) -> tuple[str, ...]:
    """Names of hosts, with commas between them; raises `SettingsError` for a URL or a port."""
    hosts = tuple(filter(None, (host.strip().lower() for host in text.split(","))))
    for host in hosts:
        if not re.fullmatch(r"[0-9a-z_][0-9a-z._-]{0,252}|\[[0-9a-f:.]+\]", host):
            raise SettingsError(
                name, f"expected names of hosts without scheme and port: eraser.example.com; found {host[:60]!r}"
            )
    return hosts


def split_url(url: str, name: str, expected: str, shown: Callable[[str], str] = masked) -> SplitResult:
    """The parts of a URL. Raises `SettingsError`, without the password, if it is none. shown: what errors repeat."""
    if not url.isprintable() or " " in url:  # urlsplit would drop some of these silently
        raise SettingsError(name, f"there is a blank or a control character in {shown(url)!r}; expected {expected}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # the text of this error may quote the password
        raise SettingsError(name, f"not a URL: {shown(url)!r}; expected {expected}") from None
    return parts


def origin_of(url: str) -> str:
    """`http://HOST:PORT` of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine."""
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_address(host: str) -> bool:
    """Whether it is an address, in its usual form, rather than a name."""
    return address_of(host) is not None


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is in its usual form; None: it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
