"""Responses of MetaStudio and the gateway, byte for byte as in the API reference."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from http import HTTPStatus

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """One response before it is encoded. `chunked` and `close` are what the gateway does with a 401."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    close: bool = False

    def again_after(self, seconds: float | None) -> Reply:
        """The same with Retry-After, if there are any."""
        return self if seconds is None else replace(self, headers=(("Retry-After", f"{seconds:g}"),))


def with_quota(reply: Reply, quota: str) -> Reply:
    """The same with the gateway's limit, as its debug mode says it."""
    return replace(reply, headers=(*reply.headers, ("X-Apig-RateLimit-api", quota)))


def new_request_id() -> str:
    return os.urandom(16).hex()


def as_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def mss(status: int, code: str, message: str) -> Reply:
    """An error of MetaStudio itself."""
    return Reply(status, as_json({"error_code": code, "error_msg": message}), code=code)


INTERNAL_ERROR = mss(500, "MSS.00000004", "Internal Error")
INVALID_PARAMETER = mss(400, "MSS.00000003", "Invalid parameter")
WRONG_PROJECT = mss(400, "MSS.00010009", "urlTenantId is not equal tokenTenantId")
CHOICES = {"400": INVALID_PARAMETER, "404": mss(404, "MSS.00000003", "Invalid parameter"), "500": INTERNAL_ERROR}
"""The answer for an absent job or one in the wrong state; no document says which one is used."""
_NO_ASSET = mss(400, "MSS.10001001", "Asset not found")
ABSENT_ASSET = {"400": _NO_ASSET, "404": replace(_NO_ASSET, status=404), "500": INTERNAL_ERROR}
"""The documents have the first one; the others are switches."""

_GATEWAY_ERRORS = {
    401: ("APIGW.0301", "Incorrect IAM authentication information: Get secretKey failed"),
    403: ("APIGW.0302", "The IAM user is not authorized to access the API."),
    404: ("APIGW.0101", "The API does not exist or has not been published in the environment."),
    502: ("APIGW.0201", "Backend unavailable."),
    503: ("APIGW.0613", "The IAM service is currently unavailable."),
    504: ("APIGW.0201", "Backend timeout."),
}


def gateway(status: int, code: str, message: str, request_id: str) -> Reply:
    """An error of the API gateway in front of it; a 401 comes chunked and closes the connection, as seen in reality."""
    body = as_json({"error_msg": message, "error_code": code, "request_id": request_id})
    return Reply(status, body, code=code, chunked=status == 401, close=status == 401)


def error(status: int, request_id: str) -> Reply:
    """The usual error of this status: the gateway's, or else MetaStudio's own."""
    if status in _GATEWAY_ERRORS:
        return gateway(status, *_GATEWAY_ERRORS[status], request_id)
    return INVALID_PARAMETER if status == 400 else replace(INTERNAL_ERROR, status=status)


def refused(code: str, message: str, request_id: str) -> Reply:
    """Invalid credentials: the gateway's 401, or MetaStudio's own 400 for a token."""
    return mss(400, code, message) if code.startswith("MSS.") else gateway(401, code, message, request_id)


def throttled(request_id: str, limit: int, retry_after_s: float | None) -> Reply:
    message = f"The throttling threshold has been reached: policy user over ratelimit,limit:{limit},time:1 second"
    return gateway(429, "APIGW.0308", message, request_id).again_after(retry_after_s)


class Lists(StrEnum):
    """How a list answers: correctly, or with a well-formed 200 that must not be trusted."""

    ORDINARY = "ordinary"
    EMPTY = "empty"  # none at all
    EMPTY_BY_ID = "empty_by_id"  # none if one job is requested: its index is down
    NO_ROWS = "no_rows"  # it counts jobs, but lists none
    FOREIGN = "foreign"  # every row belongs to another project


def listing(count: int, rows: Sequence[Mapping[str, object]], named: str = "jobs") -> Reply:
    return Reply(200, as_json({"count": count, named: list(rows)}))


def odd_listing(
    how: str, count: int, rows: Sequence[Mapping[str, object]], *, by_id: bool, named: str = "jobs"
) -> Reply:
    """by_id: the call names what it asks for."""
    if how == Lists.EMPTY or (how == Lists.EMPTY_BY_ID and by_id):
        return listing(0, [], named)
    if how == Lists.FOREIGN:
        rows = [{**row, "project_id": "somebody-s"} for row in rows]
    return listing(count, [] if how == Lists.NO_ROWS else rows, named)


def encode(reply: Reply, request_id: str, now: datetime) -> bytes:
    """The answer as bytes; `now` is the server's clock, for the Date header."""
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Date: {format_datetime(now, usegmt=True)}", "Server: api-gateway"]
    if reply.body:
        lines.append(f"Content-Type: {reply.content_type}")
    lines.append(f"X-Request-Id: {request_id}")
    lines.extend(f"{name}: {value}" for name, value in reply.headers)
    lines.append("Transfer-Encoding: chunked" if reply.chunked else f"Content-Length: {len(reply.body)}")
    lines.append("Connection: close" if reply.close else "Connection: keep-alive")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    if not reply.chunked:
        return head + reply.body
    chunk = b"%x\r\n%s\r\n" % (len(reply.body), reply.body) if reply.body else b""
    return head + chunk + b"0\r\n\r\n"
