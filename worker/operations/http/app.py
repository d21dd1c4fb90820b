"""The application: which address leads where. Wired here, served by `serve`."""

from __future__ import annotations

import importlib
import importlib.util

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from worker.errors import EraserError, Unreachable
from worker.ledger.ask import ask
from worker.operations.http import problems
from worker.operations.http.problems import Problem
from worker.runtime import Runtime

CONSOLE = "worker.operations.console"


def create_app(running: Runtime) -> Starlette:
    """Everything that is served, for one process."""
    app = Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", _readyz, methods=["GET"]),
            *_console(running),
        ],
        exception_handlers={Problem: _problem, EraserError: _problem, HTTPException: _http},
    )
    app.state.running = running
    return app


def _console(running: Runtime) -> list[BaseRoute]:
    if importlib.util.find_spec(CONSOLE) is None:
        return []
    routes: list[BaseRoute] = importlib.import_module(CONSOLE).routes(running)
    return routes


async def _healthz(_: Request) -> Response:
    """This process lives. Redis being away is not its illness."""
    return PlainTextResponse("well\n")


async def _readyz(request: Request) -> Response:
    """Requests can be recorded: Redis answers. No detail, because anybody may ask."""
    running: Runtime = request.app.state.running
    try:
        await anyio.to_thread.run_sync(lambda: ask(running.redis.ping))
    except Unreachable:
        return PlainTextResponse("Redis does not answer\n", 503, headers={"Retry-After": str(problems.AWAY_S)})
    return PlainTextResponse("ready\n")


async def _problem(_: Request, error: Exception) -> Response:
    return problems.answer(problems.of(error))


async def _http(_: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - for mypy; it is registered for nothing else
    match error.status_code:
        case 404:
            return problems.answer(Problem(404, "not-found", "there is nothing at this address; see /openapi.json"))
        case 405:
            allowed = (error.headers or {}).get("Allow", "")
            detail = f"this address takes {allowed or 'other methods'}"
            return problems.answer(Problem(405, "wrong-method", detail, headers={"Allow": allowed} if allowed else {}))
        case status:
            return problems.answer(Problem(status, "refused", error.detail))
