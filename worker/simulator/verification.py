"""Verifies a request's signature, computed only from the received bytes; and locks a key that failed too often.

An independent implementation of SDK-HMAC-SHA256 on purpose: it shares no line with `worker.metastudio.signing`, so each
checks the other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import quote, unquote_to_bytes

from worker.model.errors import UsageError
from worker.simulator.http1 import Request
from worker.simulator.limits import Locks

WINDOW_S = 15 * 60  # the gateway's clock window (API reference 3.3)
LOCK_S = 5 * 60.0  # how long a key that failed too often is refused (3.2)
FAILURES_ALLOWED = 5  # in a row; one more locks the key (3.2)

_AUTHORIZATION = re.compile(
    r"SDK-HMAC-SHA256 Access=(?P<ak>[^,\s]+), ?SignedHeaders=(?P<names>[^,\s]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_SDK_DATE = re.compile(r"\d{8}T\d{6}Z")
_PREFIX = "Incorrect IAM authentication information: "


class Refused(StrEnum):
    """Why a request's identity is refused."""

    MISSING = "missing"  # no readable Authorization
    UNKNOWN_KEY = "unknown_key"  # no such key, disabled, or its security token is missing or wrong
    DATE = "date"  # X-Sdk-Date missing, garbled or not signed
    EXPIRED = "expired"  # signed more than 15 minutes away from the server's clock
    SIGNATURE = "signature"
    LOCKED = "locked"  # failed more than five times in a row
    TOKEN = "token"  # noqa: S105 - garbled, never issued, or every token is refused on request
    TOKEN_EXPIRED = "token_expired"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 401, or for a token a 400. `message` is the gateway's own text if it is known."""

    reason: Refused
    message: str
    code: str = "APIGW.0301"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key and the projects it may work in. `sees_jobs=False` is a sub-account that jobs are hidden from, with
    `sees_library=False` assets and voice jobs are.
    """

    ak: str
    sk: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    projects: tuple[str, ...] = ()
    enabled: bool = True
    sees_jobs: bool = True
    sees_library: bool = True
    ends: float | None = None  # of a temporary key; monotonic


@dataclass(frozen=True, slots=True)
class Authorization:
    """The fields of an Authorization header."""

    ak: str
    names: tuple[str, ...]  # the signed headers, lower-case and sorted
    signature: str


def read_authorization(request: Request) -> Authorization | None:
    """Parse the Authorization header; None when it is missing or garbled."""
    found = _AUTHORIZATION.fullmatch(request.header.get("authorization", ""))
    if found is None:
        return None
    return Authorization(found["ak"], tuple(sorted(found["names"].lower().split(";"))), found["signature"])


def canonical_request(request: Request, names: tuple[str, ...]) -> str:
    """Rebuild the signed request: the path is split first and then decoded, the body is as received."""
    path = "/".join(_encode(unquote_to_bytes(part)) for part in _raw(request.path).split(b"/"))
    pairs = sorted(_pair(part) for part in _raw(request.query).split(b"&") if part)
    query = "&".join(f"{_encode(name)}={_encode(value)}" for name, value in pairs)
    values = request.header
    headers = "".join(f"{name}:{values.get(name, '')}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    slash = "" if path.endswith("/") else "/"
    return f"{request.method}\n{path}{slash}\n{query}\n{headers}\n{';'.join(names)}\n{body}"


def check(request: Request, claim: Authorization, sk: str, now: datetime) -> Refusal | None:
    """Check date and signature against the server's clock `now`; None means that the signature is valid."""
    date = request.header.get("x-sdk-date", "")
    signed_at = _read_date(date)
    if signed_at is None or "x-sdk-date" not in claim.names:
        return Refusal(Refused.DATE, f"{_PREFIX}calc aksk signature fail:x-sdk-date is missing, garbled or not signed")
    if abs((now - signed_at).total_seconds()) > WINDOW_S:
        times = f"signature time:{date},server time:{now:%Y%m%dT%H%M%SZ}"
        return Refusal(Refused.EXPIRED, f"{_PREFIX}calc aksk signature fail:signature expired, {times}")
    canonical = canonical_request(request, claim.names)
    if hmac.compare_digest(_signature(canonical, date, sk), claim.signature):
        return None
    echo = canonical.replace("\n", "|")
    return Refusal(Refused.SIGNATURE, f"{_PREFIX}verify aksk signature fail, canonicalRequest:{echo}")


class KeyRing:
    """The credentials that exist, and the locks of those that failed too often."""

    def __init__(self, credentials: tuple[Credential, ...] = (), lock_s: float = LOCK_S) -> None:
        self.locks: Locks[str] = Locks(FAILURES_ALLOWED + 1, lock_s)
        self._credentials = {credential.ak: credential for credential in credentials}

    def put(self, credential: Credential) -> None:
        """Add a credential, or replace the one of the same key. A lock stays."""
        self._credentials[credential.ak] = credential

    def get(self, ak: str) -> Credential:
        if ak not in self._credentials:
            raise UsageError(f"credential {ak}: there is no such key")
        return self._credentials[ak]

    def expire(self, now: float) -> int:
        """End every temporary key; returns how many were valid."""
        alive = [one for one in self._credentials.values() if one.ends is not None and one.ends > now]
        for one in alive:
            self.put(replace(one, ends=now))
        return len(alive)

    def remove(self, ak: str) -> None:
        self._credentials.pop(ak, None)

    def admit(self, request: Request, now: datetime, monotonic: float) -> Credential | Refusal:
        """Find the caller, or why it is refused; a failure counts towards the key's lock."""
        if (claim := read_authorization(request)) is None:
            return Refusal(Refused.MISSING, f"{_PREFIX}x-auth-token not found")
        if self.locks.locked(claim.ak, monotonic):
            return _LOCKED
        credential = self._credentials.get(claim.ak)
        refusal: Refusal | None
        ended = credential is not None and credential.ends is not None and monotonic >= credential.ends
        if credential is None or ended or not credential.enabled or not _token_matches(request, credential):
            refusal = Refusal(Refused.UNKNOWN_KEY, f"{_PREFIX}Get secretKey failed")
        else:
            refusal = check(request, claim, credential.sk, now)
            if refusal is None:
                self.locks.succeed(claim.ak)
                return credential
        return _LOCKED if self.locks.fail(claim.ak, monotonic) else refusal


_LOCKED = Refusal(Refused.LOCKED, f"{_PREFIX}AK access failed to reach the limit,forbidden.")


def _token_matches(request: Request, credential: Credential) -> bool:
    if credential.security_token is None:
        return True
    sent = request.header.get("x-security-token", "")
    return hmac.compare_digest(_raw(sent), credential.security_token.encode())


def _read_date(text: str) -> datetime | None:
    if not _SDK_DATE.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _signature(canonical: str, date: str, sk: str) -> str:
    digest = hashlib.sha256(_raw(canonical)).hexdigest()
    return hmac.new(sk.encode(), f"SDK-HMAC-SHA256\n{date}\n{digest}".encode(), hashlib.sha256).hexdigest()


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pair(part: bytes) -> tuple[bytes, bytes]:
    name, _, value = part.partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value)


def _encode(raw: bytes) -> str:
    return quote(raw, safe="")
