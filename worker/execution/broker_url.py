"""The broker's URL as Celery writes it. Every command reads it, so nothing of Celery is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from worker.config.redis_urls import parse_redis_url
from worker.config.urls import masked
from worker.ledger.connection import SENTINEL_TIMEOUT_S, options_of


@dataclass(frozen=True, slots=True)
class Broker:
    """A URL as Celery writes it, and the transport options that belong to it."""

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """For people, without passwords."""
        return ", ".join(map(masked, self.url.split(";")))


def celery_broker(url: str) -> Broker:
    """A checked URL of the settings as Celery takes it.

    Of Sentinels each is a URL, which says how to log in at the primary; the service and how to log in at the Sentinels
    are transport options.
    """
    if not url.startswith("redis+sentinel://"):
        return Broker(url)
    address = parse_redis_url(url, "ERASER_BROKER_URL")
    primary = urlsplit(address.primary)
    theirs = f"{primary.netloc.rpartition('@')[0]}@" if "@" in primary.netloc else ""
    tail = f"{primary.path}?{primary.query}" if primary.query else primary.path
    hosts = [urlsplit(sentinel).netloc.rpartition("@")[2] for sentinel in address.servers]
    return Broker(
        ";".join(f"sentinel://{theirs}{host}{tail}" for host in hosts),
        {"master_name": address.service, "sentinel_kwargs": options_of(address.servers[0], SENTINEL_TIMEOUT_S)},
    )
