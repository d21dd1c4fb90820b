"""Turns received bytes into values; never raises, whatever was received.

Of the bodies of Show and List only the fields of `JobRow` are kept: the rest has phone numbers and links to ID cards.
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
from worker.metastudio.response import Body, JobRow, Listing, Response, Shown
from worker.metastudio.signing import DATE_FORMAT

_CODE: Final = re.compile(r"[0-9A-Za-z._-]{1,32}")
_NOT_IN_A_REQUEST_ID: Final = re.compile(r"[^0-9A-Za-z._:-]")
_SERVER_TIME: Final = re.compile(r"server time:\s*(2[0-9]{7}T[0-9]{6}Z)")  # year 9999 could not advance
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def read_answer(reply: Reply, *, secrets: Iterable[str], quote_message: bool = True, dated: bool = True) -> Response:
    """The part of an answer that may be kept. `quote_message=False` for an answer that may describe a person;
    `dated=False` if the server's clock is not needed."""
    if reply.status is None:
        return Response(None, reply.failure, None, None, None, reply.ms, sent_at=reply.sent_at)
    kind, document, _ = _open(reply)
    secrets = tuple(secrets)
    error = _error(document)
    message = _text(error, "error_msg", "errorMsg", "message", "error", "excute_failed_msg") if quote_message else None
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


def read_listing(reply: Reply, *, secrets: Iterable[str]) -> Listing:
    """Well-formed is: 200, complete, `count` a number, and every job an object with a text job_id and state."""
    response = read_answer(reply, secrets=secrets, quote_message=reply.status != 200)
    document = _document_of_200(reply)
    count, jobs = document.get("count"), document.get("jobs")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0 or not isinstance(jobs, list):
        return Listing(response, None, None)
    rows = tuple(row for row in map(_row, jobs) if row is not None)
    if len(rows) != len(jobs):
        return Listing(response, None, None)
    return Listing(response, count, rows)


def read_shown(reply: Reply, job_id: str, *, secrets: Iterable[str]) -> Shown:
    """Well-formed is: 200, complete, and an object that describes the requested job."""
    response = read_answer(reply, secrets=secrets, quote_message=reply.status != 200)
    row = _row(_document_of_200(reply))
    return Shown(response, row if row is not None and row.job_id == job_id else None)


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


def _text(source: Mapping[str, Any], *keys: str) -> str | None:
    return next((value for key in keys if isinstance(value := source.get(key), str)), None)


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


def _row(job: object) -> JobRow | None:
    if not isinstance(job, dict):
        return None
    job_id, state = job.get("job_id"), job.get("state")
    if not isinstance(job_id, str) or not isinstance(state, str) or not job_id or not state:
        return None
    tags = job.get("tags")
    is_flexus = job.get("is_flexus")
    return JobRow(
        job_id=job_id,
        state=state,
        create_time=read_time(job.get("create_time")),
        last_update_time=read_time(job.get("last_update_time")),
        asset_id=_text(job, "asset_id"),
        voice_train_job_id=_text(job, "voice_train_job_id"),
        app_user_id=_text(job, "app_user_id"),
        project_id=_text(job, "project_id"),
        batch_name=_text(job, "batch_name"),
        name=_text(job, "name"),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        model_resolution=_text(job, "model_resolution"),
        is_flexus=is_flexus if isinstance(is_flexus, bool) else None,
    )


def read_time(value: object) -> datetime | None:
    """RFC 3339 with its offset. A time without one is unknown: a guess could make a job eight hours too old."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
