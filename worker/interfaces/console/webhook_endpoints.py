"""Endpoints of webhooks that the ledger keeps: made, changed, given a new secret, which is shown once, and removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from worker.config.webhooks import Endpoint, EventType
from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import EraserError
from worker.services import webhook_endpoints as service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import parse_span, span

T = TypeVar("T")
PATH = "/webhooks"
ONE = f"{PATH}/{{endpoint}}"


def ask_new(context: RequestContext) -> Page:
    return _form(context, None)


def create(context: RequestContext) -> Page:
    def do(approval: Approval) -> Page:
        name, url = context.field("name"), context.field("url")
        return _secret(service.add(context.app, name, url, _events(context), _projects(context), approval))

    return _refused(context, do, lambda why: _form(context, None, why))


def ask_change(context: RequestContext) -> Page:
    return _form(context, _named(context))


def change(context: RequestContext) -> Page | Redirect:
    one = _named(context)

    def do(approval: Approval) -> Redirect:
        ticked = _events(context)
        same = ticked == [event for event in EventType if event in one.events]  # those of a later version have no box
        _, remark = service.change(
            context.app,
            one.name,
            approval,
            url=context.field("url"),
            events=None if same else ticked,
            projects=_projects(context),
            on=context.field("on") == "yes",
            version=context.field("version"),
        )
        return Redirect(
            PATH, f"The endpoint {one.name} is changed; workers use it so within seconds. {remark}".rstrip()
        )

    return _refused(context, do, lambda why: _form(context, one, why))


def ask_rotation(context: RequestContext) -> Page:
    return _rotation(context)


def rotate(context: RequestContext) -> Page:
    one = _named(context)

    def do(approval: Approval) -> Page:
        overlap = context.field("overlap")
        longer = parse_span(overlap, "overlap") if overlap else 0.0
        return _secret(service.rotate(context.app, one.name, longer, approval), longer)

    return _refused(context, do, lambda why: _rotation(context, why))


def _removal(context: RequestContext) -> Dialog:
    one = _named(context)
    waiting = sum(service.plan_of_removal(context.app, one.name).numbers.values())

    def remove(approval: Approval) -> str:
        return f"The endpoint {one.name} is removed. {service.remove(context.app, one.name, approval)}".rstrip()

    says = [f"Nothing is sent to {one.shown} any more.", f"{count(waiting, 'message')} that wait for it: given up."]
    command = f"eraser webhooks remove {one.name}"
    title, button = f"Remove {one.name}", "Remove it"
    return Dialog(title, says if waiting else says[:1], button, PATH, remove, dangerous=True, command=command)


def _refused(context: RequestContext, do: Callable[[Approval], T], again: Callable[[str], Page]) -> T | Page:
    try:
        return do(dialogs.approval(context))
    except EraserError as error:
        return again(dialogs.why(error))


def _named(context: RequestContext) -> Endpoint:
    return service.named(context.app, context.request.path_params["endpoint"])[1]


def _events(context: RequestContext) -> list[str]:
    return [event for event in EventType if context.field(f"event-{event}") == "yes"]


def _projects(context: RequestContext) -> list[str]:
    return context.field("projects").replace(",", " ").split()


def _form(context: RequestContext, one: Endpoint | None, why_not: str = "") -> Page:
    typed = {name: context.field(name) for name in ("name", "url", "projects", "reason", "on")}
    before, one = service.named(context.app, one.name) if one else ("", None)
    version = service.digest(before)
    as_stored = (
        one is not None and context.field("version") != version
    )  # nothing is typed yet, or it is for what is no more
    chosen = list(one.events) if one and as_stored else _events(context)
    if one and as_stored:
        typed |= {"url": one.url, "projects": ", ".join(one.projects), "on": "yes" if one.on else ""}
    events = [] if set(chosen) >= set(EventType) else chosen
    no_key = service.MAKE_KEY if one is None and context.app.settings.webhooks_key is None else ""
    values = {"one": one, "typed": typed, "chosen": events, "events": tuple(EventType), "version": version}
    return Page("webhook_form.html", values | {"no_key": no_key, "why_not": why_not}, 422 if why_not else 200)


def _rotation(context: RequestContext, why_not: str = "") -> Page:
    typed = {name: context.field(name) for name in ("overlap", "reason")}
    return Page(
        "webhook_rotate.html", {"one": _named(context), "typed": typed, "why_not": why_not}, 422 if why_not else 200
    )


def _secret(made: service.NewSecret, overlap_s: float = 0.0) -> Page:
    return Page("webhook_secret.html", {"made": made, "overlap": span(overlap_s) if overlap_s else ""})


VIEWS = (
    View(f"{PATH}/new", ask_new, create),
    View(f"{ONE}/edit", ask_change, change),
    View(f"{ONE}/rotate", ask_rotation, rotate),
    dialogs.view(f"{ONE}/remove", _removal),
)
