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

from worker.simulator import responses
from worker.simulator.faults import Fault, FaultKind
from worker.simulator.http1 import Request
from worker.simulator.limits import Locks
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
    """A user and the projects it may get tokens for; what it sees is as for a `Credential`."""

    name: str
    password: str = field(repr=False)
    domain: str
    projects: tuple[str, ...] = ()
    enabled: bool = True
    sees_jobs: bool = True
    sees_library: bool = True


@dataclass(slots=True, repr=False)
class IssuedToken:
    """An issued token. `number` is 1, 2, 3… in the order of issue."""

    number: int
    user: IamUser
    project: str
    ends: float  # monotonic


class Iam:
    """The users, their tokens, and how often a password was wrong in a row."""

    def __init__(self, users: tuple[IamUser, ...], lock_s: float = LOCK_S) -> None:
        self._locks: Locks[tuple[str, str]] = Locks(WRONG_PASSWORDS_ALLOWED, lock_s)
        self._users = {(user.domain, user.name): user for user in users}
        self._issued: dict[str, IssuedToken] = {}

    def put(self, user: IamUser) -> None:
        """Add a user, or replace the one of this name; tokens and a lock stay."""
        self._users[(user.domain, user.name)] = user

    def unlock(self, name: str) -> None:
        """End the lock of every user of this name and forget the wrong passwords."""
        for who in self._locks.known():
            if who[1] == name:
                self._locks.clear(who)

    def expire(self, now: float) -> int:
        """End every token issued so far; returns how many were valid."""
        alive = [token for token in self._issued.values() if token.ends > now]
        for token in alive:
            token.ends = now
        return len(alive)

    def grant(self, request: Request, clock: datetime, now: float, life_s: float) -> tuple[Reply, int | None]:
        """Answer a request for a token; returns also its number if one is issued. `clock` is the server's, `now`
        monotonic.
        """
        login = _login(request)
        if login is None:
            return _error(400, "The request body is invalid"), None
        who, password, project = login
        if self._locks.locked(who, now):
            return responses.mss(401, "IAM.0061", "Account locked."), None
        user = self._users.get(who)
        if user is None or not user.enabled or not hmac.compare_digest(user.password.encode(), password.encode()):
            self._locks.fail(who, now)
            return _error(401, "The username or password is wrong."), None
        self._locks.succeed(who)
        if project not in user.projects:
            return _error(403, "You have no permission to access the project."), None
        value = TOKEN_CANARY + secrets.token_urlsafe(300)
        token = self._issued[value] = IssuedToken(len(self._issued) + 1, user, project, now + life_s)
        return _issued(value, token, clock, life_s), token.number

    def admit(self, request: Request, now: float, refuse_with: str | None) -> tuple[Credential | Refusal, int | None]:
        """Find the owner of a request's token, or why it is refused; also its number if it was ever issued."""
        token = self._issued.get(request.header.get("x-auth-token", ""))
        number = token.number if token else None
        if refuse_with is not None:
            return Refusal(Refused.TOKEN, REFUSALS[refuse_with], refuse_with), number
        if token is None:
            return Refusal(Refused.TOKEN, _GARBLED), None
        if now >= token.ends:
            return Refusal(Refused.TOKEN_EXPIRED, REFUSALS["APIGW.0307"], "APIGW.0307"), number
        user = token.user
        sees = {"sees_jobs": user.sees_jobs, "sees_library": user.sees_library}
        return Credential(f"iam:{user.name}", "", None, (token.project,), **sees), number


def scope_of(request: Request) -> str | None:
    """The project of a request for a token."""
    login = _login(request)
    return None if login is None else login[2]


def reply_of(fault: Fault) -> Reply | None:
    """IAM's response for a fault; None if it is the same as for any other call."""
    if fault.kind is FaultKind.THROTTLED:
        message = "The throttling threshold has been reached. Threshold: 5 times per 60 seconds"
        return responses.mss(429, "IAM.0012", message).again_after(fault.retry_after_s)
    if fault.kind is FaultKind.ERROR:
        return _error(fault.status or 500, HTTPStatus(fault.status or 500).phrase)
    return None


def _login(request: Request) -> tuple[tuple[str, str], str, str] | None:
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


def _issued(value: str, issued: IssuedToken, clock: datetime, life_s: float) -> Reply:
    token = {
        "expires_at": _micros(clock + timedelta(seconds=life_s)),
        "issued_at": _micros(clock),
        "methods": ["password"],
        "project": {"id": issued.project},
        "roles": [{"name": "te_admin"}],
        "user": {"name": issued.user.name, "domain": {"name": issued.user.domain}},
    }
    return Reply(201, responses.as_json({"token": token}), headers=(("X-Subject-Token", value),))


def _error(status: int, message: str) -> Reply:
    title = HTTPStatus(status).phrase
    return Reply(status, responses.as_json({"error": {"code": status, "message": message, "title": title}}))


def _micros(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
