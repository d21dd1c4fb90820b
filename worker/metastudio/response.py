"""MetaStudio's response, or why there is none: values, never exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from worker.metastudio.targets.adapter import Row
from worker.model.quota import Quota

IAM: Final = "IAM"
ECHO: Final = ", canonicalRequest:"  # what the gateway says after a wrong signature is only what it was sent


class TransportFailure(StrEnum):
    """Why there is no HTTP status. Only `NOT_SENT` proves that the server never got the request."""

    NOT_SENT = "not_sent"  # refused, unknown host, TLS failed, connect timed out: no connection was made
    RESET = "reset"  # the connection broke after the request may have been sent
    TIMEOUT = "timeout"  # no answer within the read timeout or the total deadline
    GARBLED = "garbled"  # bytes came that are not HTTP


class Obstacle(StrEnum):
    """What stood in the way of a connection, where a person can change it; nothing was sent."""

    ISSUER = "issuer"  # none of the trusted CAs issued the server's certificate, or it breaks a rule
    HOST = "host"  # it is for another host
    TIME = "time"  # it has expired, or is not valid yet
    PROXY = "proxy"  # the proxy is away, silent, or none
    PROXY_LOGIN = "proxy_login"  # it wants a user and a password, or others
    PROXY_RULE = "proxy_rule"  # it does not connect to this host
    PROXY_TARGET = "proxy_target"  # it cannot reach the host


class Body(StrEnum):
    """The kind of the body. Bodies themselves are never kept, because they may hold personal data."""

    EMPTY = "empty"
    JSON = "json"  # a JSON object
    HTML = "html"
    OTHER = "other"  # anything else, truncated JSON included


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Which token of IAM a call used, by number; never the token itself."""

    project_id: str
    number: int  # later ones are higher


@dataclass(frozen=True, slots=True)
class Response:
    """The result of one call. Source of the fields: the API reference of `Delete2dModelTrainingJob` and the API
    gateway's.
    """

    status: int | None  # HTTP status; None without a response
    failure: TransportFailure | None  # None when a status line came
    code: str | None  # `error_code`, e.g. "MSS.00000003" or "APIGW.0308"; at most 32 characters
    message: str | None  # `error_msg`, redacted, at most 200 bytes
    request_id: str | None  # X-Request-Id header, else the body's request_id; at most 64 characters
    ms: int  # milliseconds from the first byte sent to the end
    body: Body = Body.EMPTY
    truncated: bool = False  # the body ended before its declared length, at the deadline, or above the size bound
    retry_after_s: float | None = None  # Retry-After in seconds (a date is turned into seconds), never negative
    server_time: datetime | None = None  # UTC; from "server time:…" of a refused signature, else None
    date: datetime | None = None  # UTC; the Date header
    of_iam: bool = False  # IAM's response, or another issuer's, to our request for a token or a key: nothing was sent
    issuer: str = IAM  # …for people
    sent_at: float | None = field(default=None, compare=False)  # `time.monotonic` of the first byte; None: not sent
    token: TokenUse | None = field(default=None, repr=False, compare=False)  # what `Client.renew` needs of a refusal
    signed_at: datetime | None = field(default=None, compare=False)  # of a refusal: what the call was signed with
    meaning: str | None = None  # what the adapter says of this status and code, where it says anything
    quota: Quota | None = None  # what the gateway said of its limit, where the call asked for it
    obstacle: Obstacle | None = None  # to a connection; then `message` says why

    @property
    def is_permanent_error(self) -> bool:
        """A status of 4xx that a later try does not change: neither 408 nor 429."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (408, 429)

    def in_words(self) -> str:
        """On one line for people: status, code and message, or why there are none."""
        who = f"{self.issuer}: " if self.of_iam else ""
        parts = (
            (self.status, self.code, (self.message or "").partition(ECHO)[0])
            if self.status
            else (f"no answer ({self.message or self.failure})",)
        )
        return who + " ".join(str(part) for part in parts if part)


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a list call. `count` and `rows` are None unless a well-formed 200 came."""

    response: Response
    count: int | None
    rows: tuple[Row, ...] | None


@dataclass(frozen=True, slots=True)
class Shown:
    """The result of a show call. `row` is None unless a well-formed 200 came."""

    response: Response
    row: Row | None
