"""One request to a page: refused where a browser was misled, read, answered; errors in words on a page.

Against pages of other sites that a browser of ours may show: the host was checked before (`worker.operations.http`);
a post needs our own Origin, no `Sec-Fetch-Site` but `same-origin`, and the token of the form.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, quote, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from worker.addresses import is_loopback
from worker.deletion import is_opaque
from worker.errors import EraserError, RefusedBySafetyRule, Unreachable
from worker.operations.console import paper, sessions
from worker.operations.console.sessions import Session
from worker.operations.http import hosts
from worker.operations.http.threads import Busy, Threads
from worker.operations.requests import Ring
from worker.operations.show import UnknownJob
from worker.runtime import Runtime

MOST_BYTES = 1_000_000  # of a form: some 15,000 job ids to hold
LONGEST_TOLD = 300
OUR_FAULT = "internal error; see the log of `eraser console`"

log = logging.getLogger(__name__)
STOP_POLLING = 286  # htmx: the last of this kind


class Misled(EraserError):
    """A browser was sent here by somebody else, or with a form that is not ours."""


@dataclass(frozen=True, slots=True)
class Page:
    """A template and what it says."""

    template: str
    said: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Move:
    """Go there; the next page tells what was done. `session`: the browser's from now on."""

    to: str
    told: str = ""
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class House:
    """What all visits share. `bind`: the address that is listened on; `ring`: calls a worker."""

    running: Runtime
    ring: Ring
    bind: str = "127.0.0.1"
    threads: Threads = field(default_factory=Threads)  # of its own: who looks delays nobody who asks

    def is_locked(self, request: Request) -> bool:
        """Whether others can reach it, by this request's own word too, and nothing tells them from us."""
        by_proxy = hosts.is_passed_on(request.headers)
        open_to_others = by_proxy or not is_loopback(self.bind) or bool(self.running.settings.allowed_hosts)
        return open_to_others and sessions.password(self.running) is None


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the pages see it."""

    request: Request
    running: Runtime
    session: Session
    form: Mapping[str, str]
    ring: Ring

    def asked(self, name: str) -> str:
        """A word of the address's query."""
        return self.request.query_params.get(name, "").strip()[:200]

    def said(self, name: str) -> str:
        """A field of the form."""
        return self.form.get(name, "").strip()

    @property
    def who(self) -> str:
        """Who acts: as the form says, else as it was said last."""
        return self.said("by") or self.session.who

    @property
    def address(self) -> str:
        """Whose browser it is: the nearest proxy's word, where there is one."""
        via = self.request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return via or (self.request.client.host if self.request.client else "")

    @property
    def encrypted(self) -> bool:
        """Whether nobody on the way could read it: it stays on this machine, or came by https."""
        scheme = self.request.headers.get("x-forwarded-proto", self.request.url.scheme)
        return is_local(self.request) or scheme == "https"

    @property
    def part(self) -> bool:
        """Whether only the part of a page is wanted that changes."""
        return self.request.headers.get("hx-request") == "true"


Handler = Callable[[Visit], Page | Move]


@dataclass(frozen=True, slots=True)
class View:
    """An address, what shows it and what a post does there."""

    path: str
    show: Handler | None = None
    act: Handler | None = None
    public: bool = False  # also for who is not signed in


def route(house: House, view: View) -> Route:
    """The view as Starlette wants it. Pages are plain functions and run in a thread."""

    async def answer(request: Request) -> Response:
        form = await _form(request) if request.method == "POST" else {}
        try:
            return await house.threads.run(lambda: _answer(house, view, request, form))
        except Busy as error:
            return _trouble(Visit(request, house.running, sessions.NOBODY, form, house.ring), error)

    methods = [name for name, handler in (("GET", view.show), ("POST", view.act)) if handler]
    return Route(view.path, answer, methods=methods)


