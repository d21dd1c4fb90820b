"""Bearer tokens: scopes, storage and lookup. Pure, except `make`.

    [shop]                               # the name that is recorded as the requester
    hash = "sha256:9f86d081…"            # of the token; the token itself is nowhere
    scopes = ["request", "read"]
    projects = ["0605768a…"]             # optional: these and no others
    previous = "sha256:60303ae2…"        # after a rotation, if the token before it still counts: until when
    previous_until = 2026-11-28T12:00:00Z

A token is 256 random bits, which cannot be guessed: one round of SHA-256 hides it as well as bcrypt would, and costs
a microsecond per request instead of a tenth of a second. bcrypt is for passwords that people can remember.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from worker.config.personal import personal
from worker.config.problems import Problems
from worker.config.tables import A_NAME, NAME, Reader, is_list, project_ids, read_table, reader
from worker.config.toml import Place, Toml
from worker.model.errors import UsageError

PREFIX = "eraser_"  # so that secret scanners, and our own log, recognise a token
BYTES = 32
LOOKS = re.compile(PREFIX + r"[0-9A-Za-z_-]{43}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class Scope(StrEnum):
    """What a token may do. `operate` includes the other two."""

    REQUEST = "request"  # request deletions
    READ = "read"  # see them, and the metrics
    OPERATE = "operate"  # the actions of operators: cancel, and everything on the console's pages


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token as the file knows it."""

    name: str
    hash: str
    scopes: frozenset[Scope]
    projects: frozenset[str] = frozenset()  # none: every project
    made: datetime | None = field(default=None, compare=False)  # None: written by hand
    previous: str | None = None  # the hash before the last rotation,
    previous_until: datetime | None = None  # which counts until then

    def hashes(self, now: datetime | None) -> tuple[str, ...]:
        """Every hash that counts at this time. None: a time at which no earlier token counts."""
        old, until = self.previous, self.previous_until
        return (self.hash, old) if old and until and now and now < until else (self.hash,)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.OPERATE in self.scopes

    def sees(self, project_id: str) -> bool:
        return not self.projects or project_id in self.projects


def mint(entropy: bytes) -> str:
    """A new token from 32 random bytes."""
    if len(entropy) != BYTES:
        raise ValueError(f"a token is made of {BYTES} random bytes")
    return PREFIX + base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()


def hashed(token: str) -> str:
    """How a token is kept."""
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def find(tokens: Iterable[ApiToken], presented: str, now: datetime | None = None) -> ApiToken | None:
    """Find the presented token. Compares all of them in constant time, so that the response time reveals nothing."""
    if not LOOKS.fullmatch(presented):
        return None
    wanted, found = hashed(presented), None
    for token in tokens:
        for known in token.hashes(now):
            if hmac.compare_digest(known, wanted):
                found = token
    return found


def read(text: str, where: str) -> tuple[ApiToken, ...]:
    """The tokens of a TOML text; `where` it comes from, for errors. Raises `UsageError` for all that is invalid."""
    toml, problems = Toml.parse(text, where, _refuse), Problems()
    tokens: list[ApiToken] = []
    for name, table in toml.content.items():
        with problems:
            tokens.append(_token(toml.at(name), name, table))
    twice = {token.hash for token in tokens if sum(token.hash == other.hash for other in tokens) > 1}
    with problems:
        if twice:
            names = " and ".join(token.name for token in tokens if token.hash in twice)
            raise toml.at().refuse(f"{names} have the same hash: make a token for each")
    problems.settle()
    return tuple(tokens)


def _refuse(where: str, why: str) -> UsageError:
    return UsageError(f"{where}: {why}")


def make(name: str, scopes: Iterable[Scope], *, projects: Iterable[str] = ()) -> tuple[ApiToken, str]:
    """A new token, and its secret, which is stored nowhere. Raises `UsageError` for an invalid name."""
    secret = mint(secrets.token_bytes(BYTES))
    if found := personal(name):
        raise UsageError(f"token name: this has the form of {found}; name the service that uses it")
    return ApiToken(check_name(name), hashed(secret), frozenset(scopes), frozenset(projects)), secret


def section(token: ApiToken, now: datetime) -> str:
    """The token's lines in the file."""
    lines = [f"[{token.name}]", f'hash = "{token.hash}"', f"scopes = {_texts(token.scopes)}"]
    if token.projects:
        lines.append(f"projects = {_texts(token.projects)}")
    return "\n".join([*lines, f"made = {_moment(now)}", ""])


def rotated(token: ApiToken, now: datetime, *, overlap: timedelta) -> tuple[list[str], str]:
    """The lines that replace those of its hash, and the new secret. overlap: for how long the old one still counts."""
    secret = mint(secrets.token_bytes(BYTES))
    lines = [f'hash = "{hashed(secret)}"', f"made = {_moment(now)}"]
    if overlap:
        lines += [f'previous = "{token.hash}"', f"previous_until = {_moment(now + overlap)}"]
    return lines, secret


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def check_name(name: str) -> str:
    """The name if it is valid. Raises `UsageError`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"token name {name[:40]!r}: expected {A_NAME}; name the service that uses it")
    return name


def _token(place: Place, name: str, table: Any) -> ApiToken:
    check_name(name)
    if not isinstance(table, dict):
        raise place.refuse("expected a table of its own; make one with: eraser console tokens create NAME")
    values = read_table(place, table, _KEYS, required=("hash", "scopes"))
    times = {key: values.get(key) for key in ("made", "previous", "previous_until")}
    return ApiToken(name, values["hash"], values["scopes"], frozenset(values.get("projects", ())), **times)


def _scopes(scopes: list[str]) -> frozenset[Scope]:
    if not scopes or not set(scopes) <= set(Scope):
        raise UsageError(f"expected one or more of {', '.join(Scope)}")
    return frozenset(map(Scope, scopes))


_NOT_EMPTY = "ids of projects; an empty list would allow none: name some, or leave it out for all"
_A_HASH = reader(  # it may be the token itself
    '"sha256:" and 64 hexadecimal digits, never the token itself',
    lambda value: _HASH.fullmatch(str(value)),
    secret=True,
)
_A_TIME = reader(
    "a time with its zone: {key} = 2026-11-28T12:00:00Z",
    lambda value: isinstance(value, datetime) and value.tzinfo is not None,
)
_KEYS: dict[str, Reader] = {
    "hash": _A_HASH,
    "scopes": reader('a list of texts: {key} = ["…"]', is_list, _scopes),
    "projects": project_ids(_NOT_EMPTY, least=1),
    "made": reader("", lambda _: True, lambda value: value if isinstance(value, datetime) else None),
    "previous": _A_HASH,
    "previous_until": _A_TIME,
}


def _texts(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in sorted(values)) + "]"
