"""Authorisation and shared state of the HTTP server, built once per process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request

from worker.config.api_tokens import ApiToken, Scope, find
from worker.config.token_file import TokenFile
from worker.config.urls import is_loopback
from worker.execution.app_context import AppContext
from worker.interfaces.api.batching import Batcher, Wanted
from worker.interfaces.web import origin_checks, problem_details
from worker.interfaces.web.bounded_pool import BoundedPool
from worker.interfaces.web.problem_details import Problem
from worker.interfaces.web.request_guard import WHO
from worker.ledger.types import Accepted
from worker.model.errors import SettingsError, UsageError
from worker.services.request import project_of

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class ApiState:
    """`bind`: the address that the server listens on."""

    app: AppContext
    tokens: TokenFile
    bind: str
    pool: BoundedPool = field(default_factory=BoundedPool)
    batcher: Batcher = field(init=False)
    _logged: str = field(init=False, default="")  # what is wrong with the tokens

    def __post_init__(self) -> None:
        self.batcher = Batcher(self._write)

    async def _write(self, wanted: Wanted) -> list[Accepted]:
        """Record requests of one project, all or none."""
        return await self.in_thread(lambda: self.app.ledger_of(wanted[0][0].project_id).request_each(wanted))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread, so that other requests are served."""
        return await self.pool.run(work)

    def admit(self, request: Request, scope: Scope, project_id: str | None = None) -> ApiToken:
        """The token of an authorised request. Raises the `Problem` of any other."""
        token = self._recognise(request)
        request.scope[WHO] = token.name
        if not token.may(scope):
            detail = f"the token {token.name} may {', '.join(sorted(token.scopes))}; this needs {scope}"
            raise _refused(403, "wrong-scope", detail, f'error="insufficient_scope", scope="{scope}"')
        if project_id is not None:
            self._check_project(token, project_id)
        return token

    def is_private(self, request: Request) -> bool:
        """Whether the request can only come from this machine: neither from another address nor through a proxy."""
        passed_on = origin_checks.is_passed_on(request.headers)
        return is_loopback(self.bind) and origin_checks.is_local(request.headers.get("host", "")) and not passed_on

    def _recognise(self, request: Request) -> ApiToken:
        try:
            tokens = self.tokens.current()
        except UsageError as error:
            if str(error) != self._logged:  # once, until it is right again or wrong in another way
                self._logged = str(error)
                log.error("http.tokens_wrong", extra={"error": str(error)})
            raise problem_details.no_tokens() from None
        self._logged = ""
        kind, _, presented = request.headers.get("authorization", "").partition(" ")
        if not tokens:
            make_one = "on the server make one with: eraser console tokens create NAME --scope request"
            detail = f"no token exists yet; {make_one}"
            raise _refused(401, "no-token-exists", detail)
        if kind.lower() != "bearer" or not presented:
            raise _refused(401, "no-token", "send a token: Authorization: Bearer eraser_…")
        token = find(tokens, presented.strip(), datetime.now(UTC))
        if token is None:
            raise _refused(401, "wrong-token", "this token is unknown", 'error="invalid_token"')
        return token

    def _check_project(self, token: ApiToken, project_id: str) -> None:
        try:
            project_of(self.app, project_id)
        except UsageError as error:
            raise Problem(422, "invalid", str(error)) from None
        if not token.sees(project_id):
            raise Problem(403, "wrong-project", f"the token {token.name} is for other projects")
        try:
            self.app.settings.account_of(project_id)
        except SettingsError:
            detail = "no account of this server has this project: correct it, or ask its operators to add it to one"
            raise Problem(404, "unknown-project", detail) from None


def _refused(status: int, name: str, detail: str, why: str = "") -> Problem:
    challenge = 'Bearer realm="avatar-eraser"' + (f", {why}" if why else "")
    return Problem(status, name, detail, headers={"WWW-Authenticate": challenge})


def api_state(request: Request) -> ApiState:
    """The shared state of the application."""
    api: ApiState = request.app.state.api
    return api
