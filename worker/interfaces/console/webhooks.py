"""Webhooks: the endpoints, the delivery log, and sending again; the filters are in the address."""

from __future__ import annotations

from itertools import dropwhile, islice

from worker.interfaces.console import dialogs, paging
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.deliveries import DeliveryState
from worker.model.errors import UsageError
from worker.services import webhooks
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.webhooks import DeliveryFilter

ROWS = 50
FILTERS = ("endpoint", "state", "type")
STATES, EVENTS = tuple(map(str, DeliveryState)), tuple(map(str, webhooks.EVENTS))


def show(context: RequestContext) -> Page:
    app = context.app
    fields = {name: context.query(name)[:64] for name in FILTERS}
    state, event = fields["state"], fields["type"]
    why_not = ""
    if (state and state not in STATES) or (event and event not in EVENTS):
        why_not = f"state is one of {', '.join(STATES)}, and type one of {', '.join(EVENTS)}"
        state = event = ""
    wanted = DeliveryFilter(fields["endpoint"] or None, DeliveryState(state) if state else None, event or None)
    found = webhooks.newest(app, wanted)
    if (after := paging.begin_after(context)) is not None:  # the newest first; its row may be gone
        found = dropwhile(lambda one: one.place >= after, found)
    rows = list(islice(found, ROWS + 1))
    options = {
        "endpoints": webhooks.overview(app),
        "page": {"rows": rows[:ROWS], "cursor": str(rows[ROWS - 1].place) if len(rows) > ROWS else None},
        "fields": fields,
        "filtered": any(fields.values()),
        "states": STATES,
        "events": EVENTS,
        "why_not": why_not,
        "now": app.redis_ms(),
    }
    return Page("webhooks.html", options, 422 if why_not else 200)


def _dialog(context: RequestContext) -> Dialog:
    """One message, or all that an endpoint was not given."""
    app, id = context.app, context.request.path_params.get("id")
    endpoint = webhooks.named(app, context.request.path_params["endpoint"])
    chosen = webhooks.choose(app, endpoint, [id] if id else [], [DeliveryState.DEAD], None)
    if not chosen.number:
        raise UsageError("there is no such message any more: see the Webhooks page")

    def send(approval: Approval) -> str:
        results = webhooks.replay(app, chosen, approval)
        return f"{count(sum(what == 'replayed' for what in results.values()), 'message')} on the way again."

    what = "The message" if id else count(chosen.number, "dead message")
    keeps = "keeps its id" if chosen.number == 1 else "keep their ids"
    says = (f"{what} to {endpoint.shown} is sent again by a worker and {keeps}.", "The attempts are counted anew.")
    command = f"eraser webhooks replay {endpoint.name}{f' {id}' if id else ''}"
    title = f"Send to {endpoint.name} again"
    return Dialog(title, says, "Send again", "/webhooks", send, command=command, count=chosen.number)


VIEWS = (
    View("/webhooks", show),
    dialogs.view("/webhooks/{endpoint}/replay", _dialog),
    dialogs.view("/webhooks/{endpoint}/{id}/replay", _dialog),
)
