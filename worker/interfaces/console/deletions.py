"""Lists of deletions, by state and further filters, which are all in the address; and finding one job."""

from __future__ import annotations

from contextlib import suppress

from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import SettingsError, UsageError
from worker.model.ids import why_bad_id
from worker.model.states import State
from worker.model.target import Target
from worker.services import listing
from worker.services.listing import Wanted
from worker.services.times import parse_period

FILTERS = ("state", "job", "project", "group", "since", "until")


def show(context: RequestContext) -> Page:
    app = context.app
    now = app.redis_ms()
    fields = {name: context.query(name) for name in FILTERS}
    fields["state"] = fields["state"] or State.PENDING.value
    values: dict[str, object] = {"fields": fields, "now": now, "states": list(State), "why_not": "", "page": None}
    try:
        wanted = _wanted(fields, now)
        values["page"] = listing.page(app, wanted, context.query("from"))
    except UsageError as error:
        values["why_not"] = str(error)
    return Page("deletions.html", values, 422 if values["why_not"] else 200)


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


def _wanted(fields: dict[str, str], now: float) -> Wanted:
    if fields["state"] not in tuple(State):
        raise UsageError(f"state: expected one of {', '.join(State)}; found {fields['state'][:40]!r}")
    for name, check in (("job", Target.why_not_named), ("project", why_bad_id)):
        if fields[name] and (why := check(fields[name])):
            raise UsageError(why)
    since, until = parse_period(fields, now)
    group, project = fields["group"] or None, fields["project"] or None
    return Wanted(State(fields["state"]), group, project, fields["job"], since, until)


VIEWS = (View("/deletions", show), View("/find", find))
