"""Rendering: filters for templates, static files and response headers."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from worker import __version__
from worker.services import labels
from worker.services.times import absolute, left, relative, rfc3339, span

if TYPE_CHECKING:
    from worker.interfaces.console.request_context import RequestContext

HERE = Path(__file__).parent
KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
MENU = (
    ("/", "Overview"),
    ("/gate", "Gate"),
    ("/dead", "Dead letters"),
    ("/deletions", "Deletions"),
    ("/related", "Left behind"),
    ("/replays", "Replays"),
    ("/holds", "Holds"),
    ("/retention", "Retention"),
    ("/receipts", "Receipts"),
    ("/audit", "Audit"),
    ("/webhooks", "Webhooks"),
)
# Nothing from other origins, nothing inline, no framing; forms post only to this origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {  # besides those of every response: see `worker.interfaces.web.request_guard`
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends `Origin: null`, and every post is refused
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def render(context: RequestContext, template: str, values: Mapping[str, object]) -> str:
    """The HTML of a page for one request."""
    path = context.request.url.path
    general = {
        "notice": "",
        "path": path,
        "turned": bool(context.request.query_params.get("from")),
        "here": next((to for to, _ in reversed(MENU) if to == path or (to != "/" and path.startswith(to))), ""),
        "token": context.session.token,
        "who": context.user,
        "signed_in": context.session.signed_in,
        "password": context.app.settings.console_password is not None,
    }
    return _templates().get_template(template).render({**general, **values})


def guarded(response: Response) -> Response:
    """The same with the headers of every page: nothing from other origins."""
    response.headers.update(HEADERS)
    return response


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": labels.count,
        "n": lambda number: f"{number:,}",
        "cause": labels.cause,
        "span": span,
        "left": left,
        "when": _when,
        "moment": _moment,
        "iso": rfc3339,
        "ticked": _ticked,
        "plain": labels.plain,
        "sentence": lambda text: text[:1].upper() + text[1:],
        "job_path": lambda ref: f"/deletions/{ref.project_id}/{ref.name}",
        "quoted": lambda text: quote(str(text), safe=""),
        "query": lambda fields: urlencode({name: value for name, value in fields.items() if value}),
    }
    made.globals |= {"menu": MENU, "version": __version__, "static": _addresses(), "words": labels}
    return made


def _when(ms: float | None, now: float) -> Markup:
    """`4 min ago`, with the exact time as a tooltip and for programs."""
    if ms is None:
        return Markup("never")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(rfc3339(ms), absolute(ms), relative(ms, now))


def _moment(ms: float) -> Markup:
    """`2026-11-27 12:00:00 UTC`; `local.js` adds this browser's time."""
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(ms), absolute(ms))


def _ticked(text: str) -> Markup:
    """Text between backticks as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


# -- static files ----------------------------------------------------------------------------------------------------


def static_routes() -> list[BaseRoute]:
    """The style sheet and htmx under names that change with their content, so that browsers can cache them forever."""
    return [Route(address, _sender(HERE / "static" / name), methods=["GET"]) for name, address in _addresses().items()]


def _sender(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content, kind = path.read_bytes(), KINDS[path.suffix]

    async def send(_: Request) -> Response:
        response = guarded(Response(content, media_type=kind))
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    return send


@cache
def _addresses() -> dict[str, str]:
    """name -> address."""
    files = [file for file in sorted((HERE / "static").iterdir()) if file.suffix in KINDS]
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return {name: f"/static/{digest[:12]}/{name}" for name, digest in digests.items()}
