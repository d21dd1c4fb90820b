"""Who is meant, and who sent the browser: the Host, Origin and Sec-Fetch-Site of a request. Pure.

A page somewhere else can make a browser call this machine: by a form (the browser then says where it comes from), or
by a name of its own that it lets point here (DNS rebinding: the Host is then that name).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from worker.config.urls import is_loopback

PROXIES = ("forwarded", "via", "x-real-ip")  # who speaks for somebody else says so; and every x-forwarded-…
SAFE = ("GET", "HEAD", "OPTIONS")  # change nothing here
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/@\s]+)(:\d{1,5})?")


def name_of(host: str) -> str | None:
    """The name in a Host header, in lower case and without its port; None where there is none."""
    match = _HOST.fullmatch(host)
    return match[1].lower() if match else None


def is_ours(host: str, allowed: Collection[str]) -> bool:
    """Whether a Host header means us: a name of this machine, or one that was allowed."""
    name = name_of(host)
    return name is not None and (is_loopback(name.strip("[]")) or name in allowed)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine: nobody came by way of a proxy with a name of its own."""
    name = name_of(host)
    return name is not None and is_loopback(name.strip("[]"))


def is_passed_on(names: Iterable[str]) -> bool:
    """Whether a proxy passed a request on, by the names of its headers: whoever asked may be anywhere."""
    return any(name.lower() in PROXIES or name.lower().startswith("x-forwarded-") for name in names)


def comes_from_elsewhere(method: str, host: str, *, origin: str | None, site: str | None) -> bool:
    """Whether a browser was sent here by another site to change something. Programs say neither Origin nor site."""
    if method in SAFE:
        return False
    if site is not None and site not in ("same-origin", "none"):
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()  # "null" has none, and is nobody's
    except ValueError:
        return True
