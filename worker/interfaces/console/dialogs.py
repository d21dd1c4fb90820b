"""The common part of all actions: a page that says what will happen and asks for the reason and who acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.config.personal import check_opaque
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import EraserError, RefusedBySafetyRule, Unreachable, UsageError
from worker.services.act import CAP, Approval

Do = Callable[[Approval], str | Page | Redirect]  # returns what the next page tells, or that page


@dataclass(frozen=True, slots=True)
class Dialog:
    """One dialog. `count`: of deletions, if it may be above the cap. Without a `button` there is nothing to do."""

    title: str
    says: Sequence[str]  # what will happen, one line each
    button: str
    back: str
    do: Do
    dangerous: bool = False
    command: str = ""  # the same on the command line
    count: int = 1
    until: bool = False  # the hold may have an end
    app_user: bool = False  # whose job it was may be named
    queue: bool = False  # of the broker, is asked for
    to: str = ""  # the next page, if it is not the last one
    planned: int | None = None  # how many were shown: not more of them are done
    named: Sequence[tuple[str, str]] = ()  # addresses and names of those that are meant
    unnamed: int = 0  # how many more are meant

    @property
    def over_cap(self) -> bool:
        return self.count > CAP


def view(path: str, dialog: Callable[[RequestContext], Dialog]) -> View:
    """The dialog at this path, and its action; errors are shown on the dialog."""

    def ask(context: RequestContext) -> Page:
        return _page(context, dialog(context))

    def act(context: RequestContext) -> Redirect | Page:
        shown = dialog(context)
        try:
            done = shown.do(approval(context))
            return Redirect(shown.to or shown.back, done) if isinstance(done, str) else done
        except EraserError as error:
            return _page(context, shown, why_not=why(error))

    return View(path, ask, act)


def _page(context: RequestContext, dialog: Dialog, *, why_not: str = "") -> Page:
    fields = {"dialog": dialog, "form": dict(context.form), "why_not": why_not}
    return Page("dialog.html", fields, 422 if why_not else 200)


def why(error: EraserError) -> str:
    """A refusal for a person: without the rule's name, which is for programs. An `Unreachable` is raised again."""
    if isinstance(error, Unreachable):
        raise error
    return str(error).removeprefix(f"refused by {error.rule}: " if isinstance(error, RefusedBySafetyRule) else "")


def approval(context: RequestContext) -> Approval:
    """Who acts, why, and the number that was typed as a confirmation. Raises `UsageError`."""
    reason, by = context.field("reason"), context.field("by")
    most = number(context.field("most") or context.field("planned"))
    if not reason:
        raise UsageError("reason: give a ticket number or a few plain words")
    if not by:
        raise UsageError("by: give your opaque id such as ops-7, never a name")
    check_opaque(by, "who")
    return Approval(by, reason, most=most)


def number(text: str) -> int | None:
    """The number that was typed as a confirmation, if one was. Raises `UsageError`."""
    digits = text.replace(",", "")
    if digits and not (digits.isdecimal() and len(digits) < 10):
        raise UsageError(f"the number to confirm: expected digits; found {digits[:20]!r}")
    return int(digits) if digits else None
