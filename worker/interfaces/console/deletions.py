"""Lists of deletions, by state and further filters, which are all in the address; and finding one job."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from worker.interfaces.console.many import LABELS
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.erasure import Verdict
from worker.model.errors import SettingsError, UsageError
from worker.model.states import State, WaitingFor
from worker.model.target import KINDS, Target
from worker.services import filters, listing, many

STATES = (filters.ALL, *State)
CHOICES = {"waiting_for": tuple(WaitingFor), "kind": KINDS, "erasure": tuple(Verdict), "order": filters.ORDERS}


def show(context: RequestContext) -> Page:
    app = context.app
    now = app.redis_ms()
    fields = {name: context.query(name) for name in filters.EVERY}
    fields["state"] = fields["state"] or State.PENDING.value
    values: dict[str, object] = {"fields": fields, "now": now, "states": STATES, "choices": CHOICES}
    cursor = context.query("from", listing.LONGEST_CURSOR)
    values |= {"why_not": "", "page": None, "cursor": cursor}
    try:
        wanted = filters.read(fields, now)
        values["page"] = listing.page(app, wanted, cursor)
        values |= {"dates": _dates(wanted.states), "archived": listing.archived(app, wanted)}
        values["acts"] = [(step.value, LABELS[step]) for step in many.steps(wanted.states)]
    except UsageError as error:
        values["why_not"] = str(error)
    return Page("deletions.html", values, 422 if values["why_not"] else 200)


def _dates(states: Iterable[State]) -> str:
    """What the dates of deletions in these states are."""
    waiting = [state in filters.WAITS for state in states]
    return "Due" if all(waiting) else "Due or ended" if any(waiting) else "Ended"


def find(context: RequestContext) -> Page | Redirect:
    """Find one job in any configured project."""
    job = context.query("job")
    if not job:
        return Redirect("/deletions")
    why = Target.why_not_named(job)
    found = [] if why else _everywhere(context, job)
    if len(found) == 1:
        return Redirect(f"/deletions/{found[0].project_id}/{found[0].name}")
    return Page("find.html", {"job": job, "found": found, "why_not": why or ""}, 422 if why else 200)


def _everywhere(context: RequestContext, job: str) -> list[Target]:
    app, found = context.app, []
    for project in sorted(app.settings.projects | app.places.homes().keys()):
        with suppress(SettingsError):  # a project without an account has no deletions
            for account in app.homes_of(project):
                known = app.bulk_queries(account).states([Target.named(project, job)])
                found += [ref for ref, state in known if state is not None]
    return found


VIEWS = (View("/deletions", show), View("/find", find))
