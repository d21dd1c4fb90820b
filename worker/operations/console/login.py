"""Signing in and out, where a password is set."""

from __future__ import annotations

from worker.deletion import check_opaque
from worker.errors import UsageError
from worker.operations.console import sessions
from worker.operations.console.visits import Move, Page, View, Visit

LATER = "too many wrong passwords from here: try again in five minutes"


def show(visit: Visit) -> Page | Move:
    if visit.session.signed_in:
        return Move("/")
    return _page()


def sign_in(visit: Visit) -> Page | Move:
    if sessions.password(visit.running) is None:
        return Move("/")
    if not visit.encrypted:
        return _page("this page was sent without encryption, so the password was not checked: use https", 403)
    if not sessions.may_try(visit.running, visit.address):
        return _page(LATER, 429)
    if not sessions.is_password(visit.running, visit.form.get("password", "")):
        return _page("wrong password", 403)
    try:
        check_opaque(visit.said("by") or None, "who")
    except UsageError as error:
        return _page(str(error), 422)
    sessions.forget_tries(visit.running, visit.address)
    return Move("/", session=sessions.sign_in(visit.running, visit.said("by")))


def sign_out(visit: Visit) -> Move:
    sessions.sign_out(visit.running, visit.session)
    return Move("/login", "You are signed out.")


def _page(why_not: str = "", status: int = 200) -> Page:
    return Page("login.html", {"why_not": why_not}, status)


VIEWS = (View("/login", show, sign_in, public=True), View("/logout", act=sign_out))
