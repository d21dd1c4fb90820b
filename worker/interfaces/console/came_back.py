"""Jobs that MetaStudio has again after their deletion, and the button that requests them once more."""

from __future__ import annotations

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.services import came_back
from worker.services.act import Approval
from worker.services.labels import count

PATH = "/back"
ROWS = 500


def show(context: RequestContext) -> Page:
    found = came_back.each(context.app)
    fields = {"rows": found[:ROWS], "more": max(0, len(found) - ROWS), "now": context.app.redis_ms()}
    return Page("back.html", fields)


def _request(context: RequestContext) -> Dialog:
    app = context.app
    found = came_back.each(app)

    def do(approval: Approval) -> str:
        done = came_back.request_all(app, found, approval)
        failed = [one.text for one in done if not one.done]
        return f"{count(len(done) - len(failed), 'job')} requested again. {' '.join(failed)}".strip()

    says = [f"{count(len(found), 'job')}: each deletion opens a new round, before bulk work."]
    command = "eraser receipts back request"
    return Dialog("Request them again", says, "Request them again", PATH, do, command=command, count=len(found))


VIEWS = (View(PATH, show), dialogs.view(f"{PATH}/request", _request))
