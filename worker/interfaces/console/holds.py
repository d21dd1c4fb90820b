"""The hold list: showing it, adding jobs or an app user, and removing them."""

from __future__ import annotations

from itertools import islice

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import EraserError, Unreachable, UsageError
from worker.services import hold, request
from worker.services.labels import count
from worker.services.times import parse_day_or_time

ROWS = 500


def show(context: RequestContext) -> Page:
    return _page(context)


def add(context: RequestContext) -> Redirect | Page:
    """Add jobs by id, or an app user, who is never shown again."""
    try:
        reason, by = dialogs.checked(context)
        until = until_ms(context)
        job_ids, app_user = tuple(context.said("jobs").split()), context.said("app_user") or None
        if bool(job_ids) == bool(app_user):
            raise UsageError("give jobs, or an app user, not both")
        if context.said("do") == "remove":
            return _removed(context, app_user, reason, by)
        if app_user:
            hold.add_user(context.app, None, app_user, reason=reason, by=by, until_ms=until)
            return Redirect("/holds", "The jobs of this app user are on hold.")
        allow = context.said("allow_project") == "yes"
        project = request.known_project(context.app, context.said("project") or None, allow=allow)
        told = hold.add(context.app, project, job_ids, reason=reason, by=by, until_ms=until)
    except Unreachable:
        raise
    except EraserError as error:
        return _page(context, why_not=dialogs.why(error))
    others = [one for one in told if not one.done]
    if others:
        return Page("told.html", {"title": "Holds", "results": told, "back": "/holds"})
    return Redirect("/holds", f"{count(len(told), 'job')} on hold.")


def until_ms(context: RequestContext) -> float | None:
    """The end of the hold. Raises `UsageError`."""
    text = context.said("until")
    if not text:
        return None
    until = parse_day_or_time(text, "until")
    if until <= context.app.redis_ms():
        raise UsageError(f"until: {text[:40]} has passed: nothing was put on hold")
    return until


def _page(context: RequestContext, *, why_not: str = "") -> Page:
    now = context.app.redis_ms()
    every = hold.each(context.app)
    rows = list(islice(every, ROWS))
    more = sum(1 for _ in every)
    form = {name: context.said(name) for name in ("jobs", "project", "reason", "until")}
    fields = {"rows": rows, "more": more, "now": now, "form": form, "why_not": why_not}
    return Page("holds.html", fields, 422 if why_not else 200)


def _removed(context: RequestContext, app_user: str | None, reason: str, by: str) -> Redirect:
    if app_user is None:
        raise UsageError("give the app user whose hold is to be removed; remove a job's hold in its row")
    there, freed = hold.remove_user(context.app, None, app_user, reason=reason, by=by)
    if not there:
        raise UsageError("there is no hold of this app user")
    return Redirect("/holds", f"The hold is removed; {count(freed, 'deletion')} that it held {goes(freed)} on.")


def goes(number: int) -> str:
    return "goes" if number == 1 else "go"


def ask_removal(context: RequestContext) -> Page:
    return dialogs.asking(context, _removal(context))


def remove(context: RequestContext) -> Redirect | Page:
    return dialogs.acted(context, _removal(context), lambda reason, by: _remove(context, reason, by))


def _removal(context: RequestContext) -> Dialog:
    project = request.project_of(context.app, context.request.path_params["project"])
    job = request.checked(context.app, context.request.path_params["job"])  # it is in a command to copy
    says = (f"Job {job}: its deletion continues, with the time it had left.",)
    command = f"eraser hold remove {job} --project {project}"
    return Dialog("Remove the hold", says, "Remove the hold", "/holds", command=command)


def _remove(context: RequestContext, reason: str, by: str) -> Redirect:
    project, job = context.request.path_params["project"], context.request.path_params["job"]
    told = hold.remove(context.app, project, [job], reason=reason, by=by)
    return Redirect("/holds", f"Job {job[:64]}: {told[0].text}.")


VIEWS = (View("/holds", show, add), View("/holds/{project}/{job}/remove", ask_removal, remove))
