"""The checks of `eraser doctor` for webhooks: can their messages be signed, and do they arrive?"""

from __future__ import annotations

from collections.abc import Iterator

from worker.execution.app_context import AppContext
from worker.services import webhooks
from worker.services.doctor.check import Check, ok, warning, wrong
from worker.services.labels import count
from worker.services.times import span
from worker.services.webhooks import EndpointView

LATE_S = 900.0  # the first waits of the usual schedule are over by then


def look(app: AppContext) -> Iterator[Check]:
    """One line for each endpoint, none where there is none. Raises `Unreachable`."""
    for one in webhooks.overview(app):
        yield _endpoint(one)


def _endpoint(one: EndpointView) -> Check:
    name, see = f"webhook {one.name}", f"eraser webhooks deliveries {one.name}"
    if one.endpoint is None:
        found = f"{count(one.waiting, 'message')} for it wait, and there is no such endpoint"
        return warning(name, found, f"add {one.name} again, as it was; otherwise they are dropped 30 days later")
    if not one.endpoint.on:
        return ok(name, f"{one.endpoint.shown}: disabled, {one.waiting:,} wait")
    if one.problem:
        return wrong(name, one.problem, "correct the file or variable here and for the workers")
    if one.oldest_s is not None and one.oldest_s > LATE_S:
        found = f"{count(one.waiting, 'message')} for {one.endpoint.shown} wait, the oldest for {span(one.oldest_s)}"
        return warning(name, found, f"{see}; eraser webhooks test {one.name}")
    if one.dead:
        found = f"{count(one.dead, 'message')} to {one.endpoint.shown} were given up"
        return warning(name, found, f"{see} --state dead; eraser webhooks replay {one.name} --reason R")
    return ok(name, f"{one.endpoint.shown}: {one.totals.get('delivered', 0):,} delivered, {one.waiting:,} wait")
