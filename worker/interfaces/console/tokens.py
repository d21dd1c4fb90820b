"""The HTTP API's tokens: made, given a new secret, and revoked. Of a secret only its hash is kept; it is shown once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.config.api_tokens import ApiToken, Scope, make
from worker.config.token_file import TokenFile, path_of
from worker.interfaces.console import dialogs
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import UsageError
from worker.model.ids import why_bad_id
from worker.services import token_acts
from worker.services.show import UnknownJob
from worker.services.times import parse_span

PATH = "/tokens"
ONE = f"{PATH}/{{name}}"
SAYS = {
    Scope.REQUEST: "request deletions",
    Scope.READ: "see them and the metrics",
    Scope.OPERATE: "both, and everything operators do",
}


def show(context: RequestContext) -> Page:
    return _page(context)


def create(context: RequestContext) -> Page:
    """Make a token; the page has its secret, once."""
    now = datetime.now(UTC)
    name, projects = context.field("name"), context.field("projects").replace(",", " ").split()
    scopes = [scope for scope in Scope if context.field(f"scope-{scope}") == "yes"]
    try:
        approval = dialogs.approval(context)
        for project in projects:
            if why := why_bad_id(project, "project id"):
                raise UsageError(why)
        if not scopes:
            raise UsageError("tick what the token may do")
        token, secret = make(name, scopes, projects=projects)
        remark = token_acts.create(context.app, _file(context), token, now, approval)
    except UsageError as error:
        return _page(context, why_not=str(error))
    return _page(context, made=(token.name, secret), remark=remark)


def ask(context: RequestContext) -> Page:
    token, verb = _named(context), context.request.path_params["verb"]
    return Page("token.html", {"one": token, "verb": verb, "why_not": "", "reason": ""})


def change(context: RequestContext) -> Page | Redirect:
    """Give it a new secret, or revoke it."""
    token, verb, file = _named(context), context.request.path_params["verb"], _file(context)
    app, reason = context.app, context.field("reason")
    try:
        approval = dialogs.approval(context)
        if verb == "revoke":
            remark = token_acts.revoke(app, file, token.name, approval)
            return Redirect(PATH, f"The token {token.name} is revoked: it no longer works. {remark}".rstrip())
        overlap = timedelta(seconds=parse_span(context.field("overlap"), "overlap") if context.field("overlap") else 0)
        _, secret, remark = token_acts.rotate(app, file, token.name, datetime.now(UTC), overlap, approval)
    except UsageError as error:
        return Page("token.html", {"one": token, "verb": verb, "why_not": str(error), "reason": reason}, 422)
    return _page(context, made=(token.name, secret), remark=remark)


def _page(context: RequestContext, *, why_not: str = "", made: tuple[str, str] | None = None, remark: str = "") -> Page:
    now = datetime.now(UTC)
    try:
        rows = [(one, _ms(one.made), _ms(one.previous_until, after=now)) for one in _file(context).current()]
    except UsageError as error:
        rows, why_not = [], str(error)
    typed = {name: context.field(name) if why_not else "" for name in ("name", "projects", "reason")}
    values = {"rows": rows, "made": made, "remark": remark, "why_not": why_not, "scopes": SAYS, "typed": typed}
    return Page("tokens.html", values | {"now": context.app.now().timestamp() * 1000}, 422 if why_not else 200)


def _ms(at: datetime | None, *, after: datetime | None = None) -> float | None:
    return None if at is None or (after is not None and at <= after) else at.timestamp() * 1000


def _named(context: RequestContext) -> ApiToken:
    """The token of the address, and an act that there is. Raises `UnknownJob`."""
    params = context.request.path_params
    found = {token.name: token for token in _file(context).current()}
    if params["name"] not in found or params["verb"] not in ("rotate", "revoke"):
        raise UnknownJob("there is no such token")
    return found[params["name"]]


def _file(context: RequestContext) -> TokenFile:
    return TokenFile(path_of(context.app.settings, context.app.environ))


VIEWS = (View(PATH, show, create), View(f"{ONE}/{{verb}}", ask, change))
