"""The overview: states, gates, the last hour, and what to do next."""

from __future__ import annotations

from worker.interfaces.console import gate
from worker.interfaces.console.chart import chart
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.model.states import State
from worker.services import status, throughput

# Subject of an advice -> the page for it.
WHERE = {
    "gate": ("/gate", "Show the gate"),
    "parked": ("/parked", "Show the parked messages"),
    "dead": ("/dead", "Show the dead letters"),
    "back": ("/back", "Show what came back"),
    "related": ("/related", "Show what was left behind"),
    "retention": ("/retention", "Show the runs"),
    "replay": ("/replays/", "Show the replay"),
    "webhooks": ("/webhooks?state=dead&endpoint=", "Show the messages"),
}


def show(context: RequestContext) -> Page:
    view = status.look(context.app)
    hour = throughput.last_hour(context.app, view.now)
    limit = sum(account.gate.rate for account in view.accounts)
    pages = ((one, *WHERE.get(one.about, ("", ""))) for one in status.advice(view))
    advice = [(one, page + one.which, label) for one, page, label in pages]
    return Page(
        "_overview.html" if context.part else "overview.html",
        {
            "view": view,
            "gates": gate.worth_a_look(view.accounts),
            "not_open": sum(not gate.is_open(account) for account in view.accounts),
            "now": view.now,
            "advice": advice,
            "all_well": status.all_well(view),
            "states": [(state, view.states[state]) for state in State],
            "hour": hour,
            "chart": chart(hour.minutes, limit * 60),
            "limit": limit,
        },
    )


VIEWS = (View("/", show),)
