"""Requesting deletions, one or a pasted list: what is typed, the plan, and then the request."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from worker.interfaces.console import dialogs
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.ledger.types import DeletionRequest
from worker.model.erasure import Related
from worker.model.errors import EraserError, UsageError
from worker.model.states import Lane
from worker.model.target import Target
from worker.services import request, request_plan
from worker.services.act import CAP, Approval, Outcome, Plan
from worker.services.id_lines import Lines
from worker.services.labels import count
from worker.services.request import Requested

PATH = "/request"
ROWS = 500  # invalid ids that are listed
TERMS = ("project", "allow_project", "lane", "after", "deadline", "related", "run", "force")
LANES = {"": "user up to 100, bulk for more", Lane.USER: "user: a person waits", Lane.BULK: "bulk: behind people"}


def ask(context: RequestContext) -> Page:
    """The empty form; `?jobs=` fills it."""
    return _form(context, {"jobs": context.query("jobs"), "project": context.query("project")})


def act(context: RequestContext) -> Page | Redirect:
    """First the plan, then the request."""
    typed = {name: context.field(name) for name in ("jobs", *TERMS)}
    try:
        ids, project = _ids(typed["jobs"]), _project(context, typed)
        _terms(context, typed, len(ids))  # what is wrong with it is said before the plan
        plan = request_plan.plan(context.app, project, ids, force=bool(typed["force"]))
    except EraserError as error:
        return _form(context, typed, why_not=dialogs.why(error))
    if context.field("do") != "request":
        return _planned(context, typed, project, ids, plan)
    try:
        approval = dialogs.approval(context)
        action = request.check_cap(len(ids), approval)
        terms = _terms(context, typed, len(ids), approval, action, context.field("app_user") or None)
        done = list(request.submit(context.app, project, ids, terms))
    except EraserError as error:
        return _planned(context, typed, project, ids, plan, why_not=dialogs.why(error))
    return _result(project, typed["run"], done)


def _form(context: RequestContext, typed: dict[str, str], *, why_not: str = "") -> Page:
    default = context.app.settings.default_project() or ""
    values = {"typed": dict.fromkeys(TERMS, "") | typed, "default": default, "lanes": LANES}
    return Page("request.html", values | {"related": list(Related), "why_not": why_not}, 422 if why_not else 200)


def _planned(
    context: RequestContext, typed: dict[str, str], project: str, ids: list[str], plan: Plan, *, why_not: str = ""
) -> Page:
    kept = {name: value for name, value in (typed | {"jobs": " ".join(ids), "project": project}).items() if value}
    values = {"plan": plan, "project": project, "kept": kept, "over_cap": len(ids) > CAP, "number": len(ids)}
    values |= {"form": {name: context.field(name) for name in ("reason", "most")}, "why_not": why_not}
    return Page("request_plan.html", values, 422 if why_not else 200)


def _ids(text: str) -> list[str]:
    """As in a file: blank lines and lines that start with # do not count. Several may stand in a line."""
    lines = Lines(BytesIO(text.encode()), "the list")
    ids = list(dict.fromkeys(word for line in lines for word in line.replace(",", " ").split()))
    if not ids:
        raise UsageError("give one job id at least")
    return ids


def _project(context: RequestContext, typed: dict[str, str]) -> str:
    project = request.known_project(context.app, typed["project"] or None, allow=typed["allow_project"] == "yes")
    context.app.settings.account_of(project)
    return project


def _terms(
    context: RequestContext,
    typed: dict[str, str],
    number: int,
    approval: Approval | None = None,
    action: dict[str, Any] | None = None,
    app_user: str | None = None,
) -> DeletionRequest:
    return request.from_texts(
        context.app,
        now=context.app.redis_ms(),
        after=typed["after"] or None,
        deadline=typed["deadline"] or None,
        lane=typed["lane"] or (Lane.BULK if number > CAP else Lane.USER),
        run=typed["run"] or None,
        related=typed["related"] or None,
        force=bool(typed["force"]),
        by=approval.by if approval else None,
        reason=approval.reason if approval else None,
        action=action,
        app_user=app_user,
    )


def _result(project: str, run: str, done: list[Requested]) -> Page | Redirect:
    accepted = [one.accepted for one in done if one.accepted]
    merged = sum(one.deduplicated for one in accepted)
    text = f"Accepted: {count(len(accepted), 'deletion')}{f', {merged:,} of them merged' if merged else ''}."
    to = f"/deletions?state=all&run={run}" if run else "/deletions?state=pending"
    if len(done) == 1 and accepted:
        to = f"/deletions/{project}/{accepted[0].ref.name}"
    bad = [Outcome(Target(project, one.job_id), None, one.error or "", done=False) for one in done if not one.accepted]
    if not bad:
        return Redirect(to, text)
    more = max(0, len(bad) - ROWS)
    return Page("results.html", {"title": text, "results": bad[:ROWS], "more": more, "back": to})


VIEWS = (View(PATH, ask, act),)
