"""The hold list: showing it, adding jobs or an app user, and removing them."""

from __future__ import annotations

from worker.execution.app_context import AppContext
from worker.interfaces.console import dialogs, paging
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.ledger.holds import Hold
from worker.ledger.index_walk import Place
from worker.model.errors import EraserError, UsageError
from worker.services import hold, request
from worker.services.act import Approval, check_either
from worker.services.labels import count


def show(context: RequestContext) -> Page:
    return _page(context)


def add(context: RequestContext) -> Redirect | Page:
    """Add jobs by id, or an app user, who is never shown again."""
    app = context.app
    try:
        approval = dialogs.approval(context)
        until_ms = hold.end_of(app, context.field("until")[:40], "until")
        job_ids, app_user = tuple(context.field("jobs").split()), context.field("app_user") or None
        check_either(job_ids, app_user, "an app user")
        if context.field("do") == "remove":
            return Redirect("/holds", _remove_user(app, app_user, approval))
        if app_user:
            hold.add_user(app, None, app_user, approval, until_ms=until_ms)
            return Redirect("/holds", "The jobs of this app user are on hold.")
        allow = context.field("allow_project") == "yes"
        project = request.known_project(app, context.field("project") or None, allow=allow)
        results = hold.add(app, project, job_ids, approval, until_ms=until_ms)
    except EraserError as error:
        return _page(context, why_not=dialogs.why(error))
    if all(one.done for one in results):
        return Redirect("/holds", f"{count(len(results), 'job')} on hold.")
    return Page("results.html", {"title": "Holds", "results": results, "more": 0, "back": "/holds"})


def _remove_user(app: AppContext, app_user: str | None, approval: Approval) -> str:
    if app_user is None:
        raise UsageError("give the app user whose hold is to be removed; remove a job's hold in its row")
    there, freed = hold.remove_user(app, None, app_user, approval)
    if not there:
        raise UsageError("there is no hold of this app user")
    return f"The hold is removed; {count(freed, 'deletion')} that it held {'goes' if freed == 1 else 'go'} on."


def _page(context: RequestContext, *, why_not: str = "") -> Page:
    page = paging.cut(context, hold.each(context.app), _place)
    form = {name: context.field(name) for name in ("jobs", "project", "reason", "until")}
    fields = {"page": page, "now": context.app.redis_ms(), "form": form, "why_not": why_not}
    return Page("holds.html", fields, 422 if why_not else 200)


def _place(found: tuple[str, Hold]) -> Place:
    """The newest first."""
    account, one = found
    return Place(-float(one.since), account, "", str(one.ref or one.user).encode(errors="replace"))


def _removal(context: RequestContext) -> Dialog:
    project = request.project_of(context.app, context.request.path_params["project"])
    job = request.checked(context.app, context.request.path_params["job"])  # it is in a command to copy

    def remove(approval: Approval) -> str:
        (result,) = hold.remove(context.app, project, [job], approval)
        return f"Job {job}: {result.text}."

    says = (f"Job {job}: its deletion continues, with the time it had left.",)
    command = f"eraser hold remove {job} --project {project}"
    return Dialog("Remove the hold", says, "Remove the hold", "/holds", remove, command=command)


VIEWS = (View("/holds", show, add), dialogs.view("/holds/{project}/{job}/remove", _removal))
