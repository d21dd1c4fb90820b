"""The console: pages for people, rendered here. They show and do what the command line shows and does.

request_context  one request: its session, its form and the response; every refusal that protects a browser
sessions         the cookie, the form's token, the password
rendering        from a template to a response, with the security headers
the rest         one module per page, named after its subject
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from worker.execution.app_context import AppContext
from worker.interfaces.console import (
    audit,
    came_back,
    certificate,
    dead,
    deletion,
    deletions,
    gate,
    holds,
    login,
    many,
    overview,
    parked,
    receipts,
    related,
    rendering,
    replays,
    request_context,
    requesting,
    retention,
    sessions,
    tokens,
    webhook_endpoints,
    webhooks,
)
from worker.interfaces.console.request_context import ConsoleState, Page, RequestContext

PAGES = (
    *(overview, dead, deletions, many, certificate, related, deletion, replays, holds),
    *(receipts, tokens, requesting, came_back, retention, audit, webhook_endpoints, webhooks, parked, gate, login),
)

LARGEST_FORMS = {view.path: view.largest + 4_096 for page in PAGES for view in page.VIEWS if view.largest}


def routes(app: AppContext) -> list[BaseRoute]:
    """Every route of the console."""
    state = ConsoleState(app)
    return [*rendering.static_routes(), *(request_context.route(state, view) for page in PAGES for view in page.VIEWS)]


def nothing_here(app: AppContext, request: Request) -> Response:
    """A page for an unknown address."""
    return for_anyone(app, request, "trouble.html", {"why": "there is no page at this address", "status": 404}, 404)


def for_anyone(
    app: AppContext, request: Request, template: str, values: Mapping[str, object], status: int = 200
) -> Response:
    """A page that needs no session and reveals nothing of this installation."""
    context = RequestContext(request, app, sessions.NOBODY, {})
    return request_context.finished(context, Page(template, values, status))
