"""One request to a page: CSRF check, form, response; errors as a page.

Protection against pages of other sites: the host was checked before (`worker.interfaces.api`);
a post needs our own Origin, no other `Sec-Fetch-Site` than `same-origin`, and the form's token.
"""

from __future__ import annotations

import html
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from worker.execution.app_context import AppContext
from worker.interfaces.console import rendering, sessions
from worker.interfaces.console.sessions import Session
from worker.interfaces.web import multipart, origin_checks, problem_details
from worker.interfaces.web.bounded_pool import BoundedPool
from worker.interfaces.web.multipart import Multipart
from worker.model.errors import EraserError
from worker.model.ids import is_opaque

MOST_BYTES = 1_000_000  # of a form: about 15,000 job ids to hold
LONGEST_NOTICE = 300
OUR_FAULT = "internal error; see the log of `eraser console`"

log = logging.getLogger(__name__)
STOP_POLLING = 286  # htmx: the last of this kind


class CsrfError(EraserError):
    """A cross-site request, or a form without our token (CSRF)."""


@dataclass(frozen=True, slots=True)
class Page:
    """A template and its values."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Download:
    """A file to save: never shown as a page of this origin."""

    content: str
    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class FileDownload:
    """The same from a file, which goes with its directory once it is sent."""

    path: Path
    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect; the next page shows `notice`. `session`: the browser's new session."""

    to: str
    notice: str = ""
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class ConsoleState:
    """What all requests share."""

    app: AppContext
    pool: BoundedPool = field(default_factory=BoundedPool)  # a separate pool, so that pages do not delay API requests


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request, as the pages see it."""

    request: Request
    app: AppContext
    session: Session
    form: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)  # by the name of the field

    def query(self, name: str, longest: int = 200) -> str:
        """A value of the query string."""
        return self.request.query_params.get(name, "").strip()[:longest]

    def field(self, name: str) -> str:
        """A field of the form."""
        return self.form.get(name, "").strip()

    @property
    def user(self) -> str:
        """The actor: from the form, else the last one given."""
        return self.field("by") or self.session.user

    @property
    def address(self) -> str:
        """The browser's address: as the nearest proxy says, if there is one."""
        via = self.request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return via or (self.request.client.host if self.request.client else "")

    @property
    def encrypted(self) -> bool:
        """Whether it was sent privately: it stayed on this machine, or came by https."""
        return self.local or self.request.headers.get("x-forwarded-proto", self.request.url.scheme) == "https"

    @property
    def local(self) -> bool:
        """Whether the browser used a local name of this machine. For other names a cookie needs encryption."""
        return origin_checks.is_local(self.request.headers.get("host", ""))

    @property
    def part(self) -> bool:
        """Whether only the changing part of a page is requested."""
        return self.request.headers.get("hx-request") == "true"


Handler = Callable[[RequestContext], Page | Redirect | Download | FileDownload]


@dataclass(frozen=True, slots=True)
class View:
    """A path, the handler that shows it and the handler of a post."""

    path: str
    show: Handler | None = None
    action: Handler | None = None
    public: bool = False  # also without being signed in
    trouble: Callable[[RequestContext, EraserError], Page] | None = None  # a part's own place, to be asked for again
    largest: int | None = None  # bytes of a form with a file; None: no file


def route(state: ConsoleState, view: View) -> Route:
    """The view as a Starlette route. Pages are plain functions and run in a thread."""

    async def result(request: Request) -> Response:
        sent = Multipart()
        try:
            if request.method == "POST":
                sent = await _sent(state, view, request)
            return await state.pool.run(lambda: _result(state, view, request, sent))
        except EraserError as error:
            return _trouble(RequestContext(request, state.app, sessions.NOBODY, sent.fields), error)

    methods = [name for name, handler in (("GET", view.show), ("POST", view.action)) if handler]
    return Route(view.path, result, methods=methods)


def _result(state: ConsoleState, view: View, request: Request, sent: Multipart) -> Response:
    by_link = request.method == "GET" and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if by_link and sessions.COOKIE not in request.cookies:
        return _again(request)
    context = RequestContext(request, state.app, sessions.NOBODY, sent.fields, sent.files)
    try:
        context = replace(context, session=sessions.open_(state.app, request))
        if request.method == "POST":
            _refuse_forged(context)
        if not (context.session.signed_in or view.public):
            return _to_login(context)
        handler = view.action if request.method == "POST" else view.show
        assert handler is not None  # noqa: S101 - for mypy: the route lets no other method in
        return finished(context, handler(context))
    except EraserError as error:
        if view.trouble and context.part:
            return finished(context, view.trouble(context, error))
        return _trouble(context, error)
    except Exception:
        log.exception("http.failed", extra={"method": request.method, "route": view.path})
        return _trouble(context, None)


