"""The console: pages for people, rendered here. They show and do what the command line shows and does.

visits      one request: whose it is, what was sent, and the answer; every refusal that a browser needs
sessions    the cookie, the form's token, the password
paper       from a template to a response, with the headers that keep a browser honest
the rest    one module a page, each named for what it is about
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from worker.operations.console import (
    audit,
    dead,
    deletion,
    deletions,
    gate,
    holds,
    login,
    overview,
    paper,
    replays,
    retention,
    sessions,
    visits,
)
from worker.operations.console.visits import House, Page, Visit
from worker.operations.requests import Ring
from worker.runtime import Runtime

PAGES = (overview, dead, deletions, deletion, replays, holds, retention, audit, gate, login)


def routes(running: Runtime, *, bind: str, ring: Ring) -> list[BaseRoute]:
    """Every address of the console. `bind`: the address that is listened on."""
    house = House(running, ring, bind)
    return [*paper.static_routes(), *(visits.route(house, view) for page in PAGES for view in page.VIEWS)]


def nothing_here(running: Runtime, request: Request) -> Response:
    """A page for an address that there is not."""
    visit = Visit(request, running, sessions.NOBODY, {}, lambda *_: None)
    return visits.finished(visit, Page("trouble.html", {"why": "there is no page at this address", "status": 404}, 404))
