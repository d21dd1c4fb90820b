"""The audit: what operators did, newest first; the filters are in the address."""

from __future__ import annotations

from itertools import islice

from worker.errors import UsageError
from worker.ledger.acts import ActName
from worker.operations import audit
from worker.operations.console.visits import Page, View, Visit
from worker.operations.times import parse_past

ROWS = 50
FILTERS = ("since", "until", "act", "by")


def show(visit: Visit) -> Page:
    now = visit.running.redis_ms()
    fields = {name: visit.asked(name) for name in FILTERS}
    said: dict[str, object] = {"fields": fields, "now": now, "acts": [act.value for act in ActName], "why_not": ""}
    try:
        found = list(islice(audit.entries(visit.running, _wanted(fields, now)), ROWS + 1))
    except UsageError as error:
        found, said["why_not"] = [], str(error)
    rows = [(entry, audit.what(entry)) for entry in found[:ROWS]]
    said |= {"rows": rows, "more": len(found) > ROWS, "filtered": any(fields.values())}
    return Page("audit.html", said, 422 if said["why_not"] else 200)


def _wanted(fields: dict[str, str], now: float) -> audit.Filter:
    if fields["act"] and fields["act"] not in tuple(ActName):
        raise UsageError(f"act: expected one of {', '.join(ActName)}; found {fields['act'][:40]!r}")
    return audit.Filter(
        since=parse_past(fields["since"], "since", now) if fields["since"] else None,
        until=parse_past(fields["until"], "until", now) if fields["until"] else None,
        act=fields["act"] or None,
        by=fields["by"] or None,
    )


VIEWS = (View("/audit", show),)
