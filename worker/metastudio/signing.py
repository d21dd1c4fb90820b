"""SDK-HMAC-SHA256, the gateway's signature: its four steps are the four functions, in the order of the specification.

Every attempt gets a new signature: a retry that repeats an old X-Sdk-Date fails with 401 "signature expired".
`TokenAuth` is the alternative to a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from requests.auth import AuthBase

from worker.model.errors import UsageError

if TYPE_CHECKING:
    from requests import PreparedRequest

    from worker.metastudio.credentials import Credentials

ALGORITHM: Final = "SDK-HMAC-SHA256"
DATE_FORMAT: Final = "%Y%m%dT%H%M%SZ"
EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()

# In the order of their names, in which they are signed.
_SIGNED_IF_PRESENT: Final = ("Host", "X-App-UserId", "X-Project-Id", "X-Sdk-Date", "X-Security-Token")
_NEEDS_NO_QUOTING: Final = re.compile(r"[A-Za-z0-9._~/-]*")


def canonical_request(
    method: str,
    path: str,
    query: str | Iterable[tuple[str, str]],
    signed_headers: Sequence[tuple[str, str]],
    body: bytes | str,
) -> str:
    """Step 1: the request as one text.

    `path` is raw or percent-encoded; like the official SDK it is decoded before it is split at "/".
    `query` is a query string as sent, or pairs not yet encoded. `signed_headers` are (lower-case name, value);
    a verifier passes exactly those that SignedHeaders names. `body` is the bytes, or a text that stands in for
    their hash (`UNSIGNED-PAYLOAD`, or the hash itself).
    """
    headers = sorted(signed_headers, key=_name)
    lines = "".join([f"{name}:{value.strip()}\n" for name, value in headers])
    names = ";".join([name for name, _ in headers])
    if isinstance(body, bytes):
        body = hashlib.sha256(body).hexdigest() if body else EMPTY_HASH
    return f"{method.upper()}\n{canonical_path(path)}\n{canonical_query(query)}\n{lines}\n{names}\n{body}"


def string_to_sign(date: str, canonical: str) -> str:
    """Step 2. `date` is the text of X-Sdk-Date."""
    return f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def signature(sk: str, text: str) -> str:
    """Step 3. The secret key is used as it is: no key is derived, and no region or service takes part."""
    return hmac.digest(sk.encode(), text.encode(), "sha256").hex()


def authorization(ak: str, signed_names: Iterable[str], signed: str) -> str:
    """Step 4: the value of the Authorization header. `signed_names` are lower case."""
    return f"{ALGORITHM} Access={ak}, SignedHeaders={';'.join(sorted(signed_names))}, Signature={signed}"


def canonical_path(path: str) -> str:
    """The path encoded once, with the final "/" that is signed but never sent."""
    if not _NEEDS_NO_QUOTING.fullmatch(path):
        path = quote(unquote(path), safe="~/")
    return path if path.endswith("/") else f"{path}/"


def canonical_query(query: str | Iterable[tuple[str, str]]) -> str:
    """Sorted before it is encoded, as the official SDK does; a name without a value becomes `name=`."""
    if not query:
        return ""
    if isinstance(query, str):
        parts = (part.partition("=") for part in query.split("&") if part)
        query = [(unquote(name), unquote(value)) for name, _, value in parts]
    return "&".join([f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query)])


class SdkHmacSha256(AuthBase):
    """Signs a prepared request; has no state, so that threads may share it.

    `signed_at` replaces this machine's clock once the gateway has said that it is wrong.
    """

    def __init__(self, credentials: Credentials, *, signed_at: datetime | None = None) -> None:
        if signed_at is not None and signed_at.tzinfo is None:
            raise UsageError("signed_at: use a datetime with a time zone; found none")
        self._credentials = credentials
        self._signed_at = signed_at

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        credentials = self._credentials
        headers = request.headers
        date = (self._signed_at.astimezone(UTC) if self._signed_at else datetime.now(UTC)).strftime(DATE_FORMAT)
        netloc, path, query = _split(request.url or "")
        headers["X-Sdk-Date"] = date
        headers.setdefault("Host", netloc)
        if credentials.project_id:
            headers.setdefault("X-Project-Id", credentials.project_id)
        if credentials.security_token:
            headers["X-Security-Token"] = credentials.security_token
        else:
            headers.pop("X-Security-Token", None)  # signed before with a temporary key, now with a permanent one
        signed = [(name.lower(), str(headers[name])) for name in _SIGNED_IF_PRESENT if name in headers]
        canonical = canonical_request(request.method or "GET", path, query, signed, _body(request))
        signed_text = signature(credentials.sk, string_to_sign(date, canonical))
        headers["Authorization"] = authorization(credentials.ak, [name for name, _ in signed], signed_text)
        return request


class TokenAuth(AuthBase):
    """Sends a token of IAM in place of a signature. Shows nothing of it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        for name in ("Authorization", "X-Sdk-Date", "X-Security-Token"):
            request.headers.pop(name, None)  # the gateway would check them first
        request.headers["X-Auth-Token"] = self._token
        return request


def _split(url: str) -> tuple[str, str, str]:
    """Host with port, path and query of an absolute URL; a third of the time of `urlsplit`."""
    _, _, rest = url.partition("#")[0].partition("://")
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    return netloc.rpartition("@")[2], slash + path, query


def _body(request: PreparedRequest) -> bytes:
    body = request.body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    raise UsageError(f"only bytes and text can be signed as a body; found {type(body).__name__}")


def _name(header: tuple[str, str]) -> str:
    return header[0]
