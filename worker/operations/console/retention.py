"""Retention: when each policy is next due, what its runs did, and what stopped."""

from __future__ import annotations

from worker.errors import SettingsError
from worker.operations import retention
from worker.operations.console.visits import Page, View, Visit

RUNS = 50


def show(visit: Visit) -> Page:
    try:
        following = retention.upcoming(visit.running)
    except SettingsError:
        following = []  # an alarm says it
    return Page(
        "retention.html",
        {
            "runs": retention.runs(visit.running, RUNS),
            "following": following,
            "alarms": list(retention.alarms(visit.running)),
            "now": visit.running.now().timestamp() * 1000,
        },
    )


VIEWS = (View("/retention", show),)