def _answer(house: House, view: View, request: Request, form: Mapping[str, str]) -> Response:
    if _from_elsewhere(request) and sessions.COOKIE not in request.cookies:
        return _again(request)
    visit = Visit(request, house.running, sessions.NOBODY, form, house.ring)
    try:
        if house.is_locked(request):
            return finished(visit, Page("locked.html", status=403))
        visit = replace(visit, session=sessions.open_(house.running, request))
        if request.method == "POST":
            _refuse_misled(visit)
        if not (visit.session.signed_in or view.public):
            return _to_login(visit)
        handler = view.act if request.method == "POST" else view.show
        assert handler is not None  # noqa: S101 - for mypy: the route lets no other method in
        return finished(visit, handler(visit))
    except EraserError as error:
        return _trouble(visit, error)
    except Exception:
        log.exception("http.failed", extra={"method": request.method, "route": view.path})
        return finished(visit, Page("trouble.html", {"why": OUR_FAULT, "status": 500}, 500))


def finished(visit: Visit, answer: Page | Move) -> Response:
    """The response, with what the browser shall remember."""
    response: Response
    chosen = visit.session
    match answer:
        case Move():
            response, chosen = RedirectResponse(answer.to, 303), answer.session or chosen
            if answer.told:
                _remember(visit, response, sessions.TOLD, quote(answer.told[:LONGEST_TOLD]), life_s=60)
        case Page():
            told = unquote(visit.request.cookies.get(sessions.TOLD, ""))
            text = paper.render(visit, answer.template, {**answer.said, "told": "" if visit.part else told})
            response = HTMLResponse(text, answer.status)
            if told and not visit.part:
                response.delete_cookie(sessions.TOLD, httponly=True, samesite="strict")
    if chosen.fresh:
        life_s = sessions.LIFE_S if sessions.password(visit.running) else None
        _remember(visit, response, sessions.COOKIE, chosen.id, life_s=life_s)
    if visit.request.method == "POST" and is_opaque(visit.said("by")) and not _is_error(response):
        _remember(visit, response, sessions.WHO, visit.said("by"), life_s=sessions.LIFE_S)
    return paper.guarded(response)


# -- refusals --------------------------------------------------------------------------------------------------------


def _refuse_misled(visit: Visit) -> None:
    """Raise `Misled` unless the post comes from a form of ours, in this browser."""
    headers = visit.request.headers
    origin, site, host = headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host")
    if origin not in (f"http://{host}", f"https://{host}") or site not in (None, "same-origin"):
        raise Misled("this request came from another site, or without an Origin header. Nothing was done.")
    if visit.session.fresh or not visit.session.is_ours(visit.said("token")):
        raise Misled(
            "this form does not belong to this session. Nothing was done. Reload the page, then send it again."
        )


def _from_elsewhere(request: Request) -> bool:
    return request.method == "GET" and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def _again(request: Request) -> Response:
    """A link of another site led here, and a browser then keeps a strict cookie back: it comes again from ourselves."""
    where = html.escape(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    body = f'<!doctype html><title>eraser</title><meta http-equiv="refresh" content="0;url={where}">'
    return paper.guarded(HTMLResponse(f'{body}<a href="{where}">Continue</a>'))


def _to_login(visit: Visit) -> Response:
    if visit.part:
        return paper.guarded(HTMLResponse('<p>Signed out. <a href="/login">Sign in</a></p>', STOP_POLLING))
    return finished(visit, Move("/login"))


def _trouble(visit: Visit, error: EraserError) -> Response:
    """An error in words. Polling goes on: Redis may come back."""
    match error:
        case Misled():
            status = 403
        case UnknownJob():
            status = 404
        case RefusedBySafetyRule():
            status = 409
        case Unreachable():
            status = 503
        case _:
            status = 422
    if visit.part:
        text = paper.render(visit, "_trouble.html", {"why": str(error)})
        return paper.guarded(HTMLResponse(text))
    return finished(visit, Page("trouble.html", {"why": str(error), "status": status}, status))


# -- what is sent ----------------------------------------------------------------------------------------------------


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form; none where it is no form, or too long: the token is missing then."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _remember(visit: Visit, response: Response, name: str, value: str, *, life_s: int | None) -> None:
    response.set_cookie(
        name, value, max_age=life_s, httponly=True, samesite="strict", secure=not is_local(visit.request), path="/"
    )


def is_local(request: Request) -> bool:
    """Whether the browser called this machine by a name of its own. Elsewhere a cookie travels encrypted only."""
    return is_loopback(request.url.hostname or "")


def _is_error(response: Response) -> bool:
    return response.status_code >= 400
