"""Signing in, by the password or by a one-time link where none is set; and signing out."""

from __future__ import annotations

from worker.config.personal import check_opaque
from worker.interfaces.console import sessions
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import UsageError
from worker.services import console_links

LONGEST_ADDRESS = 2_000  # characters
LATER = "too many wrong passwords from here: try again in five minutes"


def show(context: RequestContext) -> Page | Redirect:
    if context.session.signed_in:
        return Redirect(_wanted(context))
    word = context.query("link")
    if not word or context.app.settings.console_password is not None or context.request.method != "GET":
        return _page()
    if not context.encrypted:
        return _page("this link came without encryption, so it was not used: use https", 403)
    if not console_links.use(context.app, word):
        return _page("this link was used already, or it is too old", 403)
    return Redirect("/", session=sessions.sign_in(context.app, context.user))


def sign_in(context: RequestContext) -> Page | Redirect:
    if context.app.settings.console_password is None:
        return Redirect("/")
    if not context.encrypted:
        return _page("this page was sent without encryption, so the password was not checked: use https", 403)
    if not sessions.may_try(context.app, context.address):
        return _page(LATER, 429)
    if not sessions.is_password(context.app, context.form.get("password", "")):
        return _page("wrong password", 403)
    try:
        check_opaque(context.field("by") or None, "who")
    except UsageError as error:
        return _page(str(error), 422)
    sessions.forget_tries(context.app, context.address)
    return Redirect(_wanted(context), session=sessions.sign_in(context.app, context.field("by")))


def _wanted(context: RequestContext) -> str:
    """The page that was asked for before; only one of ours."""
    to = context.query("to", LONGEST_ADDRESS)
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() else "/"


def sign_out(context: RequestContext) -> Redirect:
    sessions.sign_out(context.app, context.session)
    return Redirect("/login", "You are signed out.")


def _page(why_not: str = "", status: int = 200) -> Page:
    return Page("login.html", {"why_not": why_not}, status)


VIEWS = (View("/login", show, sign_in, public=True), View("/logout", action=sign_out))
