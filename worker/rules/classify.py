"""Classifies answers. Pure.

    DELETE ──▶ meaning() ──▶ deleted           200 or 204 that nothing in the body contradicts, and nothing else
                             failed            5xx, reset, timeout: the outcome is unknown, try again later
                             ask               400, 404 from MetaStudio, odd 2xx: only a list query can tell
                             throttled, credentials, clock      about the account, not about the job
                             forbidden         403, wrong URL: a control GET decides: the account, or the job
    ask ──▶ found() ──▶ absent | present | unknown
    absent ──▶ worker.lookups ──▶ absent     control questions before and after it showed other jobs of the project
                                  unseen     they showed none: this key may not see the jobs, so it proves nothing
                                  unknown    they were not answered

Classify by HTTP status first and by code second, because sources disagree on the low MSS codes (API reference, section
2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.metastudio.response import Body, Listing, Response, TransportFailure
from worker.metastudio.targets.adapter import Row

NOT_SENT: Final = Listing(Response(None, TransportFailure.NOT_SENT, None, "not asked", None, 0), None, None)
"""A placeholder response, if rate, lease or Redis allowed no lookup; it is no signal."""


class ResponseKind(StrEnum):
    """The meaning of the answer to one DELETE."""

    DELETED = "deleted"
    ASK = "ask"
    FAILED = "failed"
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    FORBIDDEN = "forbidden"


class Presence(StrEnum):
    """The result of looking up one job by its id."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSEEN = "unseen"  # the list does not have it, but shows no other job either
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of a lookup of one job, and the answer that decided it."""

    listing: Listing
    what: Presence
    row: Row | None = None


# (status, code) pairs that mean something else than their status alone (API reference, 2 and 3.1)
_BY_CODE: dict[tuple[int, str], ResponseKind] = {
    (400, "MSS.00010008"): ResponseKind.CREDENTIALS,  # "Invalid token in the header": an auth failure with a 400
    (400, "MSS.00010009"): ResponseKind.FORBIDDEN,  # the project is not the credential's
    (400, "MSS.00010003"): ResponseKind.FORBIDDEN,  # wrong URL
    (400, "MSS.00010004"): ResponseKind.FORBIDDEN,  # wrong method
    (400, "APIGW.0104"): ResponseKind.FAILED,  # faults on the gateway's side
    (400, "APIGW.0105"): ResponseKind.FAILED,
    (400, "APIGW.0106"): ResponseKind.FAILED,
    (400, "APIGW.0607"): ResponseKind.FORBIDDEN,  # wrong protocol
    (404, "APIGW.0101"): ResponseKind.FORBIDDEN,  # wrong URL, host or region: never "already deleted"
    (404, "APIGW.0103"): ResponseKind.FAILED,  # the gateway has no backend
}
_CLOCK_WORDS = ("signature expired",)


def classify(response: Response) -> ResponseKind:
    """Classify the answer to a DELETE."""
    status = response.status
    if status is None:
        return ResponseKind.FAILED
    if response.of_iam:  # IAM may refuse us or not; it says nothing about the job or MetaStudio's rate limit
        return ResponseKind.CREDENTIALS if response.is_permanent_error else ResponseKind.FAILED
    if special := _BY_CODE.get((status, response.code or "")) or response.meaning:
        return ResponseKind(special)
    match status:
        case 200 | 204:
            return ResponseKind.ASK if _contradicts_itself(response) else ResponseKind.DELETED
        case 429:
            return ResponseKind.THROTTLED
        case 401:
            skewed = response.server_time is not None and any(w in (response.message or "") for w in _CLOCK_WORDS)
            return ResponseKind.CLOCK if skewed else ResponseKind.CREDENTIALS
        case 403 | 405:
            return ResponseKind.FORBIDDEN
        case 408:
            return ResponseKind.FAILED
    if status >= 500 or 300 <= status < 400:
        return ResponseKind.FAILED
    return ResponseKind.ASK


def _contradicts_itself(response: Response) -> bool:
    """Whether a success has a proxy's page, an error, or a truncated body that may have been one."""
    return response.truncated or response.body in (Body.HTML, Body.OTHER) or bool(response.code or response.message)


def outcome_unknown(response: Response) -> bool:
    """Whether the job may have been deleted although no answer says so."""
    if response.of_iam:
        return False
    match classify(response):
        case ResponseKind.FAILED:
            return response.failure is not TransportFailure.NOT_SENT and not (
                response.status and 300 <= response.status < 500
            )
        case ResponseKind.ASK:
            return response.status is not None and response.status < 300
        case _:
            return False


def presence(listing: Listing, id: str, project_id: str | None = None) -> tuple[Presence, Row | None]:
    """Present: a row with exactly this id. Absent: a well-formed 200 with count 0. Anything else is unknown.

    An absence by itself is no proof: see `worker.lookups`. A row that says that its files are deleted is one.
    """
    if _is_list(listing):
        for row in listing.rows or ():
            if row.id == id and is_of(row, project_id):
                return Presence.ABSENT if row.erased else Presence.PRESENT, row
        if listing.count == 0 and not listing.rows:
            return Presence.ABSENT, None
    return Presence.UNKNOWN, None


def shows_jobs(listing: Listing, project_id: str) -> bool | None:
    """Whether a list without filters shows jobs of the project. None: it is not usable, or contradicts itself."""
    if not _is_list(listing):
        return None
    if listing.count and any(is_of(row, project_id) for row in listing.rows or ()):
        return True
    return False if listing.count == 0 and not listing.rows else None


def is_of(row: Row, project_id: str | None) -> bool:
    """Whether a row belongs to the requested project, as far as it says."""
    return project_id is None or row.project_id is None or row.project_id == project_id


def _is_list(listing: Listing) -> bool:
    return listing.response.status == 200 and listing.rows is not None and listing.count is not None
