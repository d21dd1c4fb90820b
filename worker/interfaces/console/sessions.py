"""Whose browser it is: a cookie with a random id, a token for forms that is made of it, and the password if one is set.

Without a password nothing is kept here: the console then listens on loopback only. With one, a signed-in session is a
key in Redis that ends by itself; its name is the id's hash, so that who reads Redis cannot become somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from worker.execution.app_context import AppContext
from worker.ledger.redis_read import read_redis

COOKIE = "eraser-session"
WHO = "eraser-who"  # who acts, as they said; an opaque id, remembered for the next form
TOLD = "eraser-told"  # what the last act did, for the next page
LIFE_S = 12 * 3600  # a working day; there is no sliding end
TRIES, TRIES_S = 5, 300  # wrong passwords of one address, and the time after which they are forgotten
TRIES_OF_ALL = 50

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    """A browser. `fresh`: its cookie has to be set yet."""

    id: str
    fresh: bool
    signed_in: bool  # always where no password is set
    user: str

    @property
    def token(self) -> str:
        """What every form carries: only who can read our pages knows it."""
        return hmac.new(self.id.encode(), b"form", hashlib.sha256).hexdigest()

    def is_ours(self, token: str) -> bool:
        return hmac.compare_digest(self.token.encode(), token.encode())


NOBODY: Final = Session("", fresh=False, signed_in=False, user="")


def open_(app: AppContext, request: Request) -> Session:
    """The session of a request, perhaps a new one. Raises `Unreachable`."""
    sent = request.cookies.get(COOKIE, "")
    known = _ID.fullmatch(sent) is not None
    id_ = sent if known else secrets.token_hex(32)
    signed_in = password(app) is None or (known and bool(read_redis(lambda: app.redis.exists(app.keys.session(id_)))))
    return Session(id_, not known, signed_in, request.cookies.get(WHO, "")[:64])


def password(app: AppContext) -> str | None:
    """The password that a browser has to know; None: none is needed."""
    return app.settings.console_password


def sign_in(app: AppContext, user: str) -> Session:
    """A new id, so that one planted before is worth nothing."""
    id_ = secrets.token_hex(32)
    read_redis(lambda: app.redis.set(app.keys.session(id_), "1", ex=LIFE_S))
    return Session(id_, True, True, user)


def sign_out(app: AppContext, session: Session) -> None:
    read_redis(lambda: app.redis.delete(app.keys.session(session.id)))


def may_try(app: AppContext, address: str) -> bool:
    """Count a try to sign in; False: there were too many lately."""
    pipe, names = app.redis.pipeline(transaction=True), [app.keys.tries(name) for name in (address, "all")]
    for name in names:
        pipe.set(name, 0, ex=TRIES_S, nx=True)
        pipe.incr(name)
        pipe.ttl(name)
    response = read_redis(pipe.execute)
    for name, left_s in zip(names, response[2::3], strict=True):
        if left_s > TRIES_S:  # Redis's clock went back
            read_redis(app.redis.expire, name, TRIES_S)
    return int(response[1]) <= TRIES and int(response[4]) <= TRIES_OF_ALL


def forget_tries(app: AppContext, address: str) -> None:
    read_redis(lambda: app.redis.delete(app.keys.tries(address)))


def is_password(app: AppContext, said: str) -> bool:
    """Compared in the same time whatever was said."""
    wanted = password(app) or ""
    return hmac.compare_digest(hashlib.sha256(said.encode()).digest(), hashlib.sha256(wanted.encode()).digest())
