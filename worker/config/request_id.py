"""The id of the HTTP request that this task or thread works on. Its answer, the log, the audit and traces carry it."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from typing import Final

HTTP_REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("http_request_id", default=None)  # None: there is none


def new_request_id() -> str:
    return secrets.token_hex(16)
