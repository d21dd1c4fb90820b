"""Turns received bytes into values; never raises, whatever was received.

Of the bodies of Show and List only the fields of a row are kept: the rest has phone numbers and links to ID cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from worker.metastudio.exchange import Reply
from worker.metastudio.redaction import redact
from worker.metastudio.response import Body, Listing, Response, Shown
from worker.metastudio.signing import DATE_FORMAT
from worker.metastudio.targets.adapter import Adapter, text
from worker.metastudio.targets.avatar_job import AVATAR_JOB

_CODE: Final = re.compile(r"[0-9A-Za-z._-]{1,32}")
_NOT_IN_A_REQUEST_ID: Final = re.compile(r"[^0-9A-Za-z._:-]")
_SERVER_TIME: Final = re.compile(r"server time:\s*(2[0-9]{7}T[0-9]{6}Z)")  # year 9999 could not advance
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def read_answer(reply: Reply, *, secrets: Iterable[str], quote_message: bool = True, dated: bool = True) -> Response:
    """The part of an answer that may be kept. `quote_message=False` for an answer that may describe a person;
    `dated=False` if the server's clock is not needed."""
    if reply.status is None:
        return Response(
            None, reply.failure, None, reply.why, None, reply.ms, sent_at=reply.sent_at, obstacle=reply.obstacle
        )
    kind, document, _ = _open(reply)
    secrets = tuple(secrets)
    error = _error(document)
    message = text(error, "error_msg", "errorMsg", "message", "error", "excute_failed_msg") if quote_message else None
    date = http_date(reply.headers.get("Date")) if dated or "Retry-After" in reply.headers else None
    return Response(
        status=reply.status,
        failure=None,
        code=_code(error, secrets),
        message=redact(message, secrets=secrets) if message else None,
        request_id=_request_id(reply.headers.get("X-Request-Id"), document.get("request_id"), secrets),
        ms=reply.ms,
        body=kind,
        truncated=reply.truncated,
        retry_after_s=_retry_after(reply.headers.get("Retry-After"), date),
        server_time=_server_time(message),
        date=date,
        sent_at=reply.sent_at,
    )


def read_listing(reply: Reply, adapter: Adapter = AVATAR_JOB, *, secrets: Iterable[str]) -> Listing:
    """Well-formed is: 200, complete, `count` a number, and every row an object with a text id and state."""
    response = read_answer(reply, secrets=secrets, quote_message=reply.status != 200)
    document = _document_of_200(reply)
    count, resources = document.get("count"), document.get(adapter.rows)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0 or not isinstance(resources, list):
        return Listing(response, None, None)
    rows = tuple(row for row in map(adapter.read_row, resources) if row is not None)
    if len(rows) != len(resources):
        return Listing(response, None, None)
    return Listing(response, count, rows)


def read_shown(reply: Reply, id: str, adapter: Adapter = AVATAR_JOB, *, secrets: Iterable[str]) -> Shown:
    """Well-formed is: 200, complete, and an object that describes what was asked for."""
    response = read_answer(reply, secrets=secrets, quote_message=reply.status != 200)
    row = adapter.read_row(_document_of_200(reply))
    return Shown(response, row if row is not None and row.id == id else None)


def _open(reply: Reply) -> tuple[Body, Mapping[str, Any], bool]:
    """The kind of the body, its JSON object (empty if it is none), and whether it was clean UTF-8."""
    if not reply.body.strip():
        return Body.EMPTY, {}, True
    text = reply.body.decode("utf-8-sig", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # digits without end are a ValueError, brackets without end a RecursionError
        html = "html" in reply.headers.get("Content-Type", "").lower() or text.lstrip()[:1] == "<"
        return (Body.HTML if html else Body.OTHER), {}, False
    if not isinstance(document, dict):
        return Body.OTHER, {}, False
    return Body.JSON, document, _is_utf8(reply.body)


def _document_of_200(reply: Reply) -> Mapping[str, Any]:
    _, document, clean = _open(reply)
    return document if clean and reply.status == 200 and not reply.truncated else {}


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _error(document: Mapping[str, Any]) -> Mapping[str, Any]:
    # "error_info": with it these calls say within a 200 that nothing was done (API reference, 1)
    return next(
        (nested for name in ("error", "error_info") if isinstance(nested := document.get(name), dict)), document
    )


def _code(error: Mapping[str, Any], secrets: Iterable[str]) -> str | None:
    for key in ("error_code", "errorCode", "code"):
        value = error.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**31:
            value = str(value)
        if isinstance(value, str) and _CODE.fullmatch(value) and value not in secrets:
            return value
    return None


def _request_id(header: str | None, in_body: object, secrets: Iterable[str]) -> str | None:
    for value in (header, in_body):
        if isinstance(value, str):
            cleaned = _NOT_IN_A_REQUEST_ID.sub("", redact(value, secrets=secrets))[:64]
            if cleaned:
                return cleaned
    return None


def http_date(text: str | None) -> datetime | None:
    """A Date header as a time, or None if it is invalid."""
    if not text or len(text) > 64:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _retry_after(text: str | None, date: datetime | None) -> float | None:
    """Seconds from now; a date is counted from the answer's own Date, so that our clock does not matter."""
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = http_date(text)
    return max(0.0, (until - (date or datetime.now(UTC))).total_seconds()) if until else None


def _server_time(message: str | None) -> datetime | None:
    found = _SERVER_TIME.search(message or "")
    try:
        return datetime.strptime(found[1], DATE_FORMAT).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
