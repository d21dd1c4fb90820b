"""The common part of all actions: a page that says what will happen and asks for the reason and who acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.interfaces.console.request_context import Page, Redirect, RequestContext
from worker.model.errors import EraserError, RefusedBySafetyRule, Unreachable, UsageError
from worker.model.ids import check_opaque, check_reason
from worker.services.request import CAP


@dataclass(frozen=True, slots=True)
class Dialog:
    """One dialog. `count`: the number of deletions, if it may be above the cap."""

    title: str
    says: Sequence[str]  # what will happen, one line each
    button: str
    back: str
    dangerous: bool = False
    command: str = ""  # the same on the command line
    count: int = 1
    until: bool = False  # the hold may have an end
    wants_reason: bool = True

    @property
    def over_cap(self) -> bool:
        return self.count > CAP


def asking(context: RequestContext, dialog: Dialog, *, why_not: str = "") -> Page:
    """The dialog; `why_not`: what was wrong with the form."""
    return Page(
        "dialog.html", {"dialog": dialog, "form": dict(context.form), "why_not": why_not}, 422 if why_not else 200
    )


def acted(context: RequestContext, dialog: Dialog, do: Callable[[str, str], Redirect | Page]) -> Redirect | Page:
    """Check the form and do the action with reason and actor; errors are shown on the dialog."""
    try:
        reason, by = checked(context, wants_reason=dialog.wants_reason)
        check_count(context, dialog.count)
        return do(reason, by)
    except Unreachable:
        raise
    except EraserError as error:
        return asking(context, dialog, why_not=why(error))


def why(error: EraserError) -> str:
    """An error for a person: without the rule's name, which is for programs."""
    return str(error).removeprefix(f"refused by {error.rule}: " if isinstance(error, RefusedBySafetyRule) else "")


def checked(context: RequestContext, *, wants_reason: bool = True) -> tuple[str, str]:
    """The reason and the actor. Raises `UsageError`."""
    reason, by = context.said("reason"), context.said("by")
    if wants_reason and not reason:
        raise UsageError("reason: give a ticket number or a few plain words")
    if not by:
        raise UsageError("by: give your opaque id such as ops-7, never a name")
    check_opaque(by, "who")
    check_reason(reason or None)
    return reason, by


def most(context: RequestContext) -> int | None:
    """The number that was typed as a confirmation. Raises `UsageError`."""
    text = context.said("most").replace(",", "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"the number of dead letters: expected digits; found {text[:20]!r}")
    return int(text)


def check_count(context: RequestContext, count: int) -> None:
    """Raises `RefusedBySafetyRule` above the confirmed number."""
    allowed = most(context)
    if count > (CAP if allowed is None else allowed):
        raise RefusedBySafetyRule(
            "max", f"{count:,} dead letters: more than {CAP} must be confirmed. Nothing was done. Type {count}"
        )
