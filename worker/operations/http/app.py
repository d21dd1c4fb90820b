"""The application: which address leads where. Wired here, served by `serve`."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from worker.errors import EraserError, Unreachable
from worker.operations import console, metrics
from worker.operations.http import deletions, openapi, problems
from worker.operations.http.bells import Bells
from worker.operations.http.desk import Desk, desk_of
from worker.operations.http.doorman import Doorman
from worker.operations.http.problems import Problem
from worker.operations.http.token_file import TokenFile, path_of
from worker.operations.http.tokens import Scope
from worker.operations.reach import no_writes
from worker.operations.requests import Ring
from worker.runtime import Runtime

MANY = "/api/projects/{project_id}/deletions"
ONE = MANY + "/{job_id}"


def _ring(account: str, bell: str) -> None:
    from worker.application import ring  # not at import: tests and other applications bring a bell of their own

    ring(account, bell)


def create_app(running: Runtime, *, bind: str = "127.0.0.1", ring: Ring = _ring) -> Starlette:
    """Everything that is served, for one process. `bind`: the address that is listened on."""
    bells = Bells(ring, lambda account: running.wake(account, 0))
    app = Starlette(
        routes=[
            Route(MANY, deletions.ask, methods=["POST"]),
            Route(MANY, deletions.settled, methods=["GET"]),
            Route(ONE, deletions.look, methods=["GET"]),
            Route(ONE, deletions.cancel, methods=["DELETE"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", _readyz, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/openapi.json", _openapi, methods=["GET"]),
            *console.routes(running, bind=bind, ring=bells),
        ],
        middleware=[Middleware(Doorman, allowed=running.settings.allowed_hosts)],
        exception_handlers={Problem: _problem, EraserError: _problem, HTTPException: _http},
    )
    app.router.redirect_slashes = False  # an address is right or it is not; and a redirect would repeat the Host
    app.state.desk = Desk(running, TokenFile(path_of(running.settings, running.environ)), bind, bells)
    return app


async def _healthz(_: Request) -> Response:
    """This process lives. Redis being away is not its illness."""
    return PlainTextResponse("well\n")


async def _readyz(request: Request) -> Response:
    """Requests can be recorded: Redis answers and takes writes. No detail, because anybody may ask."""
    running = desk_of(request).running
    try:
        refused = await desk_of(request).in_thread(lambda: no_writes(running.redis, running.keys.workers))
    except Unreachable:
        return PlainTextResponse("Redis does not answer\n", 503, headers={"Retry-After": str(problems.AWAY_S)})
    if refused:
        return PlainTextResponse("Redis takes no writes\n", 503, headers={"Retry-After": str(problems.AWAY_S)})
    return PlainTextResponse("ready\n")


async def _metrics(request: Request) -> Response:
    """For Prometheus. Whoever sits at this machine needs no token; behind a proxy everybody does."""
    desk = desk_of(request)
    if not desk.is_private(request):
        desk.admit(request, Scope.READ)
    accept = request.headers.get("accept", "")
    kind, page = await desk.in_thread(lambda: metrics.exposition(desk.running, accept))
    return Response(page, headers={"Content-Type": kind})


async def _openapi(_: Request) -> Response:
    return JSONResponse(openapi.DOCUMENT)


async def _problem(_: Request, error: Exception) -> Response:
    return problems.answer(problems.of(error))


async def _http(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - for mypy; it is registered for nothing else
    match error.status_code:
        case 404 if "text/html" in request.headers.get("accept", ""):  # a person's browser
            return console.nothing_here(desk_of(request).running, request)
        case 404:
            return problems.answer(Problem(404, "not-found", "nothing is at this address; see /openapi.json"))
        case 405:
            allowed = ", ".join(sorted(_methods(request)))
            detail = f"this address takes {allowed}"
            return problems.answer(Problem(405, "wrong-method", detail, headers={"Allow": allowed}))
        case status:
            return problems.answer(Problem(status, "refused", error.detail))


def _methods(request: Request) -> set[str]:
    """What the address takes: several routes may share it."""
    path = getattr(request.scope.get("route"), "path", None)
    same = [route for route in request.app.routes if isinstance(route, Route) and route.path == path]
    return {method for route in same for method in route.methods or ()}
