"""The hold list: what must not be sent, putting jobs or an app user on it, and taking them off."""

from __future__ import annotations

from itertools import islice

from worker.errors import EraserError, Unreachable, UsageError
from worker.operations import holds, requests
from worker.operations.console import dialogs
from worker.operations.console.dialogs import Dialog
from worker.operations.console.visits import Move, Page, View, Visit
from worker.operations.times import parse_day_or_time
from worker.operations.words import count

ROWS = 500


def show(visit: Visit) -> Page:
    return _page(visit)


def add(visit: Visit) -> Move | Page:
    """Jobs by their ids, or an app user, whose name is never shown again."""
    try:
        reason, by = dialogs.checked(visit)
        until = until_ms(visit)
        job_ids, app_user = tuple(visit.said("jobs").split()), visit.said("app_user") or None
        if bool(job_ids) == bool(app_user):
            raise UsageError("give jobs, or an app user, not both")
        if visit.said("do") == "remove":
            return _removed(visit, app_user, reason, by)
        if app_user:
            holds.add_user(visit.running, None, app_user, reason=reason, by=by, until_ms=until)
            return Move("/holds", "The jobs of this app user are on hold.")
        allow = visit.said("allow_project") == "yes"
        project = requests.known_project(visit.running, visit.said("project") or None, allow=allow)
        told = holds.add(visit.running, project, job_ids, reason=reason, by=by, until_ms=until)
    except Unreachable:
        raise
    except EraserError as error:
        return _page(visit, why_not=dialogs.why(error))
    others = [one for one in told if not one.done]
    if others:
        return Page("told.html", {"title": "Holds", "results": told, "back": "/holds"})
    return Move("/holds", f"{count(len(told), 'job')} on hold.")


def until_ms(visit: Visit) -> float | None:
    """When the hold shall end. Raises `UsageError`."""
    text = visit.said("until")
    if not text:
        return None
    until = parse_day_or_time(text, "until")
    if until <= visit.running.redis_ms():
        raise UsageError(f"until: {text[:40]} has passed: nothing was put on hold")
    return until


def _page(visit: Visit, *, why_not: str = "") -> Page:
    now = visit.running.redis_ms()
    every = holds.each(visit.running)
    rows = list(islice(every, ROWS))
    more = sum(1 for _ in every)
    form = {name: visit.said(name) for name in ("jobs", "project", "reason", "until")}
    said = {"rows": rows, "more": more, "now": now, "form": form, "why_not": why_not}
    return Page("holds.html", said, 422 if why_not else 200)


def _removed(visit: Visit, app_user: str | None, reason: str, by: str) -> Move:
    if app_user is None:
        raise UsageError("give the app user whose hold is to be removed; remove a job's hold in its row")
    there, freed = holds.remove_user(visit.running, None, app_user, reason=reason, by=by)
    if not there:
        raise UsageError("there is no hold of this app user")
    return Move("/holds", f"The hold is removed; {count(freed, 'deletion')} that it held {goes(freed)} on.")


def goes(number: int) -> str:
    return "goes" if number == 1 else "go"


def ask_removal(visit: Visit) -> Page:
    return dialogs.asking(visit, _removal(visit))


def remove(visit: Visit) -> Move | Page:
    return dialogs.acted(visit, _removal(visit), lambda reason, by: _remove(visit, reason, by))


def _removal(visit: Visit) -> Dialog:
    project = requests.project_of(visit.running, visit.request.path_params["project"])
    job = requests.checked(visit.running, visit.request.path_params["job"])  # it stands in a command to copy
    says = (f"Job {job}: its deletion continues, with the time it had left.",)
    command = f"eraser hold remove {job} --project {project}"
    return Dialog("Remove the hold", says, "Remove the hold", "/holds", command=command)


def _remove(visit: Visit, reason: str, by: str) -> Move:
    project, job = visit.request.path_params["project"], visit.request.path_params["job"]
    told = holds.remove(visit.running, project, [job], reason=reason, by=by)
    return Move("/holds", f"Job {job[:64]}: {told[0].text}.")


VIEWS = (View("/holds", show, add), View("/holds/{project}/{job}/remove", ask_removal, remove))
