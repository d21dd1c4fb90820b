"""IAM on the same port: `POST /v3/auth/tokens` issues tokens to users, and the gateway checks here whether one is
valid.

| request | answer |
|---|---|
| user, password, domain and a project of the user's | 201, X-Subject-Token, `token.expires_at` |
| a body of another form | 400 |
| wrong password, unknown or disabled user | 401 "The username or password is wrong." |
| any password after five wrong ones in a row, for `lock_s` | 401 IAM.0061 |
| a project that is not the user's | 403 |
| according to a fault with method TOKEN (see `faults`) | 429 IAM.0012, 500, 503, no answer and the others |

| X-Auth-Token | answer of the gateway |
|---|---|
| of this project, alive | as if the call were signed |
| of another project | 400 MSS.00010009 |
| expired, or expired on request | 401 APIGW.0307 "The token must be updated." |
| garbled, or never issued | 401 APIGW.0301 "… decrypt token fail" |
| any, after `refuse_tokens` | 401 APIGW.0307 or 400 MSS.00010008, as chosen |
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from worker.model.errors import UsageError
from worker.simulator import responses
from worker.simulator.faults import Fault, FaultKind
from worker.simulator.http1 import Request
from worker.simulator.responses import Reply
from worker.simulator.verification import Credential, Refusal, Refused

PATH = "/v3/auth/tokens"
LIFE_S = 24 * 3600.0
LOCK_S = 15 * 60.0
WRONG_PASSWORDS_ALLOWED = 5  # in a row; then the user is locked
TOKEN_CANARY = "MIISIMULATORTOKEN"  # noqa: S105 - opens this simulator only; every token begins with it
REFUSALS = {"APIGW.0307": "The token must be updated.", "MSS.00010008": "Invalid token in the header."}
_GARBLED = "Incorrect IAM authentication information: decrypt token fail"


@dataclass(frozen=True, slots=True)
class IamUser:
    """A user and the projects it may get tokens for. `sees_jobs=False` is a sub-account that jobs are hidden from."""

    name: str
    password: str = field(repr=False)
    domain: str
    projects: tuple[str, ...] = ()
    enabled: bool = True
    sees_jobs: bool = True


@dataclass(slots=True, repr=False)
class IssuedToken:
    """An issued token. `number` is 1, 2, 3… in the order of issue."""

    number: int
    user: IamUser
    project: str
    ends: float  # monotonic


class Iam:
    """The users, their tokens, and how often a password was wrong in a row."""

    def __init__(self, users: tuple[IamUser, ...], life_s: float = LIFE_S, lock_s: float = LOCK_S) -> None:
        self.life_s = life_s
        self.lock_s = lock_s
        self.refuse_with: str | None = None  # a key of `REFUSALS`
        self._users = {(user.domain, user.name): user for user in users}
        self._given: dict[str, IssuedToken] = {}
        self._wrong: dict[tuple[str, str], int] = {}
        self._locked_until: dict[tuple[str, str], float] = {}

    def put(self, user: IamUser) -> None:
        """Add a user, or replace the one of this name; tokens and a lock stay."""
        self._users[(user.domain, user.name)] = user

    def unlock(self, name: str) -> None:
        """End the lock of every user of this name and forget the wrong passwords."""
        for who in [who for who in (*self._wrong, *self._locked_until) if who[1] == name]:
            self._wrong.pop(who, None)
            self._locked_until.pop(who, None)

    def expire(self, now: float) -> int:
        """End every token issued so far; returns how many there were."""
        alive = [given for given in self._given.values() if given.ends > now]
        for given in alive:
            given.ends = now
        return len(alive)

    def refuse(self, code: str | None) -> None:
        """Refuse every token with this code, new ones too; None ends it."""
        if code is not None and code not in REFUSALS:
            raise UsageError(f"iam refuse {code!r}: use one of {', '.join(REFUSALS)}, or null to end it")
        self.refuse_with = code

    def grant(self, request: Request, clock: datetime, now: float) -> tuple[Reply, int | None]:
        """Answer a request for a token; returns also its number if one is issued. `clock` is the server's, `now`
        monotonic.
        """
        asked = _asked(request)
        if asked is None:
            return _error(400, "The request body is invalid"), None
        who, password, project = asked
        if now < self._locked_until.get(who, 0.0):
            return responses.mss(401, "IAM.0061", "Account locked."), None
        user = self._users.get(who)
        if user is None or not user.enabled or not hmac.compare_digest(user.password.encode(), password.encode()):
            self._count_wrong(who, now)
            return _error(401, "The username or password is wrong."), None
        self._wrong.pop(who, None)
        if project not in user.projects:
            return _error(403, "You have no permission to access the project."), None
        value = TOKEN_CANARY + secrets.token_urlsafe(300)
        given = self._given[value] = IssuedToken(len(self._given) + 1, user, project, now + self.life_s)
        return _given(value, given, clock, self.life_s), given.number

    def admit(self, request: Request, now: float) -> tuple[Credential | Refusal, int | None]:
        """Find the owner of a request's token, or why it is refused; also its number if it was ever issued."""
        given = self._given.get(request.header.get("x-auth-token", ""))
        number = given.number if given else None
        if self.refuse_with is not None:
            return Refusal(Refused.TOKEN, REFUSALS[self.refuse_with], self.refuse_with), number
        if given is None:
            return Refusal(Refused.TOKEN, _GARBLED), None
        if now >= given.ends:
            return Refusal(Refused.TOKEN_EXPIRED, REFUSALS["APIGW.0307"], "APIGW.0307"), number
        user = given.user
        return Credential(f"iam:{user.name}", "", None, (given.project,), sees_jobs=user.sees_jobs), number

    def _count_wrong(self, who: tuple[str, str], now: float) -> None:
        self._wrong[who] = self._wrong.get(who, 0) + 1
        if self._wrong[who] >= WRONG_PASSWORDS_ALLOWED:
            self._locked_until[who] = now + self.lock_s
            del self._wrong[who]


