"""Sessions: a cookie with a random id, a form token derived from it, and the password if one is set.

A password or a one-time link (`worker.services.console_links`) begins a session: a key in Redis that expires. Its name
is the id's hash, so that a reader of Redis cannot take over a session. Its value is a hash of the password that
was set then: one that is set later or changed ends every session.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from worker.execution.app_context import AppContext
from worker.ledger.redis_read import read_redis

COOKIE = "eraser-session"
WHO = "eraser-who"  # who acts, as given in a form; an opaque id, remembered for the next form
NOTICE = "eraser-notice"  # the result of the last action, for the next page
LIFE_S = 12 * 3600  # a working day; it is not extended
TRIES, TRIES_S = 5, 300  # wrong passwords per address, and the time after which they are forgotten
TRIES_OF_ALL = 50

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session. `fresh`: its cookie is not set yet."""

    id: str
    fresh: bool
    signed_in: bool
    user: str

    @property
    def token(self) -> str:
        """The token in every form: only a reader of our pages knows it."""
        return hmac.new(self.id.encode(), b"form", hashlib.sha256).hexdigest()

    def is_ours(self, token: str) -> bool:
        return hmac.compare_digest(self.token.encode(), token.encode())


NOBODY: Final = Session("", fresh=False, signed_in=False, user="")


def open_(app: AppContext, request: Request) -> Session:
    """The session of a request, or a new one. Raises `Unreachable`."""
    sent = request.cookies.get(COOKIE, "")
    known = _ID.fullmatch(sent) is not None
    id_ = sent if known else secrets.token_hex(32)
    found: Any = read_redis(app.redis.get, app.keys.session(id_)) if known else None
    signed_in = found is not None and hmac.compare_digest(found, _password_mark(app, id_))
    return Session(id_, not known, signed_in, request.cookies.get(WHO, "")[:64])


def sign_in(app: AppContext, user: str) -> Session:
    """Sign in with a new id, so that an id planted before is useless."""
    id_ = secrets.token_hex(32)
    read_redis(lambda: app.redis.set(app.keys.session(id_), _password_mark(app, id_), ex=LIFE_S))
    return Session(id_, True, True, user)


def _password_mark(app: AppContext, id_: str) -> bytes:
    """Which password is set, for this session only: without the id, which Redis does not have, nobody can guess it."""
    password = app.settings.console_password or ""
    return hmac.new(id_.encode(), b"password " + password.encode(), hashlib.sha256).hexdigest().encode()


def sign_out(app: AppContext, session: Session) -> None:
    read_redis(lambda: app.redis.delete(app.keys.session(session.id)))


def may_try(app: AppContext, address: str) -> bool:
    """Count an attempt to sign in; False: there were too many recently."""
    tries = [_count(app, app.keys.tries(name)) for name in (address, "all")]
    return tries[0] <= TRIES and tries[1] <= TRIES_OF_ALL


def _count(app: AppContext, name: str) -> int:
    pipe = app.redis.pipeline(transaction=True)
    pipe.set(name, 0, ex=TRIES_S, nx=True)
    pipe.incr(name)
    pipe.ttl(name)
    _, tries, left_s = read_redis(pipe.execute)
    if left_s > TRIES_S:  # Redis's clock went back
        read_redis(app.redis.expire, name, TRIES_S)
    return int(tries)


def forget_tries(app: AppContext, address: str) -> None:
    read_redis(lambda: app.redis.delete(app.keys.tries(address)))


def is_password(app: AppContext, typed: str) -> bool:
    """Compares in constant time."""
    wanted = app.settings.console_password or ""
    return hmac.compare_digest(hashlib.sha256(typed.encode()).digest(), hashlib.sha256(wanted.encode()).digest())
