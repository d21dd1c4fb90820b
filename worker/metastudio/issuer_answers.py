"""Interprets the answers of IAM and of others who issue keys: a life, a refusal, a lock, and how long each is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from worker.metastudio.exchange import Reply
from worker.metastudio.parsing import read_answer
from worker.metastudio.response import IAM, Response, TransportFailure
from worker.metastudio.targets.adapter import read_time

REFUSED_WAIT_S: Final = 60.0  # between two passwords that may be wrong
LOCKED_WAIT_S: Final = 15 * 60.0  # IAM's default lock; a try before its end may extend it
AWAY_WAIT_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)  # after each missing answer in a row; the last one repeats
RETRY_AFTER_MOST_S: Final = 15 * 60.0

LOCKED: Final = "IAM.0061"
_WRONG_PASSWORD: Final = 401


def failed(reply: Reply, secrets: Iterable[str], issuer: str, *, given: int) -> Response:
    """The issuer's answer, redacted. given: the status of an answer with what was asked for, which is never quoted."""
    response = read_answer(reply, secrets=secrets, quote_message=reply.status != given)
    if reply.status == given:
        response = replace(response, message=f"no usable {'token' if issuer == IAM else 'key'} came with it")
    # {"error": {"code": 401, …}} only repeats the status
    code = None if response.code == str(response.status) else response.code
    return replace(response, of_iam=True, issuer=issuer, code=code)


def silent(failure: TransportFailure, ms: int) -> Response:
    return Response(None, failure, None, None, None, ms, of_iam=True)


def is_locked(response: Response) -> bool:
    """Whether IAM says that the user is locked after too many wrong passwords."""
    return response.code == LOCKED or "locked" in (response.message or "").lower()


def is_refused(response: Response) -> bool:
    """Whether the user is refused: the password is wrong, or the user is locked."""
    return response.status == _WRONG_PASSWORD or (response.status is not None and is_locked(response))


def wait_s(response: Response, in_a_row: int) -> float:
    """How long an answer without a token stays valid."""
    if response.is_permanent_error:
        return LOCKED_WAIT_S if is_locked(response) else REFUSED_WAIT_S
    away_s = AWAY_WAIT_S[min(in_a_row, len(AWAY_WAIT_S)) - 1]
    return max(away_s, min(response.retry_after_s or 0.0, RETRY_AFTER_MOST_S))


def token_life_s(reply: Reply) -> float:
    """A token's life. Endless if the answer does not say."""
    try:
        token = json.loads(reply.body)["token"]
        life = life_s(reply, token["expires_at"], token.get("issued_at"))
        return life if life > 0 else float("inf")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return float("inf")


def life_s(reply: Reply, expires_at: object, issued_at: object = None) -> float:
    """The life of what was issued, by the issuer's clock alone where it says the time, because ours may be wrong.

    Endless where nobody says; 0 or less where the issuer itself says that it is over.
    """
    ends, begins = read_time(expires_at), read_time(issued_at)
    if ends is None:
        return float("inf")
    theirs = begins or read_answer(reply, secrets=(), quote_message=False).date
    life_s = (ends - (theirs or datetime.now(UTC))).total_seconds()
    return life_s if theirs or life_s > 0 else float("inf")