def scope_of(request: Request) -> str | None:
    """The project of a request for a token."""
    asked = _asked(request)
    return None if asked is None else asked[2]


def reply_of(fault: Fault) -> Reply | None:
    """IAM's response for a fault; None if it is the same as for any other call."""
    if fault.kind is FaultKind.THROTTLED:
        reply = responses.mss(
            429, "IAM.0012", "The throttling threshold has been reached. Threshold: 5 times per 60 seconds"
        )
        again = () if fault.retry_after_s is None else (("Retry-After", f"{fault.retry_after_s:g}"),)
        return Reply(429, reply.body, code=reply.code, headers=again)
    if fault.kind is FaultKind.ERROR:
        return _error(fault.status or 500, HTTPStatus(fault.status or 500).phrase)
    return None


def _asked(request: Request) -> tuple[tuple[str, str], str, str] | None:
    """((domain, user), password, project) of a body in the documented form."""
    try:
        document: Any = json.loads(request.body)
        identity, scope = document["auth"]["identity"], document["auth"]["scope"]
        user = identity["password"]["user"]
        found = (user["domain"]["name"], user["name"], user["password"], scope["project"]["id"])
        methods = identity["methods"]
    except (ValueError, KeyError, TypeError):
        return None
    if methods != ["password"] or not all(isinstance(text, str) and text for text in found):
        return None
    return (found[0], found[1]), found[2], found[3]


def _given(value: str, given: IssuedToken, clock: datetime, life_s: float) -> Reply:
    user = {"name": given.user.name, "domain": {"name": given.user.domain}}
    token = {
        "expires_at": _micros(clock + timedelta(seconds=life_s)),
        "issued_at": _micros(clock),
        "methods": ["password"],
        "project": {"id": given.project},
        "roles": [{"name": "te_admin"}],
        "user": user,
    }
    return Reply(201, responses.as_json({"token": token}), headers=(("X-Subject-Token", value),))


def _error(status: int, message: str) -> Reply:
    title = HTTPStatus(status).phrase
    return Reply(status, responses.as_json({"error": {"code": status, "message": message, "title": title}}))


def _micros(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
