"""Deletions in a list: by state and further filters, which are all in the address; and the way to one job."""

from __future__ import annotations

from contextlib import suppress

from worker.deletion import State, why_bad_id
from worker.errors import SettingsError, UsageError
from worker.ledger.moves import Ref
from worker.operations import deletions
from worker.operations.console.visits import Move, Page, View, Visit
from worker.operations.deletions import Wanted
from worker.operations.times import parse_past

FILTERS = ("state", "job", "project", "group", "since", "until")


def show(visit: Visit) -> Page:
    running = visit.running
    now = running.redis_ms()
    fields = {name: visit.asked(name) for name in FILTERS}
    fields["state"] = fields["state"] or State.PENDING.value
    said: dict[str, object] = {"fields": fields, "now": now, "states": list(State), "why_not": "", "page": None}
    try:
        wanted = _wanted(fields, now)
        said["page"] = deletions.page(running, wanted, visit.asked("from"))
    except UsageError as error:
        said["why_not"] = str(error)
    return Page("deletions.html", said, 422 if said["why_not"] else 200)


def find(visit: Visit) -> Page | Move:
    """One job, in whichever project of ours it is."""
    job = visit.asked("job")
    if not job:
        return Move("/deletions")
    why = why_bad_id(job)
    found = [] if why else _everywhere(visit, job)
    if len(found) == 1:
        return Move(f"/deletions/{found[0].project_id}/{found[0].job_id}")
    return Page("find.html", {"job": job, "found": found, "why_not": why or ""}, 422 if why else 200)


def _everywhere(visit: Visit, job: str) -> list[Ref]:
    running, found = visit.running, []
    for project in sorted(running.settings.projects | running.places.homes().keys()):
        with suppress(SettingsError):  # a project of no account has nothing
            for account in running.homes_of(project):
                found += [
                    ref for ref, state in running.glance(account).states([Ref(project, job)]) if state is not None
                ]
    return found


def _wanted(fields: dict[str, str], now: float) -> Wanted:
    if fields["state"] not in tuple(State):
        raise UsageError(f"state: expected one of {', '.join(State)}; found {fields['state'][:40]!r}")
    for name in ("job", "project"):
        if fields[name] and (why := why_bad_id(fields[name])):
            raise UsageError(why)
    return Wanted(
        state=State(fields["state"]),
        group=fields["group"] or None,
        project=fields["project"] or None,
        job=fields["job"],
        since=parse_past(fields["since"], "since", now) if fields["since"] else None,
        until=parse_past(fields["until"], "until", now) if fields["until"] else None,
    )


VIEWS = (View("/deletions", show), View("/find", find))
