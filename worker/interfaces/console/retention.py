"""Retention: the next run of each policy, past runs, and problems."""

from __future__ import annotations

from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.model.errors import SettingsError
from worker.services import retention

RUNS = 50


def show(context: RequestContext) -> Page:
    try:
        following = retention.upcoming(context.app)
    except SettingsError:
        following = []  # an alarm reports it
    return Page(
        "retention.html",
        {
            "runs": retention.runs(context.app, RUNS),
            "following": following,
            "alarms": list(retention.alarms(context.app)),
            "now": context.app.now().timestamp() * 1000,
        },
    )


VIEWS = (View("/retention", show),)
