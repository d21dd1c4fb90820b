"""Origin checks: the Host, Origin and Sec-Fetch-Site of a request. Pure.

A page of another site can make a browser call this machine: by a form (the browser then sends the page's origin), or
by its own host name that points here (DNS rebinding: the Host is then that name).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from worker.config.urls import is_loopback

PROXIES = ("forwarded", "via", "x-real-ip")  # headers that a proxy adds; and every x-forwarded-…
SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing here
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/@\s]+)(:\d{1,5})?")


def name_of(host: str) -> str | None:
    """The name in a Host header, in lower case and without its port; None without one."""
    match = _HOST.fullmatch(host)
    return match[1].lower() if match else None


def is_ours(host: str, allowed: Collection[str]) -> bool:
    """Whether a Host header is ours: a name of this machine, or an allowed one."""
    name = name_of(host)
    return name is not None and (is_loopback(name.strip("[]")) or name in allowed)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine: then no proxy with another name was used."""
    return is_ours(host, ())


def is_passed_on(names: Iterable[str]) -> bool:
    """Whether a proxy passed the request on, by its headers: then the client may be anywhere."""
    return any(name.lower() in PROXIES or name.lower().startswith("x-forwarded-") for name in names)


def comes_from_elsewhere(method: str, host: str, *, origin: str | None, site: str | None) -> bool:
    """Whether another site made a browser send this request. Programs send neither Origin nor Sec-Fetch-Site."""
    if method in SAFE:
        return False
    if site is not None and site not in ("same-origin", "none"):
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()  # "null" has no host name, and belongs to no site
    except ValueError:
        return True
