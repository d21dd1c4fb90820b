"""The ASGI application and its routes. Wired here, served by `serve`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from worker.config.api_tokens import Scope
from worker.config.token_file import TokenFile, path_of
from worker.execution.app_context import AppContext
from worker.interfaces import console
from worker.interfaces.api import deletions, openapi, reference, related
from worker.interfaces.api.auth import ApiState, api_state
from worker.interfaces.web import problem_details
from worker.interfaces.web.problem_details import Problem
from worker.interfaces.web.request_guard import RequestGuard
from worker.model.errors import EraserError, Unreachable
from worker.services import metrics
from worker.services.redis_ping import no_writes

MANY = "/api/projects/{project_id}/deletions"
ONE = MANY + "/{job_id}"


def create_app(context: AppContext, *, bind: str = "127.0.0.1") -> Starlette:
    """The whole application for one process. `bind`: the address that the server listens on."""
    context.defer = ThreadPoolExecutor(1, "wakeups").submit  # no answer waits until a dispatcher is woken
    app = Starlette(
        routes=[
            Route(MANY, deletions.record, methods=["POST"]),
            Route(MANY, deletions.several, methods=["GET"]),
            Route(ONE, deletions.read, methods=["GET"]),
            Route(ONE, deletions.cancel, methods=["DELETE"]),
            Route(f"{ONE}/related/erase", related.erase, methods=["GET", "POST"]),
            Route(f"{ONE}/related/restore", related.restore, methods=["GET", "POST"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", _readyz, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/openapi.json", _openapi, methods=["GET"]),
            Route("/openapi", _reference, methods=["GET"]),
            *console.routes(context),
        ],
        middleware=[Middleware(RequestGuard, allowed=context.settings.allowed_hosts, largest=console.LARGEST_FORMS)],
        exception_handlers={Problem: _problem, EraserError: _problem, HTTPException: _http},
    )
    app.router.redirect_slashes = False  # no redirects for slashes: a redirect would repeat the Host
    app.state.api = ApiState(context, TokenFile(path_of(context.settings, context.environ)), bind)
    return app


async def _healthz(_: Request) -> Response:
    """This process is running. An unreachable Redis does not count."""
    return PlainTextResponse("well\n")


async def _readyz(request: Request) -> Response:
    """Requests can be recorded: Redis answers and accepts writes. No details, because anyone may ask."""
    context = api_state(request).app
    try:
        refused = await api_state(request).in_thread(lambda: no_writes(context.redis, context.keys.workers))
        why = "Redis takes no writes" if refused else ""
    except Unreachable:
        why = "Redis does not answer"
    if why:
        return PlainTextResponse(f"{why}\n", 503, headers={"Retry-After": str(problem_details.AWAY_S)})
    return PlainTextResponse("ready\n")


async def _metrics(request: Request) -> Response:
    """For Prometheus. Local callers need no token; behind a proxy everyone does."""
    api = api_state(request)
    if not api.is_private(request):
        api.admit(request, Scope.READ)
    accept = request.headers.get("accept", "")
    kind, page = await api.in_thread(lambda: metrics.exposition(api.app, accept))
    return Response(page, headers={"Content-Type": kind})


async def _openapi(_: Request) -> Response:
    return JSONResponse(openapi.DOCUMENT)


async def _reference(request: Request) -> Response:
    """The same for people. Anyone may read it, as the document."""
    document = openapi.DOCUMENT
    values = {
        "operations": [*reference.operations(document)],
        "schemas": [*reference.schemas(document)],
        "token": document["components"]["securitySchemes"]["token"]["description"],
        "origin": str(request.base_url).rstrip("/"),
    }
    return console.for_anyone(api_state(request).app, request, "reference.html", values)


async def _problem(_: Request, error: Exception) -> Response:
    return problem_details.response(problem_details.of(error))


async def _http(request: Request, error: Exception) -> Response:
    """Errors of Starlette itself: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - for mypy; it is registered only for this
    match error.status_code:
        case 404 if "text/html" in request.headers.get("accept", ""):  # a person's browser
            return console.nothing_here(api_state(request).app, request)
        case 404:
            return problem_details.response(Problem(404, "not-found", "nothing is at this address; see /openapi.json"))
        case 405:
            allowed = ", ".join(sorted(_methods(request)))
            detail = f"this address takes {allowed}"
            return problem_details.response(Problem(405, "wrong-method", detail, headers={"Allow": allowed}))
        case status:
            return problem_details.response(Problem(status, "refused", error.detail))


def _methods(request: Request) -> set[str]:
    """The methods of a path: several routes may share it."""
    path = getattr(request.scope.get("route"), "path", None)
    same = [route for route in request.app.routes if isinstance(route, Route) and route.path == path]
    return {method for route in same for method in route.methods or ()}
