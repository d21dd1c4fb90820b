"""Problem details (RFC 9457): one small document, the same form for every answer that is not a success.

A problem never repeats the input: a body may contain an app user, a header a token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import redis
from starlette.responses import Response

from worker.interfaces.web.bounded_pool import Busy
from worker.model.errors import (
    EraserError,
    NotConfirmed,
    OtherEndpoint,
    OtherSchema,
    RefusedBySafetyRule,
    UnknownProject,
    Unreachable,
    UsageError,
)
from worker.services.show import DamagedJob, UnknownJob

MEDIA_TYPE = "application/problem+json"
# Retry-After: Redis restarts within seconds; a full one must drain, and a wrong file must be corrected by a person
AWAY_S, FULL_S, WRONG_S = 5, 60, 60


class Problem(Exception):
    """An answer that is not a success. `name` is for programs (the last part of `type`), `detail` for people."""

    def __init__(
        self, status: int, name: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail = status, name, detail
        self.headers, self.more = dict(headers or {}), more

    def as_json(self) -> dict[str, Any]:
        return {
            "type": f"urn:avatar-eraser:{self.name}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }


def response(problem: Problem) -> Response:
    """The problem as a response."""
    body = json.dumps(problem.as_json())  # in ASCII: the input may contain half a surrogate pair
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)


def of(error: Exception) -> Problem:
    """One of our errors as a problem."""
    match error:
        case Problem():
            return error
        case Busy():
            return busy()
        case NotConfirmed():
            return Problem(503, error.type, str(error), headers={"Retry-After": str(AWAY_S)})
        case Unreachable():
            return away(str(error))
        case RefusedBySafetyRule() if error.rule == "memory":
            return Problem(503, "redis-full", str(error), headers={"Retry-After": str(FULL_S)})
        case UnknownProject():
            detail = 'this server does not know this project; to allow it, send "allow_project": true'
            return Problem(404, "unknown-project", f"{detail}. Nothing was recorded")
        case RefusedBySafetyRule():
            return Problem(409, "refused", str(error), rule=error.rule)
        case OtherEndpoint():
            detail = "this server's settings and its ledger name different MetaStudios: see eraser doctor there"
            return Problem(503, "other-endpoint", detail, headers={"Retry-After": str(WRONG_S)})
        case OtherSchema():
            detail = "this server's program does not know the version of its ledger: see eraser doctor there"
            return Problem(503, "other-schema", detail, headers={"Retry-After": str(WRONG_S)})
        case UnknownJob():
            return Problem(404, "unknown-deletion", "no deletion of this job was requested in this project")
        case DamagedJob():
            return Problem(409, "damaged", str(error))
        case UsageError() | EraserError():
            return Problem(422, "invalid", str(error))
        case redis.RedisError():
            return away(f"Redis answers with an error ({type(error).__name__})")
        case _:
            return Problem(500, "fault", "internal error; see the server's log")


def away(why: str) -> Problem:
    """Redis is unreachable. The request may have been recorded if Redis's answer was lost: sending it again merges."""
    detail = f"{why.removesuffix(', then try again')}. Send it again: requests for the same job merge"
    return Problem(503, "redis-away", detail, headers={"Retry-After": str(AWAY_S)})


def no_tokens() -> Problem:
    """The token file cannot be read: no token is accepted until a person has corrected it."""
    detail = "the server's file of tokens is wrong; its log, and eraser doctor there, say how"
    return Problem(503, "tokens-wrong", detail, headers={"Retry-After": str(WRONG_S)})


def busy() -> Problem:
    """Too many requests are in progress to answer in time."""
    return Problem(503, "busy", "too many requests wait for Redis; nothing was done", headers={"Retry-After": "1"})
