"""What an answer says about the account, as a signal for the gate. Pure."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from worker.ledger.types import GateSignal, Lease, Trial
from worker.metastudio.response import IAM, Listing, Response
from worker.rules.classify import ResponseKind, classify

_ABOUT_THE_PROJECT = (400, 403, 404)  # of IAM: whether this user may work there says nothing about its password
_SAME_CLOCK_MS = 60_000.0  # a call whose time differs by less than this was signed with the server's clock


def nothing(lease: Lease, key: str) -> GateSignal:
    """Nothing was asked, or the answer says nothing about the account."""
    return GateSignal("none", key=key, probe=lease.probe)


def of_answer(response: Response, under: Lease | Trial, key: str) -> GateSignal:
    """`key` is the fingerprint of the credential that was used, `under` is what allowed the call."""
    probe = under.probe if isinstance(under, Lease) else None
    quota = asdict(response.quota) if response.quota else None

    def signal(kind: str, **more: Any) -> GateSignal:
        why = None if kind == "ok" else response.in_words()
        return GateSignal(kind, key=key, ms=response.ms, probe=probe, why=why, quota=quota, **more)

    match classify(response):
        case ResponseKind.DELETED | ResponseKind.ASK:
            return signal("ok")
        case ResponseKind.THROTTLED:
            return signal("throttled", retry_after=response.retry_after_s * 1000 if response.retry_after_s else None)
        case ResponseKind.CLOCK if (server_time := server_time_of(response)) is not None:
            return signal("clock", skew=server_time.timestamp() * 1000 - (under.redis_ms + response.ms))
        case ResponseKind.CREDENTIALS if _is_about_the_project(response):
            return signal("misconfigured")
        case ResponseKind.CREDENTIALS | ResponseKind.CLOCK:
            return signal("credentials")
        case ResponseKind.FORBIDDEN:
            return signal("misconfigured")
        case _:
            return signal("fail")


def _is_about_the_project(response: Response) -> bool:
    return response.of_iam and response.issuer == IAM and response.status in _ABOUT_THE_PROJECT


def server_time_of(response: Response) -> datetime | None:
    """The server's time, if it refused a call for its clock; None if the call was already signed with that clock."""
    server_time, signed = response.server_time, response.signed_at
    if server_time is None or signed is None:
        return server_time
    same = abs((server_time - signed).total_seconds()) * 1000 <= _SAME_CLOCK_MS
    return None if same else server_time


def of_listing(listing: Listing, under: Lease | Trial, key: str) -> GateSignal:
    """The same for a list query. It says nothing about DELETEs; and a 2xx that is not a list of jobs is not
    MetaStudio's.
    """
    signal, status = of_answer(listing.response, under, key), listing.response.status
    if listing.count is None and status is not None and 200 <= status < 300:
        return replace(signal, kind="fail", why=f"{status}, but no list of jobs")
    return replace(signal, kind="listed") if signal.kind == "ok" else signal
