"""Tokens of IAM, fetched with a password: one for each project. See `renewing` for their life.

MetaStudio may refuse a token before its end: a password was changed, rights were revoked, the gateway lost it. A wrong
password locks the user (after five by default).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from worker.config.logins import ENDPOINT
from worker.config.urls import check_endpoint
from worker.metastudio.exchange import Call, prepare
from worker.metastudio.issuer_answers import failed, token_life_s
from worker.metastudio.login import Login, LoginSource
from worker.metastudio.renewing import Renewing
from worker.metastudio.response import IAM, Response

_PATH: Final = "/v3/auth/tokens?nocatalog=true"  # without it the answer lists every service
_TOKEN: Final = re.compile(r"[!-~]{8,32768}")  # the longest header that the gateway accepts


class IamTokens(Renewing[Login]):
    """The tokens of one account in this process, one for each project."""

    def __init__(self, login: LoginSource, *, endpoint: str, **how: Any) -> None:
        super().__init__(**how)
        self.endpoint = check_endpoint(endpoint, ENDPOINT)
        self._login = login

    def current(self) -> Login:
        return self._login.current()

    def _fetch(self, project_id: str, login: Login, call: Call) -> tuple[str, float, float] | Response:
        body = json.dumps(_document(login, project_id)).encode()
        headers = {"Content-Type": "application/json;charset=utf8", "Content-Length": str(len(body))}
        sent = self._clock()
        reply = self._exchange(self.endpoint, prepare("POST", self.endpoint + _PATH, headers, body), call)
        value = reply.headers.get("X-Subject-Token", "")
        if reply.status != 201 or not _TOKEN.fullmatch(value):
            return failed(reply, login.secrets, IAM, given=201)
        return value, sent, token_life_s(reply)


def _document(login: Login, project_id: str) -> dict[str, object]:
    user = {"domain": {"name": login.domain}, "name": login.user, "password": login.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}
