"""The audit: what operators did, newest first; the filters are in the address."""

from __future__ import annotations

from itertools import islice

from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.audit_actions import ActionName
from worker.model.errors import UsageError
from worker.services import audit
from worker.services.times import parse_period

ROWS = 50
FILTERS = ("since", "until", "act", "by")


def show(context: RequestContext) -> Page:
    now = context.app.redis_ms()
    fields = {name: context.query(name) for name in FILTERS}
    options: dict[str, object] = {
        "fields": fields,
        "now": now,
        "acts": [action.value for action in ActionName],
        "why_not": "",
    }
    try:
        found = list(islice(audit.entries(context.app, _wanted(fields, now)), ROWS + 1))
    except UsageError as error:
        found, options["why_not"] = [], str(error)
    rows = [(entry, audit.what(entry)) for entry in found[:ROWS]]
    options |= {"rows": rows, "more": len(found) > ROWS, "filtered": any(fields.values())}
    return Page("audit.html", options, 422 if options["why_not"] else 200)


def _wanted(fields: dict[str, str], now: float) -> audit.AuditFilter:
    if fields["act"] and fields["act"] not in tuple(ActionName):
        raise UsageError(f"act: expected one of {', '.join(ActionName)}; found {fields['act'][:40]!r}")
    since, until = parse_period(fields, now)
    return audit.AuditFilter(since=since, until=until, action=fields["act"] or None, by=fields["by"] or None)


VIEWS = (View("/audit", show),)
