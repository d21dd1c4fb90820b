"""Jobs that MetaStudio has again after their deletion, and the button that requests them once more."""

from __future__ import annotations

from worker.interfaces.console import dialogs, paging
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.index_walk import Place
from worker.services import came_back
from worker.services.act import Approval
from worker.services.came_back import CameBack
from worker.services.labels import count

PATH = "/back"


def show(context: RequestContext) -> Page:
    page = paging.cut(context, came_back.each(context.app), _place)
    return Page("back.html", {"page": page, "now": context.app.redis_ms()})


def _place(one: CameBack) -> Place:
    """The latest first."""
    return Place(-float(one.at), one.account, "", str(one.ref).encode())


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