def finished(context: RequestContext, result: Page | Redirect | Download | FileDownload) -> Response:
    """The response, with the cookies to set."""
    response: Response
    chosen = context.session
    match result:
        case Redirect():
            response, chosen = RedirectResponse(result.to, 303), result.session or chosen
            if result.notice:
                _remember(context, response, sessions.NOTICE, quote(result.notice[:LONGEST_NOTICE]), life_s=60)
        case Download():
            named = {"Content-Disposition": f'attachment; filename="{result.name}"'}
            response = Response(result.content, headers=named, media_type=result.media_type)
        case FileDownload():
            gone = BackgroundTask(shutil.rmtree, result.path.parent, ignore_errors=True)
            response = FileResponse(result.path, media_type=result.media_type, filename=result.name, background=gone)
        case Page():
            notice = "" if context.part else unquote(context.request.cookies.get(sessions.NOTICE, ""))
            text = rendering.render(context, result.template, {**result.values, "notice": notice})
            response = HTMLResponse(text, result.status)
            if notice:
                response.delete_cookie(sessions.NOTICE, httponly=True, samesite="strict")
    if chosen.fresh:
        _remember(context, response, sessions.COOKIE, chosen.id, life_s=sessions.LIFE_S)
    if context.request.method == "POST" and is_opaque(context.field("by")) and response.status_code < 400:
        _remember(context, response, sessions.WHO, context.field("by"), life_s=sessions.LIFE_S)
    return rendering.guarded(response)


# -- refusals --------------------------------------------------------------------------------------------------------


def _refuse_forged(context: RequestContext) -> None:
    """Raise `CsrfError` unless the post comes from a form of ours, in this browser."""
    _refuse_elsewhere(context.request)
    if context.session.fresh or not context.session.is_ours(context.field("token")):
        raise CsrfError(
            "this form does not belong to this session. Nothing was done. Reload the page, then send it again."
        )


def _refuse_elsewhere(request: Request) -> None:
    headers = request.headers
    origin, site, host = headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host")
    if origin not in (f"http://{host}", f"https://{host}") or site not in (None, "same-origin"):
        raise CsrfError("this request came from another site, or without an Origin header. Nothing was done.")


def _again(request: Request) -> Response:
    """After a link from another site a browser does not send a strict cookie: load the page again from our own
    origin.
    """
    where = html.escape(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    body = f'<!doctype html><title>eraser</title><meta http-equiv="refresh" content="0;url={where}">'
    return rendering.guarded(HTMLResponse(f'{body}<a href="{where}">Continue</a>'))


def _to_login(context: RequestContext) -> Response:
    if context.part:
        return rendering.guarded(HTMLResponse('<p>Signed out. <a href="/login">Sign in</a></p>', STOP_POLLING))
    path, query = context.request.url.path, context.request.url.query
    to = "" if path == "/" else "?to=" + quote(f"{path}?{query}" if query else path, safe="")
    return finished(context, Redirect(f"/login{to}"))


def _trouble(context: RequestContext, error: EraserError | None) -> Response:
    """An error page; None: an internal error. Polling continues, because Redis may come back."""
    why, status = (str(error), problem_details.of(error).status) if error else (OUR_FAULT, 500)
    status = 403 if isinstance(error, CsrfError) else status
    if context.part:
        return rendering.guarded(HTMLResponse(rendering.render(context, "_trouble.html", {"why": why})))
    return finished(context, Page("trouble.html", {"why": why, "status": status}, status))


# -- what is sent ----------------------------------------------------------------------------------------------------


async def _sent(state: ConsoleState, view: View, request: Request) -> Multipart:
    """What a browser posts. A file is read only where the view takes one, and from whoever is signed in."""
    if view.largest is None:
        return Multipart(await _form(request))
    _refuse_elsewhere(request)
    session = await state.pool.run(lambda: sessions.open_(state.app, request))
    if not session.signed_in:
        raise CsrfError("nobody is signed in, so the file was not read. Nothing was done.")
    body = bytearray()
    async for chunk in request.stream():  # its length was limited: see `worker.interfaces.web.request_guard`
        body += chunk
    return multipart.read(request.headers.get("content-type", ""), bytes(body))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; none if it is not a form, or too long: then the token is missing."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return {}
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return {}


def _remember(context: RequestContext, response: Response, name: str, value: str, *, life_s: int | None) -> None:
    response.set_cookie(
        name, value, max_age=life_s, httponly=True, samesite="strict", secure=not context.local, path="/"
    )
